import { MongoClient } from 'mongodb';
import { vitamContent } from '../documents.ts';
import { waitFor } from '../local/wait.ts';
import { heldBy, instanceOf, isRunning } from '../services/supervised.ts';
import { stoppedService } from '../vitam.ts';
import type { LedgerAnswer } from '../../client/index.ts';
import type { Look } from './look.ts';
import type { Facts } from './facts.ts';
import { coldbackup } from './set.ts';

/** Every service as it was found: what was stopped was started once, and what was not touched still runs. */
export async function proveServices(facts: Facts, look: Look): Promise<void> {
  const { before, report, vitam } = facts;
  const stopped = new Set(report.services.filter(({ downMs }) => downMs > 0).map(({ service }) => service));
  const all = [...before.services.keys()];
  const users = all.filter((name) => vitam.units.has(name) && name !== stoppedService);
  const servers = all.filter((name) => !vitam.units.has(name));
  const copied = servers.filter((name) => stopped.has(name));
  const left = servers.filter((name) => !stopped.has(name));
  await look(`${users.length} Vitam services run, each was started once`, started(facts, users));
  await look(`${stoppedService} was found stopped, and is stopped`, unchanged(facts, [stoppedService]));
  await look(`${copied.length} servers run that were copied, each was started once`, started(facts, copied));
  await look(`${left.length} other servers run, and were never stopped`, unchanged(facts, left));
  await look('the services write again', writeAgain(facts));
}

async function started(facts: Facts, names: readonly string[]): Promise<readonly string[]> {
  return names.flatMap((name) => differences(facts, name, { starts: 1, running: true }));
}

async function unchanged(facts: Facts, names: readonly string[]): Promise<readonly string[]> {
  return names.flatMap((name) =>
    differences(facts, name, { starts: 0, running: facts.before.services.get(name)?.running ?? false }),
  );
}

function differences(
  { before }: Facts,
  name: string,
  wanted: { readonly starts: number; readonly running: boolean },
): readonly string[] {
  const found = before.services.get(name);
  if (!found) return [`${name} is not known`];
  const starts = instanceOf(found.unit) - found.instance;
  const running = isRunning(found.unit);
  const holder = heldBy(found.unit);
  return [
    ...(running === wanted.running ? [] : [`${name} ${running ? 'runs' : 'is down'}`]),
    ...(starts === wanted.starts ? [] : [`${name} was started ${starts} times`]),
    ...(holder === null ? [] : [`${name} is still held down by ${holder}`]),
  ];
}

/** What the agents' journals say. */
export async function held(facts: Facts): Promise<readonly string[]> {
  const { stdout } = await coldbackup(facts, ['ledger', facts.site.site, '--json']);
  return (JSON.parse(stdout) as readonly LedgerAnswer[]).flatMap(({ host, view, error }) =>
    view?.held === null ? [] : [`${host}: ${error ?? JSON.stringify(view?.held)}`],
  );
}

/** Documents of a second start come in, through mongos. */
async function writeAgain({ cluster }: Facts): Promise<readonly string[]> {
  const client = new MongoClient(cluster.uri);
  const { database, collections } = vitamContent;
  try {
    await waitFor(
      async () => {
        const counts = await Promise.all(
          collections.map((name) =>
            client
              .db(database)
              .collection<{ _id: string }>(name)
              .countDocuments({ _id: /^[a-z-]+-2-/ }),
          ),
        );
        return counts.every((count) => count > 0);
      },
      { what: 'documents of the second start', withinMs: 20_000 },
    );
    return [];
  } finally {
    await client.close();
  }
}
