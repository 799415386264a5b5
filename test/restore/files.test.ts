import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { pack } from 'tar-stream';
import type { JournalRecord } from '../../activities/ledger/records.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { Artifact, Manifest } from '../../model/manifest.ts';
import type { Report } from '../../model/progress.ts';
import { controlQueue } from '../../workflows/messages.ts';
import { picture } from '../archive/support.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { main, startAll, type Running } from '../cli/coldbackup.ts';
import { createCleanup, waitFor, type Started } from '../support/processes.ts';

/** A set made by a real night, restored in place by the command line through a real server, control and agents. */
describe('coldbackup restore of a tree of files', () => {
  const cleanup = createCleanup();
  const original = process.env['PATH'] ?? '';
  let site: MiniSite;
  let all: Running;
  let agent: Started | undefined;
  let set: string;
  let data: string;
  let atBackup: string;
  /** While this file is there, unpacking does not end. */
  let slow: string;
  /** While this file is there, the agent of app-1 does not attest that what was stopped stayed so. */
  let unattested: string;

  beforeAll(async () => {
    site = await createMiniSite(cleanup, { copied: true });
    data = join(dirname(site.store), 'data');
    const tools = await cleanup.folder();
    slow = join(tools, 'slow');
    const tar = `#!/bin/sh\nPATH=${original}\ntar "$@" || exit\ncase "$1" in --extract) while [ -e ${slow} ]; do sleep 0.1; done;; esac\n`;
    writeFileSync(join(tools, 'tar'), tar);
    chmodSync(join(tools, 'tar'), 0o755);
    process.env['PATH'] = `${tools}:${original}`;
    unattested = join(tools, 'unattested');
    addSecondHost(site.file, { data, unattested });
    await makeOddTree(join(data, 'odd'));
    atBackup = await picture(join(data, 'odd'));
    all = await startAll(cleanup, site);
    agent = all.agents['db-1'];
    const { code, stdout } = await all.coldbackup('run', 'mini', 'nightly', '--wait', '--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome]).toEqual([0, 'complete']);
    set = report.sets[0]?.set.id ?? '';
    await changeOddTree(join(data, 'odd'));
  }, 120_000);
  afterEach(() => {
    for (const flag of [slow, unattested]) rmSync(flag, { force: true });
  });
  afterAll(async () => {
    process.env['PATH'] = original;
    await cleanup.run();
  });

  test('of a night in which its writers were up again before the archive began, and no copy stayed', () => {
    const closed = join(site.state, 'mini', 'db-1', 'closed');
    const lines = readFileSync(join(closed, readdirSync(closed)[0] ?? ''), 'utf8')
      .trim()
      .split('\n');
    const records = lines.map((line) => JSON.parse(line) as JournalRecord);
    const told = records.flatMap((record) => {
      if (record.r === 'intent') return record.change.kind;
      return record.r === 'undone' ? record.did : record.r === 'job' ? 'archive begun' : [];
    });
    expect(told).toEqual(['service-stopped', 'snapshot-made', 'started', 'archive begun', 'removed']);
    expect(readdirSync(join(dirname(site.store), 'copies'))).toEqual([]);
  });

  test('with --plan says what would be replaced, and changes nothing', async () => {
    const before = await everything();
    const planned = await all.coldbackup('restore', 'mini', set, '--plan');
    expect(planned).toMatchObject({ code: 0, stderr: '' });
    expect(planned.stdout).toMatch(new RegExp(`^${data} +db-1 +tree/files.tar.zst`, 'm'));
    expect(planned.stdout).toContain(`${data} will be moved aside, and stay there until you remove it`);
    expect(await everything()).toEqual(before);
  });

  test('is refused without a reason, and off a terminal without --yes: nothing is changed', async () => {
    const before = await everything();
    const noReason = await all.coldbackup('restore', 'mini', set, '--yes');
    expect(noReason).toMatchObject({ code: 2, stderr: expect.stringContaining('--why') });
    const notAsked = await all.coldbackup('restore', 'mini', set, '--why', 'a test');
    expect(notAsked).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no terminal to ask on'),
    });
    const unknown = await all.coldbackup('restore', 'mini', set, '--database', 'tre', '--plan');
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean "tree"') });
    expect(await everything()).toEqual(before);
  });

  test('asks on a terminal, and takes only "yes" for an answer: nothing is changed', async () => {
    const before = await everything();
    const typed = [...main, 'restore', 'mini', set, '--why', 'test'].join(' ');
    const { stdout, exitCode } = await runCommand(['script', '-qec', typed, '/dev/null'], {
      ...{ input: 'y\n', acceptExit: [3] },
      env: { TEMPORAL_ADDRESS: all.server.address, TERM: 'xterm' },
    });
    expect([exitCode, stdout]).toEqual([3, expect.stringContaining('Replace this data now?')]);
    expect(stdout).toContain(`${data} will be moved aside`);
    expect(stdout).toMatch(/nothing was changed\s*$/);
    expect(await everything()).toEqual(before);
  });

  test('with --to unpacks it into a new folder, where all is as at the backup: nothing is stopped or replaced', async () => {
    const before = await everything();
    const { code, stdout } = await lookAt('now', '--wait', '--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome, report.services]).toEqual([0, 'complete', []]);
    const path = join(look(), 'now', 'tree.files');
    expect(report.restore).toMatchObject({ committed: true, targets: [{ replaces: [path], aside: [] }] });
    expect(await picture(join(path, data, 'odd'))).toBe(atBackup);
    expect(readdirSync(join(look(), 'now'))).toEqual(['tree.files']);
    expect(await everything()).toEqual(before);
    const again = await lookAt('now', '--plan');
    expect([again.code, again.stdout]).toEqual([3, expect.stringContaining('now is not empty')]);
  });

  test('keeps its set from retention as long as it reads it, and no longer', async () => {
    const newer = [1, 2, 3].map((day) => `2999-01-0${day}T190000Z-0a1b2c3d`);
    for (const id of newer) copySet(id);
    writeFileSync(slow, '');
    const looked = lookAt('held', '--wait');
    await waitFor(() => existsSync(join(folder(), 'in-use.json')), {
      ...{ what: 'the set to be in use', withinMs: 60_000 },
    });
    const kept = await all.coldbackup('prune', 'mini', 'nightly');
    expect(kept).toMatchObject({ code: 0, stdout: expect.stringMatching(/stays +in use: restore, at most/) });
    expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/ 1, in use: restore/);
    rmSync(slow);
    expect((await looked).code).toBe(0);
    expect(existsSync(join(folder(), 'in-use.json'))).toBe(false);
    const { stdout } = await all.coldbackup('prune', 'mini', 'nightly', '--dry-run');
    expect(stdout).toMatch(new RegExp(`^${set} .* would go +no rule keeps it`, 'm'));
    for (const id of newer) rmSync(join(folder(), '..', id), { recursive: true });
  });

  test('prune also clears what a procedure has left that never published a set, and says so before', async () => {
    const left = join(site.store, 'mini', 'left', '2026-01-01T190000Z-0a1b2c3d');
    mkdirSync(left, { recursive: true });
    await runCommand(['touch', '-d', '2 days ago', left]);
    const dry = await all.coldbackup('prune', 'mini', '--dry-run');
    expect(dry.stdout).toMatch(
      /^2026-01-01T190000Z-0a1b2c3d +left +vault +no set +would go +never published$/m,
    );
    expect(dry.stdout).toMatch(/0 would go \(0 B\); of 1 run that published nothing the remains would go\n$/);
    expect(existsSync(left)).toBe(true);
    expect(await all.coldbackup('prune', 'mini')).toMatchObject({ code: 0 });
    expect(existsSync(left)).toBe(false);
  });

  test('with --to is refused where the site file does not allow it, also behind a link', async () => {
    const away = await cleanup.folder();
    symlinkSync(away, join(look(), 'link'));
    const behind = await lookAt('link/now', '--plan');
    expect([behind.code, behind.stdout]).toEqual([3, expect.stringContaining('which is not below')]);
    for (const to of [away, look(), `${look()}/../elsewhere`, 'relative']) {
      const said = await all.coldbackup('restore', 'mini', set, '--to', to, '--plan');
      expect([said.code, said.stderr]).toEqual([2, expect.stringContaining('which restore-to of the site')]);
    }
    expect(readdirSync(away)).toEqual([]);
  });

  test('with --to of a damaged set leaves nothing where it was to lie', async () => {
    const artifact = join(folder(), 'tree', 'files.tar.zst');
    const whole = readFileSync(artifact);
    const bytes = Buffer.from(whole);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(artifact, bytes);
    mkdirSync(join(look(), 'empty'));
    for (const name of ['new', 'empty']) {
      const { code, stdout } = await lookAt(name, '--wait', '--json');
      expect([code, (JSON.parse(stdout) as Report).reason]).toEqual([
        1,
        expect.stringContaining('was changed, its SHA-256 is'),
      ]);
    }
    writeFileSync(artifact, whole);
    expect(existsSync(join(look(), 'new'))).toBe(false);
    expect(readdirSync(join(look(), 'empty'))).toEqual([]);
  });

  test('finds a damaged artifact before any service is stopped: everything is as before, and it says so', async () => {
    const artifact = join(folder(), 'tree', 'files.tar.zst');
    const whole = readFileSync(artifact);
    const bytes = Buffer.from(whole);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(artifact, bytes);
    await expectRefused('was changed, its SHA-256 is');
    writeFileSync(artifact, whole);
  });

  test.each([
    ['a path that climbs out', 'climb/../../../evil', 'climbs out'],
    ['a root that is not to be replaced', 'etc/coldbackup-evil', 'the site file names'],
  ])('refuses an archive with %s, whatever its manifest says: nothing is changed', async (_, path, words) => {
    const kept = await cleanup.folder();
    cpSync(folder(), kept, { recursive: true, preserveTimestamps: true });
    await forge(path);
    await expectRefused(words);
    expect(existsSync('/etc/coldbackup-evil')).toBe(false);
    cpSync(kept, folder(), { recursive: true, force: true, preserveTimestamps: true });
  });

  test('of an agent that is killed while it unpacks is given up by recover: everything is as before', async () => {
    const before = await everything();
    writeFileSync(slow, '');
    const ended = restore();
    await unpacking();
    agent?.kill('SIGKILL');
    const place = ['--site', site.file, '--host', 'db-1', '--state', site.state];
    expect(await all.coldbackup('recover', ...place)).toMatchObject({ code: 0 });
    rmSync(slow);
    expect(await everything()).toEqual(before);
    await all.coldbackup('abort', 'mini', 'restore', '--why', 'test');
    agent = await all.startAgent('db-1');
    expect((await ended).code).not.toBe(0);
    expect(await everything()).toEqual(before);
  }, 120_000);

  test('of an agent that is killed right after the data was moved is as before or done, never half', async () => {
    const before = await picture(join(data, 'odd'));
    const moved = new Promise<void>((resolve) => {
      const watcher = watch(dirname(data), (_, name) => {
        if (name?.includes('.before-') !== true) return;
        agent?.kill('SIGKILL');
        watcher.close();
        resolve();
      });
    });
    const ended = restore();
    await moved;
    const place = ['--site', site.file, '--host', 'db-1', '--state', site.state];
    expect(await all.coldbackup('recover', ...place)).toMatchObject({ code: 0 });
    const [aside] = namesBeside().filter((name) => name.includes('.before-'));
    expect(await picture(join(data, 'odd'))).toBe(aside === undefined ? before : atBackup);
    expect(namesBeside()).toHaveLength(aside === undefined ? 1 : 2);
    await all.coldbackup('abort', 'mini', 'restore', '--why', 'test');
    agent = await all.startAgent('db-1');
    await ended;
    expect(await site.services()).toEqual(asFound);
    if (aside !== undefined) {
      rmSync(join(dirname(data), aside), { recursive: true });
      await changeOddTree(join(data, 'odd'));
    }
  }, 120_000);

  test('puts back the tree of the backup: names, links, owners, modes, attributes; and what it replaced stays aside', async () => {
    const before = await picture(join(data, 'odd'));
    const { code, stdout } = await restore('--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome, report.reason]).toEqual([0, 'complete', null]);
    expect(await picture(join(data, 'odd'))).toBe(atBackup);
    const [aside = ''] = report.restore?.targets[0]?.aside ?? [];
    expect(aside).toMatch(new RegExp(`^${data}\\.before-\\d{8}T\\d{6}Z-[0-9a-f]{8}$`));
    expect(await picture(join(aside, 'odd'))).toBe(before);
    expect(await site.services()).toEqual(asFound);
    expect(namesBeside()).toEqual(['data', aside.slice(dirname(data).length + 1)]);
    await waitFor(() => existsSync(join(data, 'web')), { what: 'web writes there', withinMs: 10_000 });
    rmSync(aside, { recursive: true });
  });

  test('that one host could not keep says which host has the restored data, and which may have the old', async () => {
    writeFileSync(join(conf(), 'file'), 'as at the backup');
    const night = await all.coldbackup('run', 'mini', 'both', '--wait', '--json');
    const backedUp = JSON.parse(night.stdout) as Report;
    expect([backedUp.outcome, backedUp.reason]).toEqual(['complete', null]);
    const id = backedUp.sets[0]?.set.id ?? '';
    writeFileSync(join(conf(), 'file'), 'as it is now');
    await changeOddTree(join(data, 'odd'));
    const before = await picture(join(data, 'odd'));

    writeFileSync(unattested, '');
    const ended = all.coldbackup('restore', 'mini', id, '--yes', '--why', 'a test', '--wait', '--json');
    await onlyAppHasToAttest(id);
    agent?.kill('SIGKILL');
    rmSync(unattested);
    const journal = join(site.state, 'mini', 'app-1', 'journal.jsonl');
    await waitFor(() => readFileSync(journal, 'utf8').includes('"r":"commit"'), {
      ...{ what: 'app-1 to keep its part', withinMs: 60_000 },
    });
    const place = ['--site', site.file, '--host', 'db-1', '--state', site.state];
    expect(await all.coldbackup('recover', ...place)).toMatchObject({ code: 0 });
    agent = await all.startAgent('db-1');
    const { code, stdout } = await ended;
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome]).toEqual([1, 'failed']);
    expect(report.reason).toMatch(
      /the restored data is kept on app-1, and perhaps not on others: db-1: .* no longer holds db-1 .*Look at the hosts before anything writes/,
    );
    expect(report.restore).toMatchObject({ committed: true });
    expect(readFileSync(join(conf(), 'file'), 'utf8')).toBe('as at the backup');
    expect(await picture(join(data, 'odd'))).toBe(before);
    expect(await site.services()).toEqual(asFound);
  }, 120_000);

  test('goes on after its agent was killed while it unpacked, and started again', async () => {
    await changeOddTree(join(data, 'odd'));
    writeFileSync(slow, '');
    const ended = restore();
    await unpacking();
    agent?.kill('SIGKILL');
    rmSync(slow);
    await all.startAgent('db-1');
    expect(await ended).toMatchObject({ code: 0 });
    expect(await picture(join(data, 'odd'))).toBe(atBackup);
    expect(namesBeside()).toHaveLength(2);
    expect((await ended).stdout).toContain(`rm -r -- ${data}.before-`);
    expect(await site.services()).toEqual(asFound);
  }, 120_000);

  function restore(...options: readonly string[]) {
    return all.coldbackup('restore', 'mini', set, '--yes', '--why', 'a test', '--wait', ...options);
  }

  function lookAt(name: string, ...options: readonly string[]) {
    return all.coldbackup('restore', 'mini', set, '--to', join(look(), name), '--why', 'a test', ...options);
  }

  function look(): string {
    return join(dirname(site.store), 'look');
  }

  function conf(): string {
    return confBeside(data);
  }

  async function onlyAppHasToAttest(id: string): Promise<void> {
    const connection = await Connection.connect({ address: all.server.address });
    try {
      const run = new Client({ connection }).workflow.getHandle(`${controlQueue}/mini/restore/${id}`);
      await waitFor(
        async () => {
          const { pendingActivities } = (await run.describe()).raw;
          return (
            (pendingActivities ?? []).filter(({ activityType }) => activityType?.name === 'attest').length ===
            1
          );
        },
        { what: 'db-1 to attest', withinMs: 60_000 },
      );
    } finally {
      await connection.close();
    }
  }

  async function unpacking(): Promise<void> {
    await waitFor(() => namesBeside().some((name) => name.includes('.coldbackup-')), {
      ...{ what: 'the set to be unpacked', withinMs: 60_000 },
    });
  }

  async function expectRefused(words: string): Promise<void> {
    const before = await everything();
    const { code, stdout } = await restore('--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome]).toEqual([1, 'failed']);
    expect(report.reason).toContain(words);
    expect(report.restore?.committed).toBe(false);
    expect(await everything()).toEqual(before);
  }

  /** Of what a restore might touch: the services never restarted, the tree and what lies beside it. */
  async function everything(): Promise<unknown> {
    const tree = await picture(join(data, 'odd'));
    return { services: await site.services(), starts: site.starts(), tree, beside: namesBeside() };
  }

  function namesBeside(): readonly string[] {
    return readdirSync(dirname(data)).filter((name) => name.startsWith('data'));
  }

  function folder(): string {
    return join(site.store, 'mini', 'nightly', set);
  }

  /** The same content, of another night. */
  function copySet(id: string): void {
    const to = join(folder(), '..', id);
    cpSync(folder(), to, { recursive: true });
    const file = join(to, 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
    const other = { set: { ...manifest.set, id }, night: id.slice(0, 10) };
    writeFileSync(file, JSON.stringify({ ...manifest, ...other }));
  }

  /** An archive that was made to do harm, by somebody who could write its list and its manifest too. */
  async function forge(path: string): Promise<void> {
    const packed = pack();
    packed.entry({ name: 'climb', type: 'directory' });
    packed.entry({ name: path }, 'evil');
    packed.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of packed) chunks.push(chunk as Buffer);
    const artifact = join(folder(), 'tree', 'files.tar.zst');
    rmSync(artifact);
    writeFileSync(`${artifact}.raw`, Buffer.concat(chunks));
    await runCommand(['zstd', '-q', '--rm', `${artifact}.raw`, '-o', artifact]);
    const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
    const list = `${sha256('evil')}  ${path}\n`;
    writeFileSync(`${artifact}.files`, list);
    const file = join(folder(), 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
    const stored = readFileSync(artifact);
    const artifacts = manifest.artifacts.map((one): Artifact => ({
      ...{ ...one, sizeBytes: stored.length, sha256: sha256(stored), contentBytes: 4, files: 1 },
      fileList: { name: `${one.name}.files`, sha256: sha256(list), sizeBytes: list.length },
    }));
    writeFileSync(file, JSON.stringify({ ...manifest, artifacts }));
  }
});

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };

