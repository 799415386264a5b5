import { readFileSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { DatabaseRecord, MongodbSetRecord } from '../../model/manifest.ts';
import type { Encryption, Store } from '../../model/site.ts';
import { locate } from '../../scripts/components.mjs';
import { isRoot, picture } from '../archive/support.ts';
import { makeRepository, noRestic } from '../stores/rigs/restic.ts';
import { copyTo, folderOf, manifestOf, setOf, siteOf } from '../stores/support.ts';
import { createCleanup } from '../support/processes.ts';

const page = readFileSync('docs/restore-by-hand.md', 'utf8');
const set = setOf('2026-11-21T092139Z-01a1fd69');
const files = 'uploads/files.tar.zst';
const copy = 'orders/127.0.0.1_27917.tar.zst';

const missing = locate('age') === undefined ? 'age is not there: node scripts/setup.mjs age' : null;
if (missing !== null) console.warn(`section 6 of docs/restore-by-hand.md is not tested: ${missing}`);

describe('the commands of docs/restore-by-hand.md, taken out of the page', () => {
  const cleanup = createCleanup();
  let folder = '';
  let data = '';
  let places: Places = { SET: '', NEW: '', DATA: '' };
  beforeEach(async () => {
    folder = await cleanup.folder();
    data = join(folder, 'srv', 'shop', 'uploads');
    places = {
      SET: folderOf(join(folder, 'store'), set),
      NEW: join(folder, 'restore'),
      DATA: data,
      KEY: join(folder, 'age.key'),
    };
    await mkdir(data, { recursive: true });
    await mkdir(join(folder, 'store'));
    const script = `
      mkdir -p 'a b/empty'; printf first > 'a b/first file.txt'; ln 'a b/first file.txt' hardlink.jpg
      ln -s 'a b/first file.txt' link; printf odd > $'new\\nline \\\\'; printf bytes > $'\\xff\\xfe'
      head -c 3000000 /dev/urandom > photo; truncate -s 2M sparse; chmod 0500 'a b'; chmod 0640 photo
      touch -d '2001-02-03 04:05:06.789 UTC' photo; setfattr -n user.mark -v yes photo || true
      ${isRoot ? 'chown 1234:4321 photo; setfattr -n security.mark -v yes photo || true' : ''}`;
    await runCommand(['bash', '-c', script], { cwd: data });
  });
  afterEach(cleanup.run);

  test('say all that they print in the page, and put every tree back as it was', async () => {
    await publish(folder, data);
    const before = await picture(data);
    await writeFile(join(data, 'photo'), 'damaged');
    const { exitCode, printed } = await run(commandsOf(1, 2, 3), places);
    expect(printed).toEqual(commandsOf(1, 2, 3).map(({ output }) => output));
    expect(exitCode).toBe(0);
    expect(await picture(data)).toBe(before);
    expect(await readFile(join(`${data}.before`, 'photo'), 'utf8')).toBe('damaged');
    expect(await readFile(join(places.NEW, 'one', data, 'a b', 'first file.txt'), 'utf8')).toBe('first');
    expect(await readdir(join(places.NEW, 'one', data))).toEqual(['a b']);
    expect(await picture(join(places.NEW, 'orders', folder, 'mongodb'))).toBe(
      await picture(join(folder, 'mongodb')),
    );
  });

  test.each([files, `${files}.files`, copy, `${copy}.files`])('find one flipped bit in %s', async (name) => {
    await publish(folder, data);
    await flip(join(places.SET, name));
    const { exitCode, printed } = await run(commandsOf(1), places);
    expect(exitCode).not.toBe(0);
    expect(printed.join('')).toContain(`${name}: FAILED\n`);
  });

  test('find one flipped bit, and a file that is gone, in what was unpacked', async () => {
    await publish(folder, data);
    const unpack = commandsOf(2).findIndex(({ command }) => command.includes('tar -x'));
    const check = commandsOf(2).slice(unpack + 1, unpack + 2);
    expect((await run(commandsOf(2).slice(0, unpack + 1), places)).exitCode).toBe(0);
    expect((await run(check, places)).exitCode).toBe(0);
    const restored = join(places.NEW, 'uploads', data);
    const photo = await readFile(join(restored, 'photo'));
    await flip(join(restored, 'photo'));
    expect(await run(check, places)).toMatchObject({
      exitCode: 1,
      printed: [expect.stringContaining('photo: FAILED')],
    });
    await writeFile(join(restored, 'photo'), photo);
    expect((await run(check, places)).exitCode).toBe(0);
    await rm(join(restored, 'photo'));
    expect((await run(check, places)).exitCode).toBe(1);
  });

  (missing === null ? test : test.skip)(
    'tell an encrypted set, decrypt it, and find what was flipped in it',
    async () => {
      const key = places.KEY ?? '';
      await runCommand(['age-keygen', '-o', key]);
      const recipient = (await runCommand(['age-keygen', '-y', key])).stdout.trim();
      await publish(folder, data, { recipients: [recipient] });
      const [asks] = commandsOf(1).slice(-1);
      expect((await run([asks ?? nothing], places)).printed).toEqual(['age-enc\n']);
      const { printed } = await run(commandsOf(6), places);
      expect(printed).toEqual(commandsOf(6).map(({ output }) => output));
      expect(await picture(join(places.NEW, 'uploads', data))).toBe(await picture(data));
      await flip(join(places.SET, files));
      expect((await run(commandsOf(1), places)).exitCode).not.toBe(0);
    },
  );

  (noRestic === null ? test : test.skip)('fetch a set out of a repository of restic', async () => {
    const repository = await makeRepository(cleanup);
    await publish(folder, data, undefined, repository.spec);
    const own = {
      ...places,
      REPO: repository.spec.repository,
      PASSWORD: join(repository.folder, 'password'),
    };
    const name = commandsOf(7)
      .find(({ command }) => command.startsWith('NAME='))
      ?.command.slice(5);
    const fetched = await run(commandsOf(7), { ...own, NAME: name ?? '' });
    expect(fetched.printed).toEqual(commandsOf(7).map(({ output }) => output));
    expect(fetched.exitCode).toBe(0);
    expect((await run(commandsOf(1), places)).printed).toEqual(commandsOf(1).map(({ output }) => output));
  });

  test('are all tested, but for those that need a server', () => {
    const tested = new Set(commandsOf(0, 1, 2, 3, 6, 7));
    const others = allCommands.filter((each) => !tested.has(each));
    expect(others.map(({ command }) => command.split(' ')[0])).toEqual([
      'cp',
      'mongod',
      'mongosh',
      'mongosh',
    ]);
    const places = commandsOf(0, 6, 7).flatMap(({ command }) => /^([A-Z]+)=/.exec(command)?.slice(1) ?? []);
    expect(places).toEqual(['SET', 'NEW', 'DATA', 'KEY', 'REPO', 'PASSWORD', 'NAME']);
  });
});

interface Places {
  readonly SET: string;
  readonly NEW: string;
  readonly DATA: string;
  readonly KEY?: string;
  readonly REPO?: string;
  readonly PASSWORD?: string;
  readonly NAME?: string;
}

interface Command {
  readonly command: string;
  /** As the page shows it. */
  readonly output: string;
}

const nothing: Command = { command: ':', output: '' };

const sections = page
  .split(/^(?=## \d)/m)
  .map((section) =>
    [...section.matchAll(/^```\n(.*?)^```$/gms)]
      .map(([, block = '']) => block)
      .map((block) => ({ needsServer: block.includes('$ mongod '), commands: shownIn(block) })),
  );
const allCommands = sections.flat().flatMap(({ commands }) => commands);

/** Of the sections with these numbers, in this order; 0: before the first. */
function commandsOf(...numbers: readonly number[]): readonly Command[] {
  return numbers.flatMap((number) =>
    (sections[number] ?? []).flatMap(({ needsServer, commands }) => (needsServer ? [] : commands)),
  );
}

function shownIn(block: string): readonly Command[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const end = text.indexOf('\n');
      return { command: text.slice(0, end), output: text.slice(end + 1) };
    });
}

/** By a plain sh, as a reader would: only the first lines of the page, which say where everything is, are others. */
async function run(commands: readonly Command[], places: Places) {
  const mark = '--- next ---\n';
  const lines = Object.entries(places).map(([name, value]) => `${name}='${value}'`);
  const own = commands.filter(({ command }) => !/^[A-Z]+=/.test(command));
  const script = [
    ...lines,
    ...own.map(({ command }) => `{ ${command}\n} || exit\nprintf '%s' '${mark}'`),
  ].join('\n');
  const { stdout, exitCode } = await runCommand(['sh', '-uc', script], {
    acceptExit: [0, 1, 2],
    env: { LC_ALL: 'C' },
  });
  const printed = stdout.split(mark);
  if (exitCode === 0) printed.pop();
  // An assignment prints nothing.
  for (const [index, { command }] of commands.entries())
    if (/^[A-Z]+=/.test(command)) printed.splice(index, 0, '');
  return { exitCode, printed };
}

/** What the page shows: a tree of files, and the copy of a server's folder; made and published by the product. */
async function publish(
  folder: string,
  data: string,
  encrypt?: Encryption,
  repository?: Store,
): Promise<void> {
  const orders = join(folder, 'mongodb');
  await mkdir(join(orders, 'journal'), { recursive: true });
  await writeFile(join(orders, 'WiredTiger.turtle'), 'WiredTiger version string\n'.repeat(1_000));
  await writeFile(join(orders, 'journal', 'log'), Buffer.alloc(100_000, 'entry'));
  const directory = join(folder, 'store');
  const spec = { kind: 'directory', directory, shared: true, keeper: 'mongo-1' } as const;
  const site = siteOf(repository ?? { ...spec, ...(encrypt && { encrypt }) });
  const artifacts = [
    await copyTo(site, 'mongo-1', set, files, data),
    await copyTo(site, 'mongo-1', set, copy, orders),
  ];
  const record: MongodbSetRecord = {
    ...{ set: 'orders', role: 'standalone', member: '127.0.0.1:27917', artifact: copy, marker: null },
    ...{ version: '6.0.27', fcv: '6.0', options: {} },
    ...{ replicaSetConfig: null, shardIdentity: null, fingerprint: null },
  };
  const databases: readonly DatabaseRecord[] = [
    { engine: 'files', database: 'uploads' },
    {
      ...{ engine: 'mongodb', database: 'orders', topology: 'standalone' },
      ...{ shards: null, balancer: null, sets: [record] },
    },
  ];
  const manifest = manifestOf(set, artifacts, { databases });
  await createStoreActivities({ site, host: 'mongo-1' }).publishSet({
    site: site.site,
    store: 'vault',
    manifest,
  });
}

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(path, bytes);
}
