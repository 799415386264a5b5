import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endOf, isAlive, sendSignal, startProcess, type Exit, type Started } from '../processes.ts';
import { waitFor } from '../wait.ts';

/** A mongod or mongos on this machine, running or not: all that is needed to stop and start it by other means. */
export interface Server {
  /** As the cluster calls it: 127.0.0.1:PORT. */
  name: string;
  port: number;
  /** The full argument vector, with the emulator if there is one. It stays in the foreground. */
  command: readonly string[];
  /** For a direct connection, with credentials if there are any. */
  uri: string;
  pidFile: string;
  logFile: string;
}

/** A mongod of a replica set. */
export interface Member extends Server {
  /** The name of its replica set. */
  set: string;
  dataDir: string;
}

/** Starts and stops the servers of one deployment. */
export interface Servers {
  /** Starts a server and waits until it accepts connections. Throws with the end of its log when it ends before. */
  start: (server: Server) => Promise<void>;
  /**
   * Sends SIGTERM (or `signal`), waits until the process is gone, and gives how it ended; undefined when it was started
   * by somebody else. Throws when nothing runs, or when it is still there after `withinMs` (60 s).
   */
  stop: (
    server: Server,
    options?: { signal?: NodeJS.Signals; withinMs?: number },
  ) => Promise<Exit | undefined>;
  /** How the last process of a server that was started here ended; undefined while it runs. */
  exitOf: (server: Server) => Exit | undefined;
  /** Ends whatever runs of these servers, at once and uncleanly, whoever started it. */
  killAll: (servers: readonly Server[]) => Promise<void>;
}

export function createServers(): Servers {
  const started = new Map<string, Started>();
  const ourPid = (server: Server) => {
    const ours = started.get(server.name);
    return ours && !ours.exit() ? ours.pid : undefined;
  };
  return {
    start: async (server) => {
      const consoleFile = `${server.logFile}.console`;
      const ours = await startProcess(server.command, { logFile: consoleFile });
      started.set(server.name, ours);
      await waitFor(() => acceptsConnections(server.port), {
        what: `${server.name} to accept connections`,
        withinMs: 120_000,
        unless: () =>
          ours.exit() &&
          `it ended with ${JSON.stringify(ours.exit())}\n${endOf(consoleFile)}\n${endOf(server.logFile)}`,
      });
    },
    stop: async (server, { signal = 'SIGTERM', withinMs = 60_000 } = {}) => {
      const ours = ourPid(server);
      const pid = ours ?? foreignPid(server);
      if (pid === undefined) throw new Error(`${server.name} is not running`);
      sendSignal(pid, signal);
      await waitFor(() => !isAlive(pid), { what: `${server.name} to end after ${signal}`, withinMs });
      return ours === undefined ? undefined : await started.get(server.name)?.exited;
    },
    exitOf: (server) => started.get(server.name)?.exit(),
    killAll: async (servers) => {
      const pids = servers
        .map((server) => ourPid(server) ?? foreignPid(server))
        .filter((pid) => pid !== undefined);
      for (const pid of pids) sendSignal(pid, 'SIGKILL');
      while (pids.some(isAlive)) await sleep(10);
    },
  };
}

/** The process that the pid file names, if it is this server: ids are used again. */
function foreignPid({ pidFile }: Server): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const isThisServer = pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(pidFile);
    return isThisServer && isAlive(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether something listens on a port of 127.0.0.1. A driver would try again for seconds. */
export function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((fulfil) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      fulfil(true);
    });
    socket.once('error', () => fulfil(false));
  });
}
