import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  ListObjectVersionsCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { createS3Store } from '../../activities/stores/s3/store.ts';
import { partBytes } from '../../activities/stores/s3/upload.ts';
import type { S3Store } from '../../model/site.ts';
import { freePort } from '../support/ports.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { conformance } from './conformance.ts';
import { noMinio, startMinio, type Minio } from './rigs/s3.ts';
import { startWire, type Wire } from './rigs/wire.ts';
import { copyTo, failureOf, manifestOf, setOf, siteOf } from './support.ts';

conformance({
  name: 'an S3 server',
  missing: noMinio,
  knowsItsRoom: false,
  make: async (cleanup) => (await startMinio(cleanup)).spec,
});

// Why there is none is printed by the suite above.
const suite = noMinio === null ? describe : describe.skip;
const mib = 1024 * 1024;

suite('an S3 server that is not as expected', () => {
  const cleanup = createCleanup();
  const set = setOf('2026-11-20T190000Z-0a1b2c3d');
  let minio: Minio;
  beforeAll(async () => {
    minio = await startMinio(cleanup);
  });
  afterAll(cleanup.run);

  const open = (changes: Partial<S3Store> = {}) =>
    openStore(siteOf({ ...minio.spec, ...changes }), 'mongo-1', 'vault');

  test('wrong keys and a missing bucket are told, and not tried again', async () => {
    const secret = await failureOf(open({ secretKey: minio.spec.accessKey }).folders('vitam'));
    expect(secret.message).toMatch(
      /^Store vault \(http:\/\/127.0.0.1:\d+\/vault\/backups\/vitam\/\) on host mongo-1 could not list its sets: SignatureDoesNotMatch/,
    );
    expect(secret.message).not.toContain('not-a-secret-of-anybody');
    const access = await failureOf(open({ accessKey: minio.spec.secretKey }).folders('vitam'));
    expect(access.message).toContain('The server does not know this access-key.');
    const bucket = await failureOf(open({ bucket: 'nobody' }).writeToken('x'));
    expect(bucket.message).toContain('NoSuchBucket');
    expect(bucket.message).toContain('Make the bucket');
    expect([secret, access, bucket].map(({ mayPass }) => mayPass)).toEqual([false, false, false]);
  });

  test('a server that is not there may be there later', async () => {
    const error = await failureOf(open({ endpoint: `http://127.0.0.1:${await freePort()}` }).writeToken('x'));
    expect(error.message).toMatch(/ECONNREFUSED.*Is the server up, and the endpoint right\?/);
    expect(error.mayPass).toBe(true);
  });

  test('of an object that may be large the parts are larger from the first one on', async () => {
    const store = open({ prefix: 'large/' });
    const part = await store.create(set, 'db/file', 'one', 100e9);
    await part.write(Buffer.alloc(32 * mib));
    await part.seal();
    const first = await minio.client.send(
      new HeadObjectCommand({ Bucket: 'vault', Key: `large/vitam/nightly/${set.id}/db/file`, PartNumber: 1 }),
    );
    expect([first.ContentLength, first.PartsCount]).toEqual([15 * mib, 3]);
    await store.remove(set);
  });

  test('a part that is dropped leaves no upload, nor does a writer that vanished once its owner is back', async () => {
    const spec = { prefix: 'uploads/' };
    const store = open(spec);
    const key = `uploads/vitam/nightly/${set.id}/db/file`;
    const uploads = async (): Promise<number> => {
      const { Uploads = [] } = await minio.client.send(
        new ListMultipartUploadsCommand({ Bucket: 'vault', Prefix: key }),
      );
      return Uploads.length;
    };
    /** What a writer that has vanished had under way: nothing more comes of it. */
    const vanished = async (owner: string): Promise<void> => {
      await (await store.create(set, 'db/file', owner)).write(Buffer.alloc(12 * mib));
      await waitFor(
        async () => {
          const { Uploads = [] } = await minio.client.send(
            new ListMultipartUploadsCommand({ Bucket: 'vault', Prefix: key }),
          );
          const parts = await Promise.all(
            Uploads.map(({ Key, UploadId }) =>
              minio.client.send(new ListPartsCommand({ Bucket: 'vault', Key, UploadId })),
            ),
          );
          return parts.length === 1 && parts.every(({ Parts = [] }) => Parts.length === 1);
        },
        { what: 'its first part at the server', withinMs: 30_000 },
      );
    };
    const dropped = await store.create(set, 'db/file', 'one');
    await dropped.write(Buffer.alloc(12 * mib));
    expect(await uploads()).toBe(1);
    await dropped.discard();
    expect(await uploads()).toBe(0);
    await vanished('vanished');
    expect(await uploads()).toBe(1);
    const back = await open(spec).create(set, 'db/file', 'vanished');
    expect(await uploads()).toBe(1);
    await back.discard();
    await vanished('vanished for ever');
    await store.remove(set);
    expect(await uploads()).toBe(0);
    const { KeyCount } = await minio.client.send(
      new ListObjectsV2Command({ Bucket: 'vault', Prefix: 'uploads/' }),
    );
    expect(KeyCount).toBe(0);
  });

  test('a bit that rots on its disk is told as damage of the one file', async () => {
    const tree = await cleanup.folder();
    await writeFile(join(tree, 'random'), randomBytes(3 * mib));
    const site = siteOf({ ...minio.spec, prefix: 'rotten/' });
    const rotten = setOf('2026-11-21T190000Z-0a1b2c3d');
    const where = { site: site.site, store: 'vault' };
    const stores = createStoreActivities({ site, host: 'mongo-1' });
    const manifest = manifestOf(rotten, [
      await copyTo(site, 'mongo-1', rotten, 'offer/tree.tar.zst', tree),
      await copyTo(site, 'mongo-1', rotten, 'offer/other.tar.zst', tree),
    ]);
    await stores.publishSet({ ...where, manifest });
    const folder = join(minio.folder, 'data/vault/rotten/vitam/nightly', rotten.id, 'offer/tree.tar.zst');
    const [part = ''] = (await readdir(folder, { recursive: true })).filter((name) => name.includes('part.'));
    const bytes = await readFile(join(folder, part));
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await writeFile(join(folder, part), bytes);
    const { problems } = await stores.verifySet({ ...where, set: rotten, manifest });
    expect(problems[0]).toMatch(/^Store vault .* could not read .*offer\/tree\.tar\.zst: /);
    expect(problems.join()).not.toContain('offer/other');
  });

  describe('in the middle of an upload', () => {
    const content = randomBytes(36 * mib);
    let wire: Wire;
    beforeAll(async () => {
      wire = await startWire(cleanup, minio.port);
    });
    const openPatient = (prefix: string, withinMs: number) =>
      createS3Store(
        'vault',
        { ...minio.spec, prefix, endpoint: `http://127.0.0.1:${wire.port}` },
        'mongo-1',
        withinMs,
      );
    const digestOf = async (chunks: AsyncIterable<Buffer>): Promise<string> => {
      const hash = createHash('sha256');
      for await (const chunk of chunks) hash.update(chunk);
      return hash.digest('hex');
    };

    test('a server that restarts and one that is busy for a while: only the parts on the way go again', async () => {
      const busy = createServer((request, response) => {
        request.resume();
        response.writeHead(503, { connection: 'close' }).end();
      }).listen(0, '127.0.0.1');
      cleanup.add(() => busy.close());
      const before = wire.carriedBytes();
      const store = openPatient('resumed/', 60_000);
      const part = await store.create(set, 'db/file', 'one');
      const write = (fromMib: number, toMib: number) =>
        part.write(content.subarray(fromMib * mib, toMib * mib));
      await write(0, 8);
      await write(8, 12);
      await minio.stop();
      const back = minio.start();
      await write(12, 20);
      await back;
      await write(20, 24);
      wire.lead((busy.address() as AddressInfo).port);
      wire.cut();
      setTimeout(() => {
        wire.lead(minio.port);
        wire.cut();
      }, 1_500);
      await write(24, 32);
      await write(32, 36);
      await part.seal();
      expect(await digestOf(store.read(set, 'db/file'))).toBe(
        createHash('sha256').update(content).digest('hex'),
      );
      expect(wire.carriedBytes() - before).toBeLessThan(1.5 * content.length);
    });

    test.each([
      ['digest', /(x-amz-checksum-sha256: )\S/gi, '$1_'],
      ['size', /(content-length: )3145728\b/gi, '$13145720'],
    ])(
      'a server that has another %s than what was sent fails the seal, and nothing of it stays',
      async (what, pattern, said) => {
        const store = openPatient(`another-${what}/`, 1_500);
        const part = await store.create(set, 'db/file', 'one');
        await part.write(content.subarray(0, 3 * mib));
        wire.alter((text) => text.replace(pattern, said));
        const error = await failureOf(part.seal());
        expect(error.message).toMatch(
          /the server has \d+ bytes of .*db\/file with the digest .* and 3145728 with the digest .* were sent/,
        );
        expect(error.mayPass).toBe(true);
        await part.discard();
        wire.alter(null);
        expect(await store.sizeBytes(set, 'db/file')).toBeNull();
      },
    );

    test('a server that stays away fails it after its time; once that is back nothing of it stays', async () => {
      const store = openPatient('ended/', 1_500);
      const part = await store.create(set, 'db/file', 'one');
      await part.write(Buffer.alloc(8 * mib));
      wire.lead(null);
      wire.cut();
      const goneMs = performance.now();
      let takenMib = 8;
      const error = await failureOf(
        (async () => {
          for (; ; takenMib += 4) await part.write(Buffer.alloc(4 * mib));
        })(),
      );
      expect(takenMib).toBeLessThanOrEqual(24);
      expect(error.message).toMatch(/could not write .*(ECONNRE|EPIPE)/);
      expect(error.mayPass).toBe(true);
      expect(performance.now() - goneMs).toBeLessThan(15_000);
      await expect(part.seal()).rejects.toThrow(/ECONNRE|EPIPE/);
      wire.lead(minio.port);
      await part.discard();
      expect(await store.sizeBytes(set, 'db/file')).toBeNull();
      expect(await store.folders('vitam')).toEqual([]);
      const again = await store.create(set, 'db/file', 'one');
      await again.write(Buffer.from('whole'));
      await again.seal();
      expect(await store.readText(set, 'db/file')).toBe('whole');
    });
  });

  test('with object lock nobody removes the content before its time, and retention still lets go of the set', async () => {
    await minio.makeBucket('locked', true);
    const store = open({
      bucket: 'locked',
      prefix: '',
      objectLock: { mode: 'compliance', days: 3 },
    });
    const part = await store.create(set, 'db/file', 'one');
    await part.write(Buffer.from('kept'));
    await part.seal();
    const { Versions = [] } = await minio.client.send(
      new ListObjectVersionsCommand({ Bucket: 'locked', Prefix: `vitam/nightly/${set.id}/db/file` }),
    );
    const version = { Bucket: 'locked', Key: Versions[0]?.Key, VersionId: Versions[0]?.VersionId };
    await expect(minio.client.send(new DeleteObjectCommand(version))).rejects.toThrow(/WORM|locked|lock/i);
    await store.remove(set);
    expect(await store.folders('vitam')).toEqual([]);
    const { Body } = await minio.client.send(new GetObjectCommand(version));
    expect(await Body?.transformToString()).toBe('kept');
  });

  test('object lock in a bucket that has none is told', async () => {
    const locked = open({ objectLock: { mode: 'governance', days: 1 } });
    const error = await failureOf(
      (async () => {
        const part = await locked.create(set, 'db/file', 'one');
        await part.write(Buffer.from('x'));
        await part.seal();
      })(),
    );
    expect(error.message).toMatch(/ObjectLock|object.lock/i);
    expect(error.mayPass).toBe(false);
  });
});

test.each([0, 1e9, 57e9, 85e9, 1e12, 5e12])(
  'of at most %d bytes foreseen: parts of one size, and the largest object fits into the parts that a server takes',
  (atMostBytes) => {
    const sizes = Array.from({ length: 10_000 }, (_, before) => partBytes(before, atMostBytes));
    const [first = 0] = sizes;
    expect(first).toBe(atMostBytes <= 57e9 ? 8 * mib : Math.ceil(atMostBytes / 6_800 / mib) * mib);
    expect(sizes.filter((size) => size === first).length * first).toBeGreaterThanOrEqual(atMostBytes);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThanOrEqual(5 * 1024 ** 4);
    // What a server takes is 5 GiB; what one digest takes is less.
    expect(Math.max(...sizes)).toBeLessThan(2 ** 31);
  },
);
