import type { PlanRestored } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import { differentShards } from '../../model/shards.ts';
import type { HostName, Site } from '../../model/site.ts';
import { modeOf, readBalancerSettings } from '../mongodb/balancer.ts';
import { routersAlive } from '../mongodb/checks.ts';
import { withMongos } from '../mongodb/connect.ts';
import { toPlain } from '../mongodb/plain.ts';

/** On the host that reaches mongos: whether it is the cluster that the set was taken of. Changes nothing. */
export async function checkCluster(
  site: Site,
  host: HostName,
  { database, cluster }: PlanRestored,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  if (cluster?.mongosHost !== host) return [];
  const row = (verdict: Check['verdict'], detail: string, hint?: string): Check => ({
    ...{ host, subject: `restore ${database} mongos`, verdict, detail },
    ...(hint !== undefined && { hint }),
  });
  const before = modeOf({ kind: 'balancer', settings: cluster.balancer });
  const named = cluster.routers.flatMap(({ hosts }) => hosts).length;
  const now = await withMongos(
    site,
    database,
    async (mongos) => ({
      shards: await mongos.db('config').collection('shards').find().toArray(),
      mode: modeOf({ kind: 'balancer', settings: await readBalancerSettings(mongos) }),
      routers: await routersAlive(mongos),
    }),
    { signal },
  ).catch((error: unknown) => {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  });
  if (typeof now === 'string')
    return [
      row(
        'warning',
        `it cannot be asked which cluster it is: ${now}`,
        'on new servers with empty folders that is so; else make sure that it is the cluster of the set',
      ),
      row('go', `the balancer will be ${before}, as the night of the set found it`),
    ];
  const different = differentShards(cluster.shards, now.shards.map(toPlain));
  return [
    ...different.map((what) =>
      row('no-go', what, 'a cluster is restored to the shards that it had, under the names that they had'),
    ),
    ...(different.length > 0
      ? []
      : [row('go', `the shards are those of the set: ${namesOf(cluster.shards)}`)]),
    now.mode === before
      ? row('go', `the balancer is ${before}, and will be again`)
      : row(
          'warning',
          `the balancer will be ${before}, as the night of the set found it, and is ${now.mode} now`,
          'set it afterwards with sh.startBalancer() or sh.stopBalancer()',
        ),
    ...(now.routers.length <= named
      ? []
      : [
          row(
            'warning',
            `${now.routers.length} routers are alive (${now.routers.join(', ')}), and the site file names ${named}`,
            'one that is not stopped goes on with what it knew before: name it among routers, or stop it',
          ),
        ]),
  ];
}

function namesOf(shards: readonly Readonly<Record<string, unknown>>[]): string {
  return shards.map(({ _id }) => String(_id)).join(', ');
}
