import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSftpStore } from '../activities/stores/sftp/store.ts';
import { runCommand } from '../activities/system/command.ts';
import { median, seconds } from './figures.ts';

/**
 * `sftp sftp://USER@HOST:PORT/DIRECTORY KEY [MB] [ROUNDS]`: a file into an SFTP store, on the disk and sealed, beside
 * `ssh HOST 'cat >FILE && sync -d FILE'`, in turn. The user needs a shell there. Each file is compared on the server.
 */
const [server = '', key = '', ...amounts] = process.argv.slice(2);
const [mb = 256, rounds = 5] = amounts.map(Number);
const { hostname: host, port: portText, username: user, pathname: directory } = new URL(server);
const port = Number(portText === '' ? 22 : portText);
const set = { site: 'bench', procedure: 'sftp', id: String(process.pid) };
const folder = await mkdtemp(join(tmpdir(), 'coldbackup-bench-'));
const archive = join(folder, 'archive');
const scanned = (await runCommand(['ssh-keyscan', '-p', String(port), '-t', 'ed25519', host])).stdout.trim();
const knownHosts = join(folder, 'known_hosts');
const store = createSftpStore(
  'bench',
  {
    ...{ kind: 'sftp', host, port, user, directory, shared: true, keeper: 'bench' },
    key: { file: key },
    hostKey: scanned.slice(scanned.indexOf(' ') + 1),
  },
  'bench',
);
const ssh = [
  ...['ssh', '-i', key, '-p', String(port), '-o', `UserKnownHostsFile=${knownHosts}`, '-o', 'BatchMode=yes'],
  `${user}@${host}`,
];
try {
  await writeFile(knownHosts, `${scanned}\n`);
  const sha256 = await writeArchive();
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const [own, other] = [await throughStore(), await throughSsh()];
    say(`${round === 0 ? 'to warm up' : `round ${round}`}: store ${seconds(own)}, ssh cat ${seconds(other)}`);
    await mustBeThere(sha256);
    if (round === 0) continue;
    ours.push(own);
    theirs.push(other);
  }
  const ratio = median(ours) / median(theirs);
  say(
    `\n${mb} MB, medians of ${rounds}: store ${seconds(median(ours))}, ssh cat ${seconds(median(theirs))}, ratio ${ratio.toFixed(2)}`,
  );
} finally {
  await store.remove(set);
  await rm(folder, { recursive: true, force: true });
}

/** Nothing that a line could make smaller. */
async function writeArchive(): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(archive, 'w');
  for (let i = 0; i < mb; i++) {
    const piece = randomBytes(1_000_000);
    hash.update(piece);
    await file.write(piece);
  }
  await file.close();
  return hash.digest('hex');
}

async function throughStore(): Promise<number> {
  await store.drop(set, 'archive');
  const beganMs = performance.now();
  const part = await store.create(set, 'archive', '1-bench');
  const content = createReadStream(archive, { highWaterMark: 128 * 1024 });
  for await (const chunk of content as AsyncIterable<Buffer>) await part.write(chunk);
  await part.seal();
  return performance.now() - beganMs;
}

async function throughSsh(): Promise<number> {
  const there = onServer('by-ssh');
  await runCommand([...ssh, `rm -f ${there}`]);
  const command = `${ssh.map(quoted).join(' ')} ${quoted(`cat >${there} && sync -d ${there}`)}`;
  const { durationMs } = await runCommand(['sh', '-c', `${command} <"$1"`, 'sh', archive]);
  return durationMs;
}

async function mustBeThere(sha256: string): Promise<void> {
  const files = [onServer('archive'), onServer('by-ssh')];
  const { stdout } = await runCommand([...ssh, `sha256sum ${files.join(' ')}`]);
  const wrong = stdout
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith(sha256));
  if (wrong.length > 0) throw new Error(`not what was sent: ${wrong.join(', ')}`);
}

function onServer(file: string): string {
  return quoted(join(directory, set.site, set.procedure, set.id, file));
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
