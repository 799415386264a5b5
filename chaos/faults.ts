import { existsSync, renameSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Started } from '../demo/local/processes.ts';
import { programOf, runningProcesses } from './processes.ts';
import { signalGroup } from '../activities/system/processes.ts';
import { waitFor } from '../demo/local/wait.ts';
import { awayMs, NotApplicable, type Fault, type Strike } from './fault.ts';
import { apartFaults } from './faults-apart.ts';
import { mongodbFaults } from './faults-mongodb.ts';
import type { Position } from './positions.ts';
import { graceMs, type ServiceName } from './site.ts';

const timerMs = 2_000;

export const faults: readonly Fault[] = [
  {
    name: 'agent killed, restarted at once',
    night: 'patient',
    // A copy's agent is missed after a minute without a beat.
    withinMs: 100_000,
    strike: ({ rig, host }) => rig.agents[host].kill('SIGKILL'),
    end: restartAgent,
  },
  {
    name: 'agent killed, never back (the timer)',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig, host }) => rig.agents[host].kill('SIGKILL'),
    end: async (cell) => void timer(cell),
    mend: restartAgent,
  },
  {
    name: 'agent suspended, woken after its timeout',
    night: 'patient',
    withinMs: 60_000,
    strike: ({ rig, host }) => rig.agents[host].kill('SIGSTOP'),
    end: async ({ rig, host }) => {
      const agent = rig.agents[host];
      await sleep(awayMs);
      agent.kill('SIGCONT');
    },
  },
  {
    name: 'agent suspended past the instant (the timer)',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig, host }) => rig.agents[host].kill('SIGSTOP'),
    end: async (cell) => void timer(cell, { hung: true }),
    mend: async (cell) => {
      cell.rig.agents[cell.host].kill('SIGKILL');
      await restartAgent(cell);
    },
  },
  secondAgent(),
  {
    name: 'control killed, restarted at once',
    night: 'patient',
    withinMs: 60_000,
    strike: ({ rig }) => rig.control.kill('SIGKILL'),
    end: async ({ rig }) => rig.startControl(),
  },
  {
    name: 'control killed, never back',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig }) => rig.control.kill('SIGKILL'),
    mend: async ({ rig }) => rig.startControl(),
  },
  {
    name: 'every workflow task fails, past up-by',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig }) => rig.control.kill('SIGKILL'),
    end: async ({ rig }) => rig.startControl({ broken: true }),
    mend: async ({ rig }) => {
      await rig.control.stop();
      await rig.startControl();
    },
  },
  {
    name: 'agent cut off from Temporal, past up-by',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig, host }) => rig.links[host].cut(),
    mend: ({ rig, host }) => rig.links[host].mend(),
  },
  {
    name: 'nothing gets through between agent and Temporal, past up-by',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig, host }) => rig.links[host].choke(),
    mend: ({ rig, host }) => rig.links[host].mend(),
  },
  {
    name: 'host loses power, and boots',
    night: 'patient',
    withinMs: 100_000,
    // The boot's, and where the stop comes after it, that of bringing back.
    starts: 2,
    strike: ({ rig, host }) => {
      rig.agents[host].kill('SIGKILL');
      rig.site.powerOff(host);
    },
    end: async (cell) => {
      await cell.rig.site.powerOn(cell.host);
      await restartAgent(cell);
    },
  },
  {
    name: 'server killed, restarted at once',
    night: 'patient',
    withinMs: 90_000,
    strike: ({ rig }) => rig.server.kill('SIGKILL'),
    end: async ({ rig }) => rig.server.restart(),
  },
  {
    name: 'server away longer than the heartbeat timeout',
    night: 'patient',
    withinMs: 90_000,
    strike: ({ rig }) => rig.server.kill('SIGKILL'),
    end: async ({ rig }) => {
      await sleep(awayMs);
      await rig.server.restart();
    },
  },
  {
    name: 'server never back before up-by + grace',
    night: 'short',
    withinMs: 20_000,
    strike: ({ rig }) => rig.server.kill('SIGKILL'),
    mend: async ({ rig }) => rig.server.restart(),
  },
  {
    name: 'run cancelled',
    night: 'patient',
    withinMs: 60_000,
    takesTime: true,
    strike: async ({ rig, run }) => {
      await rig.temporal.workflow.getHandle(run.workflowId, run.runId).cancel();
    },
    never: ['complete'],
    tooLateFrom: 'after the copy, before the set is there',
  },
  {
    name: 'run terminated (with a watchdog)',
    night: 'patient',
    withinMs: 60_000,
    watchdog: true,
    takesTime: true,
    strike: async ({ rig, run }) => {
      await rig.temporal.workflow.getHandle(run.workflowId, run.runId).terminate('chaos');
    },
  },
  {
    name: 'run reset to its begin',
    night: 'patient',
    withinMs: 60_000,
    takesTime: true,
    // A reset after the release is a second night.
    starts: 2,
    strike: reset,
  },
  abortWithoutControl(),
  stubbornService(),
  {
    name: 'a service refuses to start twice, then starts',
    night: 'patient',
    withinMs: 60_000,
    notAt: ({ name }) =>
      /web starts|release/.test(name) ? 'the service has been asked to start by then' : undefined,
    strike: ({ rig }) => rig.site.refuseToStart('web', 2),
    notSeen: ({ rig }) =>
      rig.site.refusesLeft('web') > 0
        ? `web was asked to start ${2 - rig.site.refusesLeft('web')} times`
        : undefined,
    mend: async ({ rig }) => rig.site.refuseToStart('web', 0),
  },
  {
    name: 'somebody starts a service during the copy',
    night: 'patient',
    withinMs: 60_000,
    starts: 2,
    takesTime: true,
    notAt: ({ name }) => (/step 4|after the copy/.test(name) ? undefined : 'it is about the copy'),
    strike: ({ rig }) => rig.site.startByForce('worker'),
    never: ['complete'],
    tooLateFrom: 'after the copy, before the set is there',
  },
  stalledCopy(),
  {
    name: 'the store is gone for a while',
    night: 'patient',
    withinMs: 60_000,
    notAt: ({ name }) =>
      /steps 3 and 4|step 4|after the copy/.test(name) ? undefined : 'nothing uses the store then',
    strike: ({ rig }) => renameSync(rig.site.store, `${rig.site.store}.away`),
    end: async ({ rig: { site } }) => {
      // The while that it is gone: several attempts of whatever wants it meet nothing.
      await sleep(6_000);
      if (existsSync(site.store)) renameSync(site.store, `${site.store}.made-meanwhile-${Date.now()}`);
      renameSync(`${site.store}.away`, site.store);
    },
  },
  ...mongodbFaults,
  ...apartFaults,
];

