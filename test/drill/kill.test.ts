import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CommandError, runCommand } from '../../activities/system/command.ts';
import { DEFAULT_DRILL_MEMORY_BYTES } from '../../config/schema/drill.ts';
import type { SetRef } from '../../model/manifest.ts';
import type { Argv, Site } from '../../model/site.ts';
import { host, nativeMongod } from '../mongodb/fixture.ts';
import { siteWith } from '../stores/support.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { createRig, standalone, type Rig } from './rig.ts';

describe('a drill whose agent is killed', () => {
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  let folder: string;
  let site: Site;
  let rig: Rig;
  let sets: Readonly<Record<'server' | 'tree', SetRef>>;

  beforeAll(async () => {
    folder = await cleanup.folder();
    for (const name of ['store', 'scratch', 'tree']) await mkdir(join(folder, name));
    site = {
      ...siteWith(join(folder, 'store')),
      ...{ site: 'test', hosts: [host] },
      stores: { vault: { kind: 'directory', directory: join(folder, 'store'), shared: true, keeper: host } },
      drill: {
        ...{ scratch: join(folder, 'scratch'), mongod: nativeMongod as unknown as Argv, checks: [] },
        memoryBytes: DEFAULT_DRILL_MEMORY_BYTES,
      },
    };
    rig = createRig(site);
    await writeFile(join(folder, 'tree', 'file'), randomBytes(8_000_000));
    sets = {
      server: (await rig.publish(await standalone(cleanup, folder), join(folder, 'data'))).set,
      tree: (await rig.publish(null, join(folder, 'tree'))).set,
    };
  });

  test.each([
    ['before it unpacks', 'tree', 'unpack', 1],
    ['in the middle of an archive', 'tree', 'unpack', 4],
    ['at the end of an archive', 'tree', 'unpack', 9],
    ['as it starts a server', 'server', 'open', 1],
    ['as it compares', 'server', 'compare', 1],
  ] as const)(
    '%s leaves no server and no proof, and the next drill finds a clean place',
    async (_, of, at, times) => {
      const where = rig.where(sets[of]);
      const files = { site: join(folder, 'site.json'), input: join(folder, 'input.json') };
      await writeFile(files.site, JSON.stringify(site));
      await writeFile(files.input, JSON.stringify(where));
      const killed = await runCommand(
        [process.execPath, 'test/drill/drill-once.mjs', files.site, host, files.input, at, String(times)],
        { timeoutMs: 120_000 },
      ).catch((error: unknown) => error);
      expect(killed).toBeInstanceOf(CommandError);
      expect(killed).toMatchObject({ signal: 'SIGKILL', timedOut: false });
      await waitFor(() => rig.scratchServers().length === 0, { what: 'no server', withinMs: 20_000 });
      expect(existsSync(join(folder, 'scratch', 'coldbackup', 'test', host, 'target'))).toBe(true);

      const next = rig.drills();
      expect(await next.readProofs(where)).toEqual([]);
      expect(await next.drillSet(where)).toMatchObject({ problems: [] });
      expect(await rig.left()).toEqual([]);
    },
  );
});