function confBeside(data: string): string {
  return join(dirname(data), 'conf');
}

/** Data on app-1 too, and a procedure that backs both up. */
function addSecondHost(
  siteFile: string,
  { data, unattested }: { readonly data: string; readonly unattested: string },
): void {
  mkdirSync(confBeside(data));
  const script = `${unattested}.sh`;
  const waits = `while [ -e ${unattested} ] && ls -d ${data}.before-* >&2; do sleep 0.1; done`;
  writeFileSync(script, `#!/bin/sh\n${waits}\nexec "$@"\n`);
  chmodSync(script, 0o755);
  const text = readFileSync(siteFile, 'utf8')
    .replace(/(instance: \[)(?=.*\/web\])/, `$1${script}, `)
    .replace(
      /(?=^stores:)/m,
      `  conf:\n    used-by: [web]\n    files: { host: app-1, roots: [${confBeside(data)}] }\n`,
    );
  const upBy = /up-by: .*/.exec(text)?.[0] ?? '';
  const both = `  both:
    ${upBy}
    steps:
      - stop: [web, worker, archive]
      - backup: { databases: [tree, conf], method: cold, to: [vault] }
`;
  writeFileSync(siteFile, `${text}${both}`);
}

async function makeOddTree(tree: string): Promise<void> {
  const script = `
    mkdir -p "$0/sub/empty"; cd "$0"; printf one > one; ln one two; ln -s one three; ln -s ../one sub/up
    printf odd > $'new\\nline'; printf bytes > $'\\xff\\xfe'; truncate -s 5M sparse; printf x >> sparse
    chown 1234:4321 two; chmod 4711 one; chmod 0500 sub
    setfattr -n user.mark -v yes one; setfacl -m u:1234:r 'sub/empty'; touch -d '2001-02-03 04:05:06.789 UTC' sub/empty`;
  await runCommand(['bash', '-ec', script, tree]);
}

async function changeOddTree(tree: string): Promise<void> {
  const script = `cd "$0"; printf changed > one; rm -f three $'new\\nline'; chmod 0777 sub; printf new > sub/added; chown 0:0 two`;
  await runCommand(['bash', '-ec', script, tree]);
}
