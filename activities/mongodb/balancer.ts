import { MongoServerError, type Document, type MongoClient } from 'mongodb';
import type { Found } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { withMongos } from './connect.ts';
import { trouble } from './errors.ts';
import { fromPlain, toPlain, type Plain } from './plain.ts';
import { poll, type Patience } from './poll.ts';

export type BalancerFound = Extract<Found, { kind: 'balancer' }>;

/** The documents of config.settings that `balancerStop` writes: since 7.0 it turns the merging of chunks off too. */
const documents = ['balancer', 'automerge', 'autosplit'] as const;
const majority = { writeConcern: { w: 'majority', wtimeoutMS: 30_000 } } as const;

/** The whole settings documents by their id, null where there is none. */
export async function observeBalancer(
  site: Site,
  database: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<BalancerFound> {
  return {
    kind: 'balancer',
    settings: await withMongos(site, database, readBalancerSettings, options),
  };
}

export async function readBalancerSettings(mongos: MongoClient): Promise<Plain> {
  const found = await settingsOf(mongos)
    .find({ _id: { $in: [...documents] } }, { readConcern: { level: 'majority' }, promoteValues: false })
    .toArray();
  return Object.fromEntries(
    documents.map((id) => {
      const document = found.find((d) => d._id === id);
      return [id, document ? toPlain(document) : null];
    }),
  );
}

/** Returns when the balancer is off and no round is under way; still on when time is up is an error. Idempotent. */
export async function stopBalancer(site: Site, database: string, patience: Patience): Promise<void> {
  await withMongos(
    site,
    database,
    async (mongos) => {
      const admin = mongos.db('admin');
      await askToStop(mongos, patience.untilMs);
      const end = await poll(async () => {
        const status = await admin.command({ balancerStatus: 1 });
        const isOff = status['mode'] === 'off' && status['inBalancerRound'] !== true;
        return isOff ? { value: true } : { still: statusText(status) };
      }, patience);
      if ('still' in end)
        throw trouble(
          `${database}: the balancer is still on (${end.still}) after balancerStop. Look for a long migration with sh.status().`,
        );
    },
    patience,
  );
}

/** Puts the settings documents back exactly as found; where it was on, sees it on again. Idempotent. */
export async function restoreBalancer(
  site: Site,
  database: string,
  found: BalancerFound,
  patience: Patience,
): Promise<void> {
  await withMongos(
    site,
    database,
    async (mongos) => {
      const settings = settingsOf(mongos);
      for (const id of documents) {
        const document = found.settings?.[id] as Plain | null | undefined;
        if (document)
          await settings.replaceOne({ _id: id }, fromPlain(document), { upsert: true, ...majority });
        else await settings.deleteOne({ _id: id }, majority);
      }
      const wanted = modeOf(found);
      const end = await poll(async () => {
        const status = await mongos.db('admin').command({ balancerStatus: 1 });
        return status['mode'] === wanted ? { value: true } : { still: statusText(status) };
      }, patience);
      if ('still' in end)
        throw trouble(
          `${database}: the balancer was ${wanted}, and is ${end.still} after its settings came back.`,
        );
    },
    patience,
  );
}

/** `off` or `full`, as `balancerStatus` says it. */
export function modeOf(found: BalancerFound): string {
  const balancer = found.settings?.['balancer'] as Plain | null | undefined;
  if (!balancer) return 'full';
  if (balancer['stopped'] === true) return 'off';
  return typeof balancer['mode'] === 'string' ? balancer['mode'] : 'full';
}

async function askToStop(mongos: MongoClient, untilMs: number): Promise<void> {
  try {
    // By default it waits for the round under way for as long as that takes.
    await mongos.db('admin').command({ balancerStop: 1, maxTimeMS: Math.max(1_000, untilMs - Date.now()) });
  } catch (error) {
    // 50 MaxTimeMSExpired, 262 ExceededTimeLimit: the status says what it still does.
    if (!(error instanceof MongoServerError && [50, 262].includes(Number(error.code)))) throw error;
  }
}

function settingsOf(mongos: MongoClient) {
  return mongos.db('config').collection<Document & { _id: string }>('settings');
}

function statusText(status: Document): string {
  return `mode ${String(status['mode'])}${status['inBalancerRound'] === true ? ', in a round' : ''}`;
}
