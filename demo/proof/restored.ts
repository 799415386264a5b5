import { isDeepStrictEqual } from 'node:util';
import type { MongoClient } from 'mongodb';
import type { Report } from '../../model/progress.ts';
import type { Lost } from '../disaster.ts';
import { offerContent, vitamContent, type Content } from '../documents.ts';
import { waitFor } from '../local/wait.ts';
import type { Output } from '../output.ts';
import { instanceOf, isRunning } from '../services/supervised.ts';
import { stoppedService, trees, unitsOf, type Tree } from '../vitam.ts';
import { chunksOf, withClient, type Chunk } from './before.ts';
import { proveCluster, proveSettings } from './cluster.ts';
import { acknowledgedIds, idsOf } from './copies.ts';
import { differentFiles, digestsIn, expectedDigests } from './files.ts';
import { beginProof, such } from './look.ts';
import type { Facts } from './facts.ts';
import { held } from './services.ts';

/** Looks at the miniature itself: it is what it was when the night copied it, and it works. */
export async function proveRestored(
  out: Output,
  facts: Facts,
  { instances }: Lost,
  restored: Report,
): Promise<boolean> {
  const { look, holds } = beginProof(out, 'restore', restored);
  const units = unitsOf(facts.places, facts.site, facts.vitam);
  const started = [...units].filter(([name]) => name !== stoppedService);
  await look(
    `${started.length} services and servers run, each was started once`,
    Promise.resolve(
      started.flatMap(([name, unit]) => {
        const starts = instanceOf(unit) - (instances.get(name) ?? 0);
        return isRunning(unit) && starts === 1
          ? []
          : [`${name} ${isRunning(unit) ? 'runs' : 'is down'}, and was started ${starts} times`];
      }),
    ),
  );
  const left = units.get(stoppedService);
  await look(
    `${stoppedService} was found stopped, and is stopped`,
    Promise.resolve(left !== undefined && isRunning(left) ? ['it runs'] : []),
  );
  await look('no host is held by a run any more', held(facts));
  await look(
    'the balancer’s settings are what they were before the night, word for word',
    proveSettings(facts),
  );
  const { cluster } = facts;
  for (const [what, uri, content] of [
    ['the cluster', cluster.uri, vitamContent],
    ['the offer’s MongoDB', cluster.offer.uri, offerContent],
  ] as const) {
    const acknowledged = acknowledgedIds(facts, content);
    await look(
      `${what} holds the ${acknowledged.size} documents acknowledged before the copy, and of later only new ones`,
      documents(facts, uri, content, acknowledged),
    );
  }
  await look('each range of keys lies on the shard where it lay before the night', ranges(facts));
  for (const tree of trees(facts.places, facts.site)) {
    const expected = expectedDigests(facts, tree);
    await look(
      `${tree.database}: its ${expected.size} files are back, each with its digest, and of later only new ones`,
      Promise.resolve(differentFiles(expected, withoutNew(facts, tree, digestsIn(tree.folder)))),
    );
  }
  await proveCluster(facts, look);
  await look('the services write again', writeAgain(facts));
  return holds();
}

/** Begins what each service writes since it was started last. */
function newLabels({ vitam }: Facts): readonly string[] {
  return [...vitam.units].map(([name, unit]) => `${name}-${instanceOf(unit)}`);
}

async function documents(
  facts: Facts,
  uri: string,
  content: Content,
  acknowledged: ReadonlySet<string>,
): Promise<readonly string[]> {
  const labels = newLabels(facts);
  const ids = new Set(await withClient(uri, (client) => idsOf(client, content)));
  const missing = [...acknowledged].filter((id) => !ids.has(id));
  const extra = [...ids].filter(
    (id) => !acknowledged.has(id) && !labels.some((label) => id.startsWith(`${label}-`)),
  );
  return [...such(missing, 'are missing'), ...such(extra, 'are of later')];
}

async function ranges({ cluster, before }: Facts): Promise<readonly string[]> {
  const now = merged(await withClient(cluster.uri, chunksOf));
  const then = merged(before.chunks);
  return isDeepStrictEqual(now, then) ? [] : [`were ${JSON.stringify(then)}`, `are ${JSON.stringify(now)}`];
}

/** The balancer, which is on, makes one of neighbours on the same shard. */
function merged(chunks: readonly Chunk[]): readonly Chunk[] {
  return chunks.reduce<readonly Chunk[]>((all, chunk) => {
    const last = all.at(-1);
    return last?.collection === chunk.collection &&
      last.shard === chunk.shard &&
      isDeepStrictEqual(last.max, chunk.min)
      ? [...all.slice(0, -1), { ...last, max: chunk.max }]
      : [...all, chunk];
  }, []);
}

function withoutNew(
  facts: Facts,
  { usedBy }: Tree,
  found: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const labels = newLabels(facts).filter((label) => usedBy.some((name) => label.startsWith(`${name}-`)));
  return new Map(
    [...found].filter(([path]) => !labels.some((label) => path.startsWith(`objects/${label}/`))),
  );
}

/** Documents of the last start come in, through mongos. */
async function writeAgain(facts: Facts): Promise<readonly string[]> {
  const labels = newLabels(facts);
  const { database, collections } = vitamContent;
  const written = async (client: MongoClient) => {
    const counts = await Promise.all(
      collections.map((name) =>
        client
          .db(database)
          .collection<{ _id: string }>(name)
          .countDocuments({ _id: new RegExp(`^(${labels.join('|')})-`) }),
      ),
    );
    return counts.every((count) => count > 0);
  };
  await withClient(facts.cluster.uri, (client) =>
    waitFor(() => written(client), { what: 'documents of the last start', withinMs: 30_000 }),
  );
  return [];
}
