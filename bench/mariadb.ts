import { connect } from 'node:net';
import { join } from 'node:path';
import type { RunningProcess } from '../activities/system/command.ts';
import { runCommand, startProcess } from '../activities/system/command.ts';
import { onPath } from '#components';
import { waitFor } from '../demo/local/wait.ts';

/** A MariaDB of this machine alone: reached by its socket only. */
export interface Mariadb {
  readonly data: string;
  readonly socket: string;
  /** It stays in the foreground; SIGTERM ends it cleanly. */
  readonly argv: readonly string[];
}

/** Makes an empty one; it does not run. @param data a folder that does not exist, or is empty. */
export async function makeMariadb(folder: string, data: string): Promise<Mariadb> {
  await runCommand([
    ...['mariadb-install-db', '--no-defaults', `--datadir=${data}`, '--skip-test-db', '--user=root'],
    '--auth-root-authentication-method=normal',
  ]);
  const socket = join(folder, 'socket');
  return {
    ...{ data, socket },
    argv: [
      ...['mariadbd', '--no-defaults', `--datadir=${data}`, `--socket=${socket}`, '--skip-networking'],
      ...[`--pid-file=${join(folder, 'pid')}`, '--user=root', '--innodb-buffer-pool-size=256M'],
    ],
  };
}

/** Runs it for as long as the work takes. */
export async function whileRunning<T>(server: Mariadb, work: () => Promise<T>): Promise<T> {
  const running = startProcess(server.argv);
  running.done.catch(() => undefined);
  try {
    await untilAnswers(server, running);
    return await work();
  } finally {
    await running.kill();
  }
}

export async function untilAnswers(server: Mariadb, running?: RunningProcess): Promise<void> {
  let ended: string | undefined;
  void running?.done.then(
    ({ exitCode, stderr }) => (ended = `it ended with ${exitCode}: ${stderr}`),
    () => undefined,
  );
  await waitFor(() => isThere(server), { what: 'MariaDB', withinMs: 120_000, unless: () => ended });
}

const words = [
  'ingest',
  'archive',
  'unit',
  'validated',
  'index',
  'storage',
  'logbook',
  'operation',
  'tenant',
];
const rowsAtOnce = 50_000;
const bytesARow = 1_600;

/** Rows of an application: half of their bytes do not compress; four indexes. */
export async function fillMariadb(server: Mariadb, sizeMb: number): Promise<void> {
  const word = `elt(1 + floor(rand() * ${words.length}), ${words.map((each) => `'${each}'`).join(', ')})`;
  const text = `concat_ws(' ', ${Array.from({ length: 24 }, () => word).join(', ')})`;
  await query(
    server,
    `create database bench; create table bench.orders (
      id int primary key auto_increment, customer int not null, reference char(36) not null,
      placed datetime not null, state varchar(16) not null, note text, details text, body blob,
      key (customer, placed), unique key (reference), key (placed), key (state)) engine=innodb`,
  );
  for (let rows = (sizeMb * 1_000_000) / bytesARow; rows > 0; rows -= rowsAtOnce)
    await query(
      server,
      `insert into bench.orders (customer, reference, placed, state, note, details, body)
        select floor(rand() * 100000), uuid(), '2020-01-01' + interval floor(rand() * 200000000) second,
          ${word}, ${text},
          json_object('id', seq, 'outcome', ${word}, 'agent', ${word}, 'token', hex(random_bytes(64))),
          random_bytes(640)
        from bench.seq_1_to_${Math.ceil(Math.min(rows, rowsAtOnce))}`,
    );
}

/** Of all rows, whatever file they lie in. */
export async function checksum(server: Mariadb): Promise<string> {
  return query(server, 'checksum table bench.orders; check table bench.orders');
}

export async function query(server: Mariadb, sql: string): Promise<string> {
  return (await runCommand(clientArgv(server), { input: `${sql};\n`, timeoutMs: 600_000 })).stdout;
}

/** Exits with 0 once it answers. */
export function readyArgv(server: Mariadb): readonly string[] {
  const [client = '', ...options] = clientArgv(server);
  return [onPath(client) ?? client, ...options, '--execute=select 1'];
}

function clientArgv({ socket }: Mariadb): readonly string[] {
  return ['mariadb', '--no-defaults', `--socket=${socket}`, '--batch', '--skip-column-names', '--unbuffered'];
}

/** Sends its greeting: from then on a client may ask. */
function isThere({ socket }: Mariadb): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = connect(socket);
    asking.once('data', () => resolve(true));
    asking.once('error', () => resolve(false));
    asking.once('close', () => resolve(false));
    asking.once('data', () => asking.destroy());
  });
}

/** One client that keeps its connection. It asks for a row that lies in the table. */
export async function createAsker(server: Mariadb): Promise<{ ask(): Promise<void>; end(): Promise<void> }> {
  if (!(await isThere(server))) throw new Error('down');
  const client = startProcess(clientArgv(server), { stdin: 'pipe' });
  let answered = (): void => undefined;
  const ended = client.done.then(
    () => Promise.reject(new Error('the client has ended')),
    () => Promise.reject(new Error('the client has ended')),
  );
  ended.catch(() => undefined);
  client.stdout.on('data', () => answered());
  return {
    async ask() {
      const answer = new Promise<void>((resolve) => (answered = resolve));
      client.stdin?.write('select id from bench.orders limit 1;\n', () => undefined);
      await Promise.race([answer, ended]);
    },
    end: () => client.kill(),
  };
}
