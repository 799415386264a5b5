import * as z from 'zod';
import type { Store } from '../../model/site.ts';
import { defined, expected, named, strict } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { absolutePath, rate, size } from './scalars.ts';
import { encryptSchema } from './stores/encrypt.ts';
import { resticSchema } from './stores/restic.ts';
import { s3Schema } from './stores/s3.ts';
import { sftpSchema } from './stores/sftp.ts';

export function storeSchema(known: Known) {
  return oneKeyOf(
    strict({
      directory: z
        .union([absolutePath, named(reference('host', known), absolutePath)], {
          error: expected('an absolute path, or a map from host to absolute path'),
        })
        .exactOptional()
        .describe('Where the sets lie: one absolute path, or one per host where the mount points differ.'),
      sftp: sftpSchema().exactOptional().describe('A directory on a server that is reached over SFTP.'),
      s3: s3Schema().exactOptional().describe('A bucket of an S3 server.'),
      restic: resticSchema()
        .exactOptional()
        .describe('An existing repository of restic, which finds what is equal and encrypts.'),
      shared: z
        .boolean({ error: expected('true or false') })
        .exactOptional()
        .describe(
          'Of a directory. true: all hosts see the same files. false: each host has its own disk, with its own artifacts.',
        ),
      encrypt: encryptSchema()
        .exactOptional()
        .describe('Archives and their lists of files are encrypted before they leave the host.'),
      rate: rate
        .exactOptional()
        .describe(
          'At most so much to the store, and from it, of each host: "20MB/s". Left out: as fast as it goes.',
        ),
      quota: size
        .exactOptional()
        .describe(
          'What the sets of this site may take in it: "500GB". Where each host has its own disk: on each. Left out: all the room there is.',
        ),
      keeper: reference('host', known).describe(
        'The host whose agent publishes, lists, verifies and prunes it.',
      ),
    }),
    ['directory', 'sftp', 's3', 'restic'],
  )
    .superRefine(({ directory, shared, restic, encrypt }, context) => {
      if (directory !== undefined && shared === undefined)
        context.addIssue({ code: 'custom', path: ['shared'], message: 'missing: expected true or false' });
      if (directory === undefined && shared === false)
        context.addIssue({
          code: 'custom',
          path: ['shared'],
          message: 'a server is seen by all hosts: leave out "shared"',
        });
      if (restic !== undefined && encrypt !== undefined)
        context.addIssue({
          code: 'custom',
          path: ['encrypt'],
          message:
            'restic encrypts by itself, and what is encrypted before looks new every time: leave out "encrypt"',
        });
    })
    .transform(({ shared, keeper, encrypt, rate: rateBytesPerSecond, quota: quotaBytes, ...raw }): Store => {
      const base = {
        ...{ shared: shared ?? true, keeper },
        ...defined({ encrypt, rateBytesPerSecond, quotaBytes }),
      };
      return pickOne<typeof raw, Store>(raw, {
        directory: (directory) => ({ kind: 'directory', directory, ...base }),
        sftp: (sftp) => ({ kind: 'sftp', ...sftp, ...base }),
        s3: (s3) => ({ kind: 's3', ...defined(s3), ...base }),
        restic: (restic) => ({ kind: 'restic', ...restic, ...base }),
      });
    });
}
