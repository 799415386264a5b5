import * as z from 'zod';
import type { MongodbEngine, MongodbMember } from '../../../model/site.ts';
import { copiedBy, copyBySchema } from '../copy-by.ts';
import { defined, distinct, expected, named, oneOf, refuseTwins, strict, text } from '../expect.ts';
import { reference } from '../reference.ts';
import type { Known } from '../reference.ts';
import { absolutePath, argv, secretRef } from '../scalars.ts';

const MEMBER_NAME = text(
  /^([^\s/:@]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/,
  'a member as the cluster calls it, host:port',
);

export function mongodbSchema(known: Known) {
  const member = strict({
    host: reference('host', known).describe('The host whose agent stops it and reads its files.'),
    service: reference('service', known).describe('The service that it is; no other member has the same.'),
    data: absolutePath.describe('Its dbPath on that host.'),
    copies: absolutePath
      .exactOptional()
      .describe(
        'With copy-by: the folder that copies of its data are made in. Default: the one that data is in.',
      ),
    uri: secretRef.describe('Connection string to this member alone, with a login: a secret, by reference.'),
    'replica-set': text(/^[^\s/,]+$/, 'the name of a replica set')
      .exactOptional()
      .describe(
        'Of a sharded cluster: the replica set that it belongs to, for all members or for none. Needed to restore a set to other members than it was taken of. Default: asked of the cluster.',
      ),
  }).transform(({ 'replica-set': replicaSet, ...raw }): MongodbMember => ({
    ...defined(raw),
    ...(replicaSet !== undefined && { replicaSet }),
  }));
  return strict({
    mongos: strict({
      host: reference('host', known).describe('The host whose agent talks to mongos and holds the balancer.'),
      uri: secretRef.describe('Connection string to mongos, with a login: a secret, by reference.'),
    })
      .exactOptional()
      .describe('The router of a sharded cluster. Left out for a replica set or a standalone server.'),
    routers: distinct(reference('service', known), 'services')
      .exactOptional()
      .describe(
        'Every mongos of the sharded cluster, as services: a restore stops them before the members and starts them after. Backups leave them running. Default: not known, and the cluster cannot be restored.',
      ),
    members: named(MEMBER_NAME, member)
      .refine((members) => Object.keys(members).length > 0, { error: 'expected at least one member' })
      .describe('Every member of every set, shards and config servers too, as the cluster calls it.'),
    'copy-by': copyBySchema(
      'How data is taken: by a copy on the host (reflink, btrfs snapshot, plain copy), archived once the member is started again; stream: archived while it is stopped; auto: the best that is possible. Default: stream.',
    ),
    fingerprint: oneOf('none')
      .exactOptional()
      .describe(
        'none: its content is not read, on another member while the copy is made or, where there is no other, of the copy; a restore is then not compared, and a drill validates each collection instead. Default: it is.',
      ),
    allow: z
      .array(oneOf('set-down'), { error: expected('a list') })
      .superRefine(refuseTwins)
      .exactOptional()
      .describe('set-down: a set may lose its majority for the time of the copy (a set of one member).'),
    mongod: argv
      .exactOptional()
      .describe(
        'How mongod is run on the hosts of the members, of their version: ["/usr/bin/mongod"]. A restore opens each copy with it, alone, before it becomes a member, and so does a drill where it is. Default: that of drill.',
      ),
  }).transform(({ allow, 'copy-by': copyBy, ...raw }): MongodbEngine => ({
    kind: 'mongodb',
    allow: allow ?? [],
    ...defined(raw),
    ...copiedBy(copyBy),
  }));
}
