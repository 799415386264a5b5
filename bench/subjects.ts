import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import type { Cleanup } from '../demo/local/cleanup.ts';
import { holdAliveLock } from '../demo/local/alive-lock.ts';
import { acceptsConnections, createServers } from '../demo/local/mongodb/server.ts';
import { freePort } from '../demo/local/ports.ts';
import { defineUnit, startUnit, stopUnit } from '../demo/services/supervised.ts';
import { command, startCopiedSet, type CopiedSet, type CopiedTree } from './copy-rig.ts';
import { fillMongodb } from './databases.ts';
import {
  checksum,
  createAsker,
  fillMariadb,
  makeMariadb,
  readyArgv,
  untilAnswers,
  whileRunning,
} from './mariadb.ts';

/** A database whose downtime is measured. */
export interface Subject {
  readonly database: string;
  readonly copyBy: string;
  readonly data: string;
  stop(): Promise<void>;
  start(): Promise<void>;
  untilHealthy(): Promise<void>;
  connect(): Promise<Asker>;
  /** Of its content, as it answers now. */
  digest(): Promise<string>;
  /** The same, of a data directory that a server of its own is started on. */
  digestOf(data: string): Promise<string>;
}

/** A client that keeps its connection. */
export interface Asker {
  /** Resolves with an answer of one that takes writes; false: it does not yet. Throws when it is gone. */
  ask(): Promise<boolean>;
  end(): Promise<void>;
}

/** How a subject's data is taken, and where it lies. */
export interface Place {
  readonly database: string;
  readonly copyBy: string;
  readonly copies?: string;
  readonly dataIn: () => string | Promise<string>;
}

/** A replica set of one member, the native mongod. */
export async function startMongodb(
  cleanup: Cleanup,
  place: Place,
  sizeMb: number,
): Promise<{ subject: Subject; set: CopiedSet }> {
  const copied = await startCopiedSet(cleanup, { ...place, members: 1 });
  const { set } = copied;
  const [member] = set.members;
  if (member === undefined) throw new Error('a set without members');
  await fillMongodb(set.uri, sizeMb);
  const subject: Subject = {
    ...{ database: place.database, copyBy: place.copyBy, data: member.dataDir },
    stop: async () => {
      await set.stopMember(member);
    },
    start: () => set.startMember(member),
    untilHealthy: () => set.untilHealthy(),
    digest: () => hashOf(member.uri),
    digestOf: async (data) => {
      const folder = await cleanup.folder();
      const port = await freePort();
      const [pidFile, logFile] = [join(folder, 'pid'), join(folder, 'log')];
      const argv = [
        ...[...command('mongod-native'), '--dbpath', data, '--port', String(port), '--bind_ip', '127.0.0.1'],
        ...['--pidfilepath', pidFile, '--logpath', logFile, '--nounixsocket'],
      ];
      const uri = `mongodb://127.0.0.1:${port}/?directConnection=true`;
      const scratch = { name: `127.0.0.1:${port}`, port, command: argv, uri, pidFile, logFile };
      const servers = createServers();
      try {
        await servers.start(scratch);
        return await hashOf(uri);
      } finally {
        await servers.killAll([scratch]);
      }
    },
    connect: async () => {
      if (!(await acceptsConnections(member.port))) throw new Error('down');
      const client = await MongoClient.connect(member.uri, {
        serverSelectionTimeoutMS: 100,
        socketTimeoutMS: 1_000,
      });
      return {
        // Of the elected primary, whom an application waits for. It only reads: nobody may write after the marker.
        ask: async () => {
          await client.db('bench').collection('documents').findOne({});
          const { isWritablePrimary } = await client.db('admin').command({ hello: 1 });
          return isWritablePrimary === true;
        },
        end: () => client.close(true),
      };
    },
  };
  return { subject, set: copied };
}

/** Of every document, and what indexes there are. */
async function hashOf(uri: string): Promise<string> {
  const client = await MongoClient.connect(uri);
  try {
    const db = client.db('bench');
    const { md5, collections } = await db.command({ dbHash: 1 });
    const indexes = await db.collection('documents').indexes();
    return JSON.stringify([md5, collections, indexes]);
  } finally {
    await client.close();
  }
}

/** A server whose data directory is a tree of files to coldbackup. */
export async function startMariadb(
  cleanup: Cleanup,
  place: Place,
  sizeMb: number,
): Promise<{ subject: Subject; tree: CopiedTree }> {
  const { database, copyBy, copies, dataIn } = place;
  const folder = await cleanup.folder();
  const alive = join(folder, 'alive');
  await holdAliveLock(cleanup, alive);
  const data = await dataIn();
  const server = await makeMariadb(folder, data);
  await mkdir(join(folder, 'unit'));
  const unit = defineUnit(join(folder, 'unit'), server.argv, alive);
  await startUnit(unit);
  cleanup.add(() => stopUnit(unit));
  await untilAnswers(server);
  await fillMariadb(server, sizeMb);
  const subject: Subject = {
    ...{ database, copyBy, data },
    stop: () => stopUnit(unit),
    start: () => startUnit(unit),
    untilHealthy: () => untilAnswers(server),
    digest: () => checksum(server),
    digestOf: async (copied) => {
      const own = await cleanup.folder();
      const scratch = {
        data: copied,
        socket: join(own, 'socket'),
        argv: server.argv.map((word) => word.replace(data, copied).replace(folder, own)),
      };
      return whileRunning(scratch, () => checksum(scratch));
    },
    connect: async () => {
      const asker = await createAsker(server);
      return { ask: () => asker.ask().then(() => true), end: () => asker.end() };
    },
  };
  const tree = { database, copyBy, data, folder: unit.folder, ready: readyArgv(server) };
  return { subject, tree: { ...tree, ...(copies !== undefined && { copies }) } };
}
