import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection, type WorkflowFailedError } from '@temporalio/client';
import type { ApplicationFailure } from '@temporalio/common';
import { runCommand } from '../../activities/system/command.ts';
import { locate } from '../../scripts/components.mjs';
import type { Manifest, SetSummary } from '../../model/manifest.ts';
import type { Report } from '../../model/progress.ts';
import type { PlanAnswer } from '../../workflows/inspect.ts';
import { controlQueue } from '../../workflows/messages.ts';
import type { Verified, VerifyInput } from '../../workflows/verify.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { createCleanup } from '../support/processes.ts';
import { makeRepository, noRestic } from './rigs/restic.ts';
import { noSshd, startSshd, type Sshd } from './rigs/sftp.ts';

const reason =
  noSshd ?? noRestic ?? (locate('age') === undefined ? 'age is not there: node scripts/setup.mjs age' : null);
if (reason !== null)
  console.warn(`nights to an encrypted SFTP store and to restic are not tested: ${reason}`);

/** By the command line, through a real Temporal server, control and agents. */
(reason === null ? describe : describe.skip)(
  'nights to a directory, to an encrypted SFTP server and to restic',
  () => {
    const cleanup = createCleanup();
    afterAll(cleanup.run);
    let site: MiniSite;
    let sshd: Sshd;
    let key = '';
    let all: Running;
    let temporal: Client;
    let set = '';

    beforeAll(async () => {
      site = await createMiniSite(cleanup);
      sshd = await startSshd(cleanup);
      key = join(await cleanup.folder(), 'age.key');
      await runCommand(['age-keygen', '-o', key]);
      const recipient = (await runCommand(['age-keygen', '-y', key])).stdout.trim();
      const { port, directory, hostKey } = sshd.spec;
      const { folder, spec } = await makeRepository(cleanup);
      const offsite = `  offsite:
    sftp:
      host: 127.0.0.1
      port: ${port}
      user: root
      key: { file: ${join(sshd.folder, 'user')} }
      host-key: ${hostKey}
      directory: ${directory}
    encrypt: { age: [${recipient}], identity: { file: ${key} } }
    keeper: db-1
  long:
    restic: { repository: ${spec.repository}, password: { file: ${join(folder, 'password')} } }
    keeper: db-1
`;
      const text = readFileSync(site.file, 'utf8')
        .replace(/^stores:\n/m, `stores:\n${offsite}`)
        .replace('to: [vault] }\n    keep', 'to: [vault, offsite, long], needs: any }\n    keep');
      expect(text).toContain('needs: any');
      writeFileSync(site.file, text);
      all = await startAll(cleanup, site);
      const connection = await Connection.connect({ address: all.server.address });
      cleanup.add(() => connection.close());
      temporal = new Client({ connection });
    });

    const night = async (): Promise<Report> => {
      const { code, stdout } = await all.coldbackup('run', 'mini', 'nightly', '--again', '--wait', '--json');
      expect(code).toBe(0);
      return JSON.parse(stdout) as Report;
    };

    test('a night leaves a set in each, from one read', async () => {
      const { stdout } = await all.coldbackup('plan', 'mini', 'nightly');
      expect(stdout).toMatch(/go +db-1 +store offsite +.*free in sftp:\/\/root@127.0.0.1/);
      expect(stdout).toMatch(/go +db-1 +tool age/);
      expect(stdout).toMatch(/go +db-1 +tool restic +restic 0\.\d+/);
      expect(stdout).toMatch(/go +db-1 +store long +restic:.*how much room there is, it does not say/);
      const report = await night();
      expect(report).toMatchObject({ outcome: 'complete', warnings: [] });
      expect(report.sets.map(({ store }) => store).sort()).toEqual(['long', 'offsite', 'vault']);
      set = report.sets[0]?.set.id ?? '';
      const show = async (store: string) => {
        const shown = await all.coldbackup('sets', 'show', 'mini', set, '--store', store, '--json');
        return (JSON.parse(shown.stdout) as Manifest).artifacts;
      };
      const [plain] = await show('vault');
      const [encrypted] = await show('offsite');
      expect(plain).not.toHaveProperty('encrypted');
      expect(encrypted).toMatchObject({
        contentBytes: plain?.contentBytes,
        encrypted: { age: [expect.any(String)] },
      });
      // Begun and ended together: one job.
      expect(encrypted?.startedAt).toBe(plain?.startedAt);
    });

    test('all are verified; drills without a name take each store in turn, the encrypted one where the identity is', async () => {
      for (const store of ['vault', 'offsite', 'long'])
        expect(await all.coldbackup('sets', 'verify', 'mini', set, '--store', store)).toMatchObject({
          code: 0,
          stdout: expect.stringMatching(/^every digest is right: 1 artifact, .*read\n$/),
        });
      const drilled: string[] = [];
      for (let turn = 1; turn <= 3; turn += 1) {
        const { code, stderr, stdout } = await all.coldbackup('drill', 'mini', '--wait');
        expect([code, stderr]).toEqual([0, '']);
        drilled.push(/store (\w+) · proven\n/.exec(stdout)?.[1] ?? stdout);
      }
      expect(drilled.sort()).toEqual(['long', 'offsite', 'vault']);
    });

    test('a damaged archive and a damaged manifest are mended from the store that has the same bytes, and the screen says so', async () => {
      const inVault = (name: string) => join(site.store, 'mini', 'nightly', set, name);
      const archive = readFileSync(inVault('tree/files.tar.zst'));
      const manifest = readFileSync(inVault('manifest.json'));
      const flipped = Buffer.from(archive);
      flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 1;
      writeFileSync(inVault('tree/files.tar.zst'), flipped);
      writeFileSync(inVault('manifest.json'), manifest.subarray(0, 100));
      expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/ vault .* manifest cannot be read/);
      const mended = await all.coldbackup('sets', 'verify', 'mini', set, '--store', 'vault', '--mend');
      expect(mended).toMatchObject({ code: 0, stderr: '' });
      expect(mended.stdout).toMatch(
        /^every digest is right: .*\n {2}mended: manifest.json from long\n {2}mended: tree\/files.tar.zst from long\n$/,
      );
      expect(readFileSync(inVault('tree/files.tar.zst'))).toEqual(archive);
      expect(readFileSync(inVault('manifest.json'))).toEqual(manifest);
      expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/ vault .*, mended /);
    });

    test('without the identity the bytes are verified, and a drill says what is missing', async () => {
      const identity = readFileSync(key);
      rmSync(key);
      const verified = await all.coldbackup('sets', 'verify', 'mini', set, '--store', 'offsite');
      expect(verified.code).toBe(0);
      expect(verified.stdout).toContain('1 artifact encrypted: checked as stored');
      const drilled = await all.coldbackup('drill', 'mini', set, '--store', 'offsite', '--wait');
      expect(drilled.code).not.toBe(0);
      expect(`${drilled.stdout}${drilled.stderr}`).toMatch(/is encrypted to age1.*is not on this host/);
      writeFileSync(key, identity, { mode: 0o600 });
    });

    test('while the server is away the night goes on without it, and says so', async () => {
      await sshd.stop();
      const { stdout } = await all.coldbackup('plan', 'mini', 'nightly');
      expect(stdout).toMatch(
        /warning +db-1 +store offsite +.*could not be reached.*to the other stores alone/,
      );
      const report = await night();
      expect(report.outcome).toBe('complete');
      expect(report.sets.map(({ store }) => store).sort()).toEqual(['long', 'vault']);
      expect(report.warnings).toContainEqual(
        expect.stringMatching(/^store offsite gets no set of this run: .*could not be reached/),
      );
    });

    test('while the server is away what the others hold is listed, pruned, read again and planned to be restored all the same', async () => {
      const away = /store offsite could not be asked: Store offsite .*could not be reached/;
      const listed = await all.coldbackup('sets', 'mini', '--json');
      expect(listed).toMatchObject({ code: 0, stderr: expect.stringMatching(away) });
      const summaries = JSON.parse(listed.stdout) as readonly SetSummary[];
      expect([...new Set(summaries.map(({ store }) => store))].sort()).toEqual(['long', 'vault']);
      const plan = await all.coldbackup('restore', 'mini', set, '--plan', '--json');
      expect((JSON.parse(plan.stdout) as PlanAnswer).plan.warnings).toContainEqual(
        expect.stringMatching(away),
      );
      const named = await all.coldbackup('restore', 'mini', set, '--plan', '--store', 'vault', '--json');
      expect((JSON.parse(named.stdout) as PlanAnswer).plan.warnings).toEqual([]);
      const pruned = await all.coldbackup('prune', 'mini', '--dry-run');
      expect(pruned).toMatchObject({ code: 1, stdout: expect.stringContaining('not removed: offsite: ') });
      expect(pruned.stdout).toMatch(/ vault .* stays /);
      const verified: Promise<unknown> = temporal.workflow.execute('verify', {
        ...{ workflowId: randomUUID(), taskQueue: controlQueue },
        args: [{ site: 'mini', procedure: 'nightly', everyDays: 0 } satisfies VerifyInput],
      });
      const failure = await verified.catch((error: unknown) => error);
      expect(failure).toMatchObject({ cause: { type: 'NotRead', message: expect.stringMatching(away) } });
      const { details } = (failure as WorkflowFailedError).cause as ApplicationFailure;
      const { sets } = details?.[0] as Verified;
      expect([...new Set(sets.map(({ store }) => store))].sort()).toEqual(['long', 'vault']);
      expect(sets.flatMap(({ problems }) => problems)).toEqual([]);
      const none = await all.coldbackup('sets', 'show', 'mini', set, '--store', 'offsite');
      expect(none.code).not.toBe(0);
      expect(none.stderr).toMatch(away);
    });

    test('once it is back it gets its sets again', async () => {
      await sshd.start();
      expect((await night()).sets.map(({ store }) => store).sort()).toEqual(['long', 'offsite', 'vault']);
    });

    test('one set is removed from the one store that is named, and from no other', async () => {
      const listed = JSON.parse((await all.coldbackup('sets', 'mini', '--json')).stdout) as SetSummary[];
      const id =
        listed.findLast(({ proof, store }) => proof === undefined && store === 'vault')?.set.id ?? '';
      const remove = (...more: string[]) =>
        all.coldbackup('sets', 'remove', 'mini', id, '--yes', '--why', 'made by mistake', ...more);
      expect(await remove()).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/ is in (long, vault|vault, long): say which is meant \(--store\)\n$/),
      });
      expect(await remove('--store', 'long')).toEqual({
        ...{ code: 0, stdout: `removed: ${id} from long\n`, stderr: '' },
      });
      const left = JSON.parse((await all.coldbackup('sets', 'mini', '--json')).stdout) as SetSummary[];
      const isRemoved = (one: SetSummary) => one.set.id === id && one.store === 'long';
      expect(left).toEqual(listed.filter((one) => !isRemoved(one)));
    });
  },
);
