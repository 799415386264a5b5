import { realpath } from 'node:fs/promises';
import type { Document, MongoClient } from 'mongodb';
import type { MongodbMemberInfo } from '../../model/activities.ts';
import type { Site } from '../../model/site.ts';
import { withMember, type AskOptions } from './connect.ts';
import { waysOut } from './data-directory.ts';
import { memberOf } from './engine.ts';
import { refusal } from './errors.ts';
import { toPlain, type Plain } from './plain.ts';
import { readConfig } from './topology.ts';

/**
 * What a restore needs to know of a running member. Fails for good when its files do not lie in the data directory
 * that the site file names: the copy would miss them.
 */
export async function describeMember(
  site: Site,
  database: string,
  member: string,
  options: AskOptions = {},
): Promise<MongodbMemberInfo> {
  const info = await withMember(site, database, member, describe, options);
  await checkRoots(info.options, memberOf(site, database, member).data, `${database} member ${member}`);
  return info;
}

export async function readFcv(client: MongoClient): Promise<string> {
  const answer = await client.db('admin').command({ getParameter: 1, featureCompatibilityVersion: 1 });
  return String((answer['featureCompatibilityVersion'] as Document)['version']);
}

async function describe(client: MongoClient): Promise<MongodbMemberInfo> {
  const admin = client.db('admin');
  const config = await readConfig(client);
  const shardIdentity = await admin
    .collection<Document & { _id: string }>('system.version')
    .findOne({ _id: 'shardIdentity' }, { promoteValues: false });
  const build = await admin.command({ buildInfo: 1 });
  const arch: unknown = (build['buildEnvironment'] as Document | undefined)?.['target_arch'];
  return {
    version: String(build['version']),
    ...(typeof arch === 'string' && { arch }),
    fcv: await readFcv(client),
    options: withoutSecrets((await admin.command({ getCmdLineOpts: 1 }))['parsed'] as Plain),
    replicaSetConfig: config && toPlain(config),
    shardIdentity: shardIdentity && toPlain(shardIdentity),
  };
}

async function checkRoots(options: Plain, data: string, what: string): Promise<void> {
  const storage = options['storage'] as Plain | undefined;
  const dbPath = typeof storage?.['dbPath'] === 'string' ? storage['dbPath'] : '/data/db';
  const [real, named] = await Promise.all([
    realpath(dbPath).catch(() => dbPath),
    realpath(data).catch(() => data),
  ]);
  if (real !== named)
    throw refusal(
      `${what}: its dbPath is ${dbPath}, the site file says ${data}. Correct data in the site file.`,
    );
  const out = await waysOut(data);
  if (out.length > 0)
    throw refusal(
      `${what}: a copy of ${data} would miss files: ${out.join('; ')}. Move them into the data directory.`,
    );
}

/** Options may hold passwords of keys and of KMIP. */
function withoutSecrets(options: Plain): Plain {
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => {
      if (/password|secret|token/i.test(key) && typeof value === 'string') return [key, '<left out>'];
      const isNested = typeof value === 'object' && value !== null && !Array.isArray(value);
      return [key, isNested ? withoutSecrets(value as Plain) : value];
    }),
  );
}
