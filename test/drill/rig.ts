import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { copyArtifact } from '../../activities/archive/copy-artifact.ts';
import { createDrillActivities } from '../../activities/drill/drill.ts';
import { copyExcludes } from '../../activities/mongodb/cold.ts';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import { startProcess } from '../../activities/system/command.ts';
import type { Cleanup } from '../../demo/local/cleanup.ts';
import type { DrillActivities, DrillProgress } from '../../model/activities.ts';
import type { Artifact, Manifest, MongodbSetRecord, SetRef } from '../../model/manifest.ts';
import type { Site } from '../../model/site.ts';
import { database, host, nativeMongod } from '../mongodb/fixture.ts';
import { manifestOf } from '../stores/support.ts';
import { waitFor } from '../support/processes.ts';

export type Rig = ReturnType<typeof createRig>;

interface DrillOptions {
  readonly claim?: () => object | null;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DrillProgress) => void;
  /** Instead of what the site file says. */
  readonly place?: Partial<NonNullable<Site['drill']>>;
}

const never = new AbortController().signal;
const site = 'test';

/** Sets in the store of this site, and drills of them, by the code that an agent runs. */
export function createRig(of: Site) {
  let published = 0;
  const scratch = join(of.drill?.scratch ?? '', 'coldbackup');
  return { publish, drills, where, left, scratchServers };

  /** As a night publishes it: copied from these files, with this record. null: a tree of files. */
  async function publish(record: MongodbSetRecord | null, from: string): Promise<Manifest> {
    published += 1;
    if (!existsSync(from)) await mkdir(from);
    const set: SetRef = {
      ...{ site, procedure: 'nightly' },
      id: `2026-11-20T19${String(published).padStart(4, '0')}Z-0a1b2c3d`,
    };
    const name = record === null ? 'files/files.tar.zst' : `${database}/rs.tar.zst`;
    const artifact: Artifact = await copyArtifact({
      ...{ site: of, host, attempt: 1, roots: [from], exclude: record === null ? [] : copyExcludes() },
      input: {
        ref: { site, host, journal: 'j', epoch: 1, siteDigest: 'd' },
        ...{ id: name, position: '1', set, store: 'vault', artifact: name },
        source: { kind: 'files', database: record === null ? 'files' : database },
      },
      hooks: { signal: never, onProcess: () => undefined, onProgress: () => undefined },
    });
    const manifest = manifestOf(set, [artifact], {
      databases:
        record === null
          ? [{ engine: 'files', database: 'files' }]
          : [
              {
                ...{ engine: 'mongodb', database, topology: 'replica-set', shards: null, balancer: null },
                sets: [{ ...record, artifact: name }],
              },
            ],
    });
    await createStoreActivities({ site: of, host }).publishSet({ site, store: 'vault', manifest });
    return manifest;
  }

  function drills({
    claim = () => null,
    signal = never,
    onProgress = () => undefined,
    place = {},
  }: DrillOptions = {}): DrillActivities {
    const { drill } = of;
    return createDrillActivities({
      site: drill === undefined ? of : { ...of, drill: { ...drill, ...place } },
      ...{ host, signal: () => signal, ended: never, listen: () => onProgress, warn: () => undefined },
      journal: { state: () => ({ claim: claim() }) as never },
    });
  }

  function where(set: SetRef) {
    return { site, store: 'vault', set };
  }

  /** Of this test: servers on its scratch folder, and what lies there for this host. */
  async function left(): Promise<readonly string[]> {
    const place = join(scratch, site);
    return [...scratchServers(), ...(existsSync(place) ? await readdir(place) : [])];
  }

  function scratchServers(): readonly string[] {
    return readdirSync('/proc').filter((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(scratch);
      } catch {
        return false;
      }
    });
  }
}

/** Files of a server that ran, and was stopped: `data` below this folder. */
export async function standalone(cleanup: Cleanup, folder: string): Promise<MongodbSetRecord> {
  const data = join(folder, 'data');
  await mkdir(data);
  const socket = join(folder, 's.sock');
  const server = startProcess([
    ...nativeMongod,
    ...['--dbpath', data, '--bind_ip', socket, '--logpath', `${data}.log`, '--wiredTigerCacheSizeGB', '0.25'],
  ]);
  cleanup.add(() => server.kill());
  server.stdout.resume();
  const client = new MongoClient(`mongodb://${encodeURIComponent(socket)}/?directConnection=true`);
  await waitFor(() => existsSync(socket), { what: 'the server', withinMs: 60_000 });
  await client.db('shop').collection('orders').insertOne({ n: 1 });
  const { version } = (await client.db('admin').command({ buildInfo: 1 })) as { version: string };
  await client
    .db('admin')
    .command({ shutdown: 1, force: true })
    .catch(() => undefined);
  await client.close();
  await server.done;
  return {
    ...{ set: 'one', role: 'standalone', member: 'one', artifact: '', marker: null, version, fcv: '6.0' },
    ...{ options: {}, replicaSetConfig: null, shardIdentity: null, fingerprint: null },
  };
}
