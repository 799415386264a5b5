import { isMap, isSeq, parseDocument, type Document } from 'yaml';
import type { NightClock } from './clock.ts';

/** What the demo knows of its machine: it stands in for the addresses, paths, drivers and times of the example. */
export interface Miniature {
  /** Where an absolute path of a host lies here. */
  readonly onHost: (host: string, path: string) => string;
  /** The folder of a service under servicectl. */
  readonly unit: (host: string, service: string) => string;
  readonly servicectl: string;
  readonly countWorkflows: string;
  /** How the mongod of a database is run. */
  readonly mongodOf: (database: string) => readonly string[];
  /** Of a service's status page. */
  readonly portOf: (service: string) => number;
  /** As its set calls the member that the example calls `mongo-1:27018`. */
  readonly memberOf: (name: string) => string;
  readonly clock: NightClock;
}

/** Folders of the miniature that the example does not name. */
export const workflowFolder = '/vitam/data/processing/workflows';
export const jobName = 'logbook-securing';

/**
 * The site file of the demo: the example's text with other addresses, paths, drivers and clock times. Steps, names,
 * order, who writes to what, and how long things may take are the example's own; test/demo holds the two together.
 */
export function demoSite(example: string, here: Miniature): string {
  const document = parseDocument(example);
  // Of the example's place in the checkout.
  document.commentBefore = null;
  const hosts = names(document, ['hosts']);
  for (const service of keys(document, ['services'])) replaceService(document, service, here);
  document.setIn(
    ['jobs', jobName],
    node(document, {
      host: text(document, ['jobs', jobName, 'host']),
      command: [here.servicectl, 'times', here.unit(text(document, ['jobs', jobName, 'host']), jobName)],
    }),
  );
  const counter = text(document, ['counts', 'active-workflows', 'host']);
  document.setIn(
    ['counts', 'active-workflows', 'command'],
    node(document, [here.countWorkflows, here.onHost(counter, workflowFolder)]),
  );
  for (const database of keys(document, ['databases'])) {
    if (document.hasIn(['databases', database, 'mongodb'])) replaceMembers(document, database, here);
    const files = ['databases', database, 'files'];
    if (document.hasIn(files))
      replacePath(document, [...files, 'roots', 0], text(document, [...files, 'host']), here);
  }
  const store = text(document, ['stores', 'vault', 'directory']);
  document.setIn(
    ['stores', 'vault', 'directory'],
    node(document, Object.fromEntries(hosts.map((host) => [host, here.onHost(host, store)]))),
  );
  replacePath(document, ['drill', 'scratch'], text(document, ['stores', 'vault', 'keeper']), here);
  replaceTimes(document, here.clock);
  return document.toString({ lineWidth: 0 });
}

function replaceService(document: Document, service: string, here: Miniature): void {
  const path = ['services', service];
  const host = text(document, [...path, 'host']);
  const folder = here.unit(host, service);
  const command = (word: string) => [here.servicectl, word, folder];
  document.deleteIn([...path, 'systemd']);
  document.setIn(
    [...path, 'command'],
    node(
      document,
      Object.fromEntries(
        ['start', 'stop', 'status', 'instance', 'last-exit', 'hold-down', 'let-go'].map((word) => [
          word,
          command(word),
        ]),
      ),
    ),
  );
  const data = document.getIn([...path, 'data']);
  if (isSeq(data))
    data.items.forEach((_, index) => replacePath(document, [...path, 'data', index], host, here));
  const address = `127.0.0.1:${here.portOf(service)}`;
  for (const kind of ['http', 'tcp']) {
    const found = document.getIn([...path, 'ready', kind]);
    if (typeof found === 'string')
      document.setIn([...path, 'ready', kind], found.replace(/localhost:\d+/, address));
  }
}

function replaceMembers(document: Document, database: string, here: Miniature): void {
  const path = ['databases', database, 'mongodb'];
  const mongos = [...path, 'mongos'];
  if (document.hasIn(mongos))
    replacePath(document, [...mongos, 'uri', 'file'], text(document, [...mongos, 'host']), here);
  document.setIn([...path, 'mongod'], node(document, here.mongodOf(database)));
  const members = document.getIn([...path, 'members']);
  if (!isMap(members)) throw new Error('the example has no members');
  for (const pair of members.items) {
    const name = String(pair.key);
    const host = text(document, [...path, 'members', name, 'host']);
    replacePath(document, [...path, 'members', name, 'data'], host, here);
    replacePath(document, [...path, 'members', name, 'uri', 'file'], host, here);
    pair.key = document.createNode(here.memberOf(name));
  }
}

function replacePath(
  document: Document,
  path: readonly (string | number)[],
  host: string,
  here: Miniature,
): void {
  document.setIn(path, here.onHost(host, text(document, path)));
}

function replaceTimes(document: Document, clock: NightClock): void {
  const nightly = ['procedures', 'nightly'];
  document.setIn(
    [...nightly, 'start'],
    node(document, { days: [clock.day], at: clock.start, 'not-after': clock.notAfter }),
  );
  if (document.hasIn([...nightly, 'restart'])) document.setIn([...nightly, 'restart', 'at'], clock.restart);
  document.setIn([...nightly, 'up-by'], clock.upBy);
  replaceWaits(document, [...nightly, 'steps'], clock);
}

function replaceWaits(document: Document, path: readonly (string | number)[], clock: NightClock): void {
  const found = document.getIn(path);
  if (isSeq(found)) found.items.forEach((_, index) => replaceWaits(document, [...path, index], clock));
  if (!isMap(found)) return;
  for (const key of keys(document, path)) {
    if (key === 'until') document.setIn([...path, key], clock.restart);
    else if (key === 'began-after') document.setIn([...path, key], clock.jobFrom);
    else replaceWaits(document, [...path, key], clock);
  }
}

function node(document: Document, value: unknown) {
  return document.createNode(value, { flow: true });
}

function keys(document: Document, path: readonly (string | number)[]): readonly string[] {
  const found = document.getIn(path);
  if (!isMap(found)) throw new Error(`the example has no ${path.join('.')}`);
  return found.items.map(({ key }) => String(key));
}

function names(document: Document, path: readonly (string | number)[]): readonly string[] {
  const found = document.getIn(path);
  if (!isSeq(found)) throw new Error(`the example has no ${path.join('.')}`);
  return found.items.map(String);
}

function text(document: Document, path: readonly (string | number)[]): string {
  const found = document.getIn(path);
  if (typeof found !== 'string') throw new Error(`the example has no ${path.join('.')}`);
  return found;
}
