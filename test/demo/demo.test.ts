import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { cacheFolder } from '../../scripts/components.mjs';
import { sendSignal, waitFor } from '../support/processes.ts';

/** Slow machines, and an emulator on some: under 4 minutes on two idle cores, at a pace of 1. */
const longestMs = 15 * 60_000;

const runs: Run[] = [];

afterAll(async () => {
  await Promise.all(runs.map(endRun));
}, 60_000);

describe('npm run demo', () => {
  test(
    'runs the night of the example, proves it by looking, and leaves neither process nor folder behind',
    async () => {
      const run = start();
      await until(run, 'the night', () => run.output().includes('$ coldbackup run vitam nightly --wait'));
      // Temporal, control, 3 agents; 10 servers and 12 services, each with its manager and its watch.
      expect(processesOf(run).length).toBeGreaterThan(60);
      await waitFor(() => run.exitCode() !== undefined, { what: 'the end', withinMs: longestMs });
      if (run.exitCode() !== 0) throw new Error(run.output());
      expect(proofOf(run)).toEqual([
        '✓ 12 Vitam services run, each was started once',
        '✓ 4 servers run that were copied, each was started once',
        '✓ 7 other servers run, and were never stopped',
        '✓ a chunk can be moved to the other shard',
        '✓ access-external was found stopped, and is stopped',
        '✓ coldbackup sets verify: every digest is right',
        '✓ config has a primary and two secondaries, the members it had',
        '✓ configuration: its N files are in the copy, each with its digest, and no other',
        '✓ elasticsearch-data: its N files are in the copy, each with its digest, and no other',
        '✓ no host is held by a run any more',
        '✓ offer has its primary',
        '✓ offer-files: its N files are in the copy, each with its digest, and no other',
        '✓ sha256sum --check: every digest is right',
        '✓ shard1 has a primary and two secondaries, the members it had',
        '✓ shard2 has a primary and two secondaries, the members it had',
        '✓ the balancer’s settings are what they were, word for word',
        '✓ the copies of 2 shards hold the N documents acknowledged, and no other',
        '✓ the copy of the config servers has the chunks as they lay',
        '✓ the copy of the offer’s MongoDB holds the N documents acknowledged, and no other',
        '✓ the night is complete',
        '✓ the services write again',
      ]);
      expect(processesOf(run)).toEqual([]);
      expect(foldersOf(run)).toEqual([]);
    },
    longestMs,
  );

  test(
    'ends everything at Ctrl-C in the middle, and leaves neither process nor folder behind',
    async () => {
      const run = start();
      await waitFor(() => processesOf(run).length > 20, {
        what: 'the servers to start',
        withinMs: longestMs,
      });
      sendSignal(run.child.pid ?? 0, 'SIGINT');
      await waitFor(() => run.exitCode() !== undefined, { what: 'the end', withinMs: 60_000 });
      expect(run.exitCode()).toBe(130);
      expect(processesOf(run)).toEqual([]);
      expect(foldersOf(run)).toEqual([]);
    },
    longestMs,
  );
});

interface Run {
  readonly child: ChildProcess;
  /** HOME of everything that the demo starts, which is how its processes are known. */
  readonly home: string;
  readonly output: () => string;
  readonly exitCode: () => number | null | undefined;
}

/** As a user does, who has built it. */
function start(): Run {
  const home = mkdtempSync(join(tmpdir(), 'coldbackup-demo-test-'));
  const child = spawn(process.execPath, ['dist/demo/main.js', '--pace', '1.5'], {
    env: { ...process.env, HOME: home, TMPDIR: home, COLDBACKUP_CACHE: cacheFolder() },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  let exitCode: number | null | undefined;
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  child.once('close', (code) => (exitCode = code));
  const run: Run = { child, home, output: () => output, exitCode: () => exitCode };
  runs.push(run);
  return run;
}

function until(run: Run, what: string, check: () => boolean): Promise<boolean> {
  const unless = () => (run.exitCode() === undefined ? undefined : run.output());
  return waitFor(check, { what, withinMs: longestMs, unless });
}

function proofOf(run: Run): readonly string[] {
  return run
    .output()
    .split('\n')
    .filter((line) => /^[✓✗] /.test(line))
    .map((line) => line.replace(/ \d+ (documents|files) /, ' N $1 '))
    .sort();
}

/** Every process with this home, whoever started it; one that only waits to be reaped has none. */
function processesOf({ home }: Run): readonly string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    const environment = contentOf(`/proc/${pid}/environ`);
    if (!environment.split('\0').includes(`HOME=${home}`)) return [];
    return [`${pid} ${contentOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`];
  });
}

function foldersOf({ home }: Run): readonly string[] {
  return readdirSync(home).filter((name) => name.startsWith('coldbackup'));
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

async function endRun(run: Run): Promise<void> {
  if (run.exitCode() === undefined) {
    sendSignal(run.child.pid ?? 0, 'SIGTERM');
    await waitFor(() => run.exitCode() !== undefined, { what: 'the demo to end', withinMs: 50_000 }).catch(
      () => sendSignal(run.child.pid ?? 0, 'SIGKILL'),
    );
  }
  if (existsSync(run.home)) rmSync(run.home, { recursive: true, force: true });
}