async function restartAgent({ rig, host }: Strike): Promise<void> {
  await rig.agents[host].exited;
  await rig.startAgent(host);
}

/** The systemd timer of that host, every 2 s; before the instant it does nothing but take processor time. */
async function timer({ rig, host, upByMs, backAgain }: Strike, { hung = false } = {}): Promise<void> {
  const instantMs = upByMs + graceMs;
  await sleep(Math.max(0, instantMs - Date.now()), undefined, { signal: backAgain }).catch(() => undefined);
  while (!backAgain.aborted) {
    // Instead of the minute that an agent must have given no sign for.
    const hungMs = Date.now() - 61_000;
    if (hung && rig.agents[host].exit() === undefined)
      utimesSync(join(rig.site.state, 'chaos', host, 'alive'), hungMs / 1_000, hungMs / 1_000);
    await rig.recoverIfOverdue(host);
    await sleep(timerMs, undefined, { signal: backAgain }).catch(() => undefined);
  }
}

function secondAgent(): Fault {
  const seconds = new WeakMap<Strike, Started>();
  return {
    name: 'a second agent of the host',
    night: 'patient',
    withinMs: 60_000,
    strike: async (cell) => void seconds.set(cell, await cell.rig.startAnotherAgent(cell.host)),
    end: async (cell) => {
      const second = seconds.get(cell);
      await waitFor(() => second?.exit() !== undefined, {
        what: 'the second agent to end',
        withinMs: 30_000,
      });
      if (second?.exit()?.code === 0 || second?.output().includes(' ready"') === true)
        throw new Error(`the second agent of ${cell.host} was not refused: ${second.output()}`);
    },
    never: ['failed', 'no-go', 'incomplete', 'not-back'],
  };
}

async function reset(cell: Strike): Promise<void> {
  const { rig, run } = cell;
  const { events } = await rig.temporal.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
  const first = events?.find(({ workflowTaskCompletedEventAttributes: done }) => done)?.eventId;
  if (first == null) throw new NotApplicable('the run has no completed workflow task yet');
  const { runId } = await rig.temporal.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: run,
    reason: 'chaos',
    workflowTaskFinishEventId: first,
    requestId: `chaos-${run.runId}`,
  });
  cell.run = { ...run, runId };
}

function abortWithoutControl(): Fault {
  return {
    name: 'abort sent while control is down',
    night: 'patient',
    withinMs: 60_000,
    strike: ({ rig }) => rig.control.kill('SIGKILL'),
    end: async ({ rig }) => {
      const abort = await rig.coldbackup('abort', 'chaos', '--by', 'chaos', '--why', 'a test');
      // The command starts within this time, and then waits for somebody to take its word: it shows nothing meanwhile.
      await sleep(2_000);
      await rig.startControl();
      await abort.exited;
    },
    never: ['complete'],
    tooLateFrom: 'after the copy, before the set is there',
  };
}

/** Whoever compresses heeds nothing any more, so that nobody reads: SIGKILL alone ends it. */
function stalledCopy(): Fault {
  return {
    name: 'a copy stalls, and its processes heed no SIGTERM',
    night: 'short',
    withinMs: 20_000,
    notAt: ({ name }) => (/^in step 4 \(/.test(name) ? undefined : 'nothing is being copied'),
    strike: async ({ rig }) => {
      const zstd = await waitFor(
        () => runningProcesses(rig.journal('db-1')).find(({ pid }) => programOf(pid) === 'zstd'),
        { what: 'zstd', withinMs: 2_000 },
      );
      signalGroup(zstd.pid, zstd.startTime, 'SIGSTOP');
    },
    never: ['complete'],
  };
}

function stubbornService(): Fault {
  const next = ({ name }: Position): ServiceName | null => {
    if (/^before (the claim|step 1)$/.test(name)) return 'web';
    return /steps 1 and 2|step 2|steps 2 and 3/.test(name) ? 'worker' : null;
  };
  return {
    name: 'a service refuses to stop',
    night: 'patient',
    withinMs: 60_000,
    notAt: (position) => (next(position) === null ? 'no stop comes next' : undefined),
    strike: ({ rig, position }) => rig.site.refuseToStop(next(position) ?? 'web', true),
    mend: async ({ rig, position }) => rig.site.refuseToStop(next(position) ?? 'web', false),
    never: ['complete', 'no-go', 'already-ran'],
  };
}
