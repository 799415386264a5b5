import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { MongoClient, type Document } from 'mongodb';
import type { MongodbMember, SecretRef, Site } from '../model/site.ts';
import { checkoutPath } from './checkout.ts';
import { mongodbOf, type DemoCluster } from './cluster.ts';
import type { Places } from './places.ts';

const login = { user: 'coldbackup', password: 'of the demo: / and @' };

/**
 * Makes the user and the roles of docs/mongodb.md, as they stand there: on each shard, through mongos, and in the offer's set. Writes its
 * logins where the example refers to them, each on the host that uses it.
 */
export async function giveLogins(places: Places, site: Site, cluster: DemoCluster): Promise<void> {
  const blocks = rolesOf(readFileSync(checkoutPath('docs/mongodb.md'), 'utf8'));
  await Promise.all([
    createUser(cluster.uri, blocks, ['coldbackupMember', 'coldbackupRouter']),
    ...[...cluster.shards, cluster.offer].map(({ uri }) => createUser(uri, blocks, ['coldbackupMember'])),
  ]);
  const { mongos, members } = mongodbOf(site);
  if (mongos) write(places, mongos.host, mongos.uri, cluster.mongos.port);
  const all = [members, mongodbOf(site, 'offer-mongo').members].flatMap(Object.entries<MongodbMember>);
  for (const [name, { host, uri }] of all) {
    const member = cluster.memberOf.get(name);
    if (!member) throw new Error(`the cluster has no member for ${name}`);
    write(places, host, uri, member.port);
  }
}

function rolesOf(page: string): readonly Document[] {
  return [...page.matchAll(/```json\n([\s\S]*?)```/g)]
    .map(([, json]) => JSON.parse(json ?? '') as Document)
    .filter((block) => 'createRole' in block);
}

async function createUser(uri: string, blocks: readonly Document[], roles: readonly string[]): Promise<void> {
  const client = new MongoClient(uri, { w: 'majority' });
  try {
    const admin = client.db('admin');
    for (const block of blocks) if (roles.includes(String(block['createRole']))) await admin.command(block);
    await admin.command({ createUser: login.user, pwd: login.password, roles });
  } finally {
    await client.close();
  }
}

function write(places: Places, host: string, ref: SecretRef, port: number): void {
  if (!('file' in ref)) throw new Error('the example keeps its secrets in files');
  const path = places.onHost(host, ref.file);
  const userinfo = `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `mongodb://${userinfo}@127.0.0.1:${port}/?authSource=admin\n`);
  chmodSync(path, 0o600);
}
