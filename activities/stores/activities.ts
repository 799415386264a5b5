import type { PreflightActivities, StoreActivities } from '../../model/activities.ts';
import type { HostName, Site, Store as StoreSpec } from '../../model/site.ts';
import { createDirectoryStore } from './directory.ts';
import { StoreError } from './names.ts';
import { useSet } from './in-use.ts';
import { limited } from './rate.ts';
import { mendSet } from './mend.ts';
import { createResticStore } from './restic/store.ts';
import { createS3Store } from './s3/store.ts';
import { createSftpStore } from './sftp/store.ts';
import { explainSets, pinSet, pruneSets, removeNamed, removeSets } from './prune.ts';
import { listSets, publishSet, showSet } from './sets.ts';
import type { Store } from './store.ts';
import { verifySet } from './verify.ts';
import type { VerifyHooks } from './verify.ts';
import { recordVerification } from './verified.ts';

export type TokenActivities = Pick<
  PreflightActivities,
  'writeStoreToken' | 'readStoreToken' | 'removeStoreToken'
>;

export interface StoreContext {
  readonly site: Site;
  readonly host: HostName;
  /** Of the activity that runs now: its cancellation and its heartbeat. Absent: neither. */
  readonly during?: () => VerifyHooks;
}

export function createStoreActivities(context: StoreContext): StoreActivities & TokenActivities {
  const { site, host } = context;
  const storeOf = (input: { readonly site: string; readonly store: string }): Store => {
    if (input.site !== site.site) {
      throw new StoreError(`Host ${host} serves site ${site.site}, not ${input.site}.`);
    }
    return openStore(site, host, input.store);
  };
  return {
    publishSet: async (input) => publishSet(storeOf(input), input.manifest),
    listSets: async (input) => listSets(storeOf(input), input.site, input.procedure),
    showSet: async (input) => showSet(storeOf(input), input.set),
    verifySet: async (input) =>
      verifySet(storeOf(input), { ...input.manifest, set: input.set }, context.during?.() ?? alone()),
    pruneSets: async ({ plan, store: name, now, removed, has, published }) => {
      const store = storeOf({ site: plan.site, store: name });
      if (removed === undefined) return pruneSets(store, plan, Date.parse(now), published);
      await removeSets(store, plan, { sets: removed, ...(has && { has }) }, Date.parse(now));
      return removed;
    },
    explainSets: async ({ store, procedure, now, ...input }) =>
      explainSets(storeOf({ ...input, store }), site, { now, ...(procedure !== undefined && { procedure }) }),
    removeSet: async ({ set, now, dryRun, ...input }) =>
      removeNamed(storeOf(input), set, { nowMs: Date.parse(now), dryRun }),
    pinSet: async (input) => pinSet(storeOf(input), input.set, input.pin),
    useSet: async (input) => useSet(storeOf(input), input.set, input.use),
    mendSet: async ({ manifest, from, ...input }) =>
      mendSet(
        storeOf(input),
        manifest,
        from.map((one) => ({ store: storeOf({ ...input, ...one }), manifest: one.manifest })),
        context.during?.() ?? alone(),
      ),
    recordVerification: async (input) => recordVerification(storeOf(input), input.set, input.record),
    writeStoreToken: async (input) => storeOf(input).writeToken(input.token),
    readStoreToken: async (input) => storeOf(input).hasToken(input.token),
    removeStoreToken: async (input) => storeOf(input).removeToken(input.token),
  };
}

/** By the name that the site file gives it. Throws StoreError with the known names. */
export function openStore(site: Site, host: HostName, name: string): Store {
  const spec = Object.hasOwn(site.stores, name) ? site.stores[name] : undefined;
  if (spec !== undefined) return withOptions(createStore(name, spec, host), spec);
  throw new StoreError(
    `Site ${site.site} has no store ${JSON.stringify(name)} on host ${host}; it has ${Object.keys(site.stores).join(', ')}.`,
  );
}

function withOptions(store: Store, { encrypt, rateBytesPerSecond }: StoreSpec): Store {
  const limitedStore = rateBytesPerSecond === undefined ? store : limited(store, rateBytesPerSecond);
  return { ...limitedStore, ...(encrypt && { encrypt }) };
}

function createStore(name: string, spec: StoreSpec, host: HostName): Store {
  switch (spec.kind) {
    case 'directory':
      return createDirectoryStore(name, spec, host);
    case 'sftp':
      return createSftpStore(name, spec, host);
    case 's3':
      return createS3Store(name, spec, host);
    case 'restic':
      return createResticStore(name, spec, host);
  }
}

function alone(): VerifyHooks {
  return { signal: new AbortController().signal, onProgress: () => undefined };
}
