import { createCipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResticStore } from '../../../model/site.ts';
import { runCommand } from '../../../activities/system/command.ts';
import { locate } from '#components';
import type { Cleanup } from '../../support/processes.ts';

/** Why there is none here; null: there is one. */
export const noRestic =
  locate('restic') === undefined ? 'restic is not there: node scripts/setup.mjs restic' : null;

export interface Repository {
  readonly folder: string;
  readonly spec: ResticStore;
  readonly environment: Readonly<Record<string, string>>;
  /** As somebody else would run it. */
  restic(args: readonly string[], input?: string): Promise<string>;
}

const password = 'not-a-secret-of-anybody';

/** A real repository on a disk, with a key that is quickly derived: else each of the many commands takes half a second. */
export async function makeRepository(cleanup: Cleanup): Promise<Repository> {
  const folder = await cleanup.folder();
  const repository = join(folder, 'repository');
  await mkdir(repository);
  await writeFile(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
  const environment = { RESTIC_REPOSITORY: repository, RESTIC_PASSWORD: password };
  const restic = async (args: readonly string[], input?: string): Promise<string> =>
    (
      await runCommand(['restic', '--no-cache', ...args], {
        env: environment,
        ...(input !== undefined && { input }),
      })
    ).stdout;
  await restic(['init']);
  const keys = join(repository, 'keys');
  const slow = await readdir(keys);
  const quick = quickKey(await restic(['cat', 'masterkey']));
  await writeFile(join(keys, createHash('sha256').update(quick).digest('hex')), quick);
  for (const key of slow) await rm(join(keys, key));
  return {
    folder,
    restic,
    environment,
    spec: {
      ...{ kind: 'restic', repository, password: { file: join(folder, 'password') }, environment: {} },
      ...{ shared: true, keeper: 'mongo-1' },
    },
  };
}

/** https://restic.readthedocs.io/en/stable/100_references.html#keys-encryption-and-mac */
function quickKey(masterKey: string): string {
  const [N, r, p] = [1024, 8, 1];
  const salt = randomBytes(64);
  const derived = scryptSync(password, salt, 64, { N, r, p });
  const nonce = randomBytes(16);
  const cipher = createCipheriv('aes-256-ctr', derived.subarray(0, 32), nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(JSON.parse(masterKey))), cipher.final()]);
  const mac = createCipheriv('aes-128-ecb', derived.subarray(32, 48), null);
  const tag = poly1305(derived.subarray(48, 64), mac.update(nonce), text);
  return JSON.stringify({
    ...{ created: new Date().toISOString(), username: 'test', hostname: 'test', kdf: 'scrypt', N, r, p },
    salt: salt.toString('base64'),
    data: Buffer.concat([nonce, text, tag]).toString('base64'),
  });
}

function poly1305(r: Buffer, s: Buffer, message: Buffer): Buffer {
  const number = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const factor = number(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let from = 0; from < message.length; from += 16) {
    const block = Buffer.concat([message.subarray(from, from + 16), Buffer.of(1)]);
    sum = ((sum + number(block)) * factor) % ((1n << 130n) - 5n);
  }
  const tag = (sum + number(s)) & ((1n << 128n) - 1n);
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}
