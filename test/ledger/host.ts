import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aloneStep, type AloneStep } from '../../activities/ledger/alone.ts';
import { createJobs, type Jobs } from '../../activities/ledger/jobs.ts';
import { openJournal, type Journal } from '../../activities/ledger/journal.ts';
import { createLedger } from '../../activities/ledger/ledger.ts';
import type { World } from '../../activities/ledger/world.ts';
import { parseSite } from '../../config/load.ts';
import type { LedgerActivities } from '../../model/activities.ts';
import type { ChangeRequest, ClaimRequest, Ref, StopEvidence } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { spoil } from '../config/small-site.ts';

/** One host with a real journal over a world of values; what the world is asked is written down. */
export interface TestHost {
  readonly folder: string;
  readonly ledger: LedgerActivities;
  readonly journal: Journal;
  readonly jobs: Jobs;
  readonly asked: string[];
  readonly states: Map<string, 'running' | 'stopped'>;
  /** Runs inside each stop, after the intent. */
  duringStop: (signal: AbortSignal) => Promise<void>;
  /** What each stop says. */
  stopped: StopEvidence;
  /** Runs inside the making of each snapshot. */
  duringSnapshot: (hooks: { signal: AbortSignal; onProcess: (pid: number) => void }) => Promise<void>;
  /** Runs inside the unpacking of each set. */
  duringUnpack: (hooks: { signal: AbortSignal; onProcess: (pid: number) => void }) => Promise<void>;
  /** Runs inside each moving aside, before it is done. */
  duringMove: () => Promise<void>;
  /** Runs inside each moving back, before it is done. */
  duringMoveBack: () => Promise<void>;
  /** Of the data, as it lies. */
  inode: string;
  /** Runs inside each start. */
  duringStart: () => Promise<void>;
  nowMs: number;
  /** What the agent does once by itself at this moment. */
  alone(): Promise<AloneStep>;
  claim(request?: Partial<ClaimRequest>): Promise<Ref>;
  change(ref: Ref, id: string, more?: Partial<ChangeRequest>): ChangeRequest;
  /** The agent dies and is started again on the same folder. */
  restart(): TestHost;
  close(): void;
}

export const digest = 'd'.repeat(64);

export function openTestHost(folder = mkdtempSync(join(tmpdir(), 'coldbackup-ledger-'))): TestHost {
  const site = smallSite();
  const name = Object.keys(site.services)[0] ?? '';
  const service = site.services[name];
  if (service === undefined) throw new Error('the small site has no service');
  const host = service.hosts[0];
  const journal = openJournal(folder);
  const asked: string[] = [];
  const states = new Map<string, 'running' | 'stopped'>([[name, 'running']]);
  let open = true;
  const end = () => {
    if (open) journal.release();
    open = false;
  };
  const jobs = createJobs(journal, () => new Date().toISOString());
  const test: TestHost = {
    ...{ folder, journal, jobs, asked, states },
    ledger: createLedger({
      ...{ host, site, siteDigest: digest, journal, jobs },
      world: worldOf(),
      signal: () => new AbortController().signal,
      warn: () => undefined,
      now: () => test.nowMs,
    }),
    duringStop: async () => undefined,
    stopped: { tookMs: 1, exitStatus: 0, instance: '1' },
    duringStart: async () => undefined,
    duringSnapshot: async () => undefined,
    duringUnpack: async () => undefined,
    duringMove: async () => undefined,
    duringMoveBack: async () => undefined,
    inode: '1',
    alone: () =>
      aloneStep({
        ...{ site, host, siteDigest: digest, journal, ledger: test.ledger, now: () => test.nowMs },
        log: { info: () => undefined, warn: () => undefined },
      }),
    nowMs: Date.parse('2026-11-21T20:00:00Z'),
    async claim(request = {}) {
      const { journal: id, epoch } = await test.ledger.claim({
        ...{ protocol: 1, site: site.site, host, siteDigest: digest, procedure: 'nightly' },
        ...{ workflowId: 'w1', runId: 'r1', night: '2026-11-21', again: false, holds: [`service/${name}`] },
        ...{ upBy: '2026-11-22T07:30:00.000Z', hardLimit: '2026-11-22T09:30:00.000Z' },
        ...request,
      });
      return { site: site.site, host, journal: id, epoch, siteDigest: digest };
    },
    change: (ref, id, more = {}) => ({
      ...{ ref, id, position: id, change: { kind: 'service-stopped', service: name } },
      notAfter: new Date(test.nowMs + 60_000).toISOString(),
      ...more,
    }),
    restart() {
      end();
      const next = openTestHost(folder);
      for (const [key, state] of states) next.states.set(key, state);
      next.nowMs = test.nowMs;
      return next;
    },
    close() {
      end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return test;

  function worldOf(): World {
    return {
      observe: async () => ({ kind: 'service', state: states.get(name) ?? 'stopped', dragged: [] }),
      async stop(_service, { signal }) {
        asked.push('stop');
        await test.duringStop(signal);
        states.set(name, 'stopped');
        return test.stopped;
      },
      stateOf: async () => states.get(name) ?? 'stopped',
      letGo: async () => void asked.push('let go'),
      async start() {
        asked.push('start');
        await test.duringStart();
        states.set(name, 'running');
      },
      instanceOf: async () => '1',
      guard: async () => 'holds',
      balancer: {
        observe: async () => ({ kind: 'balancer', settings: null }),
        stop: async () => undefined,
        restore: async (of, { settings }) => void asked.push(`balancer of ${of} ${JSON.stringify(settings)}`),
      },
      snapshot: {
        make: async (_change, place, hooks) => {
          asked.push(`copy to ${place.path}`);
          await test.duringSnapshot(hooks);
        },
        remove: async ({ path }) => void asked.push(`remove ${path}`),
      },
      restore: {
        observe: async () => ({ kind: 'data', inodes: { '/data/db': test.inode } }),
        unpack: async (_change, place, hooks) => {
          asked.push(`unpack in ${place.staging}`);
          await test.duringUnpack(hooks);
        },
        remove: async ({ staging }) => void asked.push(`remove ${staging}`),
        moveAside: async (_change, { roots }) => {
          asked.push(`move ${roots.map(({ path, aside }) => `${path} to ${aside}`).join(', ')}`);
          await test.duringMove();
          return roots.map(({ aside }) => aside);
        },
        moveBack: async ({ roots }, { inodes }) => {
          await test.duringMoveBack();
          asked.push(
            `move back ${roots.map(({ path }) => `${path} ${inodes[path] ?? 'nothing'}`).join(', ')}`,
          );
          return 'the data is as it was found';
        },
        aside: async ({ roots }) => roots.map(({ aside }) => aside),
      },
    };
  }
}

export function smallSite(): Site {
  const parsed = parseSite(spoil(['      members:', '      copy-by: auto\n      members:']), 'small.yaml');
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.site;
}
