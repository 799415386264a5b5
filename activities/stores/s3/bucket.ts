import { createHash } from 'node:crypto';
import type { S3Store } from '../../../model/site.ts';
import { clientTo } from './client.ts';
import { isMissing, isUploadGone } from './errors.ts';
import type { Upload } from './upload.ts';

export interface Listed {
  readonly key: string;
  readonly changedMs: number;
}

/** What a store needs of a bucket. */
export function createBucket(spec: S3Store) {
  const { bucket: Bucket } = spec;
  const clientOf = () => clientTo(spec);

  const bucket = {
    client: clientOf,

    sizeBytes: async (key: string): Promise<number | null> => (await head(key))?.ContentLength ?? null,

    /** As the server composed it of the parts; null: it does not say. */
    digest: async (key: string): Promise<string | null> => (await head(key))?.ChecksumSHA256 ?? null,

    async *read(key: string): AsyncGenerator<Buffer> {
      const { GetObjectCommand } = await import('@aws-sdk/client-s3');
      const { Body } = await (await clientOf()).send(new GetObjectCommand({ Bucket, Key: key }));
      if (Body === undefined) return;
      for await (const chunk of Body as AsyncIterable<Uint8Array>)
        yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    },

    readText: async (key: string): Promise<string | null> => {
      try {
        const pieces: Buffer[] = [];
        for await (const piece of bucket.read(key)) pieces.push(piece);
        return Buffer.concat(pieces).toString('utf8');
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },

    /** As a whole. */
    put: async (key: string, text: string, lock: Lock = {}): Promise<void> => {
      const { PutObjectCommand } = await import('@aws-sdk/client-s3');
      const ChecksumSHA256 = createHash('sha256').update(text).digest('base64');
      await (
        await clientOf()
      ).send(
        new PutObjectCommand({
          ...{ Bucket, Key: key, Body: text, ChecksumSHA256, ...lock },
          ContentLength: Buffer.byteLength(text),
        }),
      );
    },

    delete: async (key: string): Promise<void> => {
      const { DeleteObjectCommand } = await import('@aws-sdk/client-s3');
      await (await clientOf()).send(new DeleteObjectCommand({ Bucket, Key: key }));
    },

    /** Everything below a prefix. */
    list: async (prefix: string): Promise<readonly Listed[]> => {
      const { paginateListObjectsV2 } = await import('@aws-sdk/client-s3');
      const found: Listed[] = [];
      for await (const page of paginateListObjectsV2(
        { client: await clientOf() },
        { Bucket, Prefix: prefix },
      ))
        for (const { Key: key, LastModified } of page.Contents ?? [])
          if (key !== undefined) found.push({ key, changedMs: LastModified?.getTime() ?? 0 });
      return found;
    },

    /** MinIO still names a folder when all that was in it is deleted and only kept as older versions. */
    hasAny: async (prefix: string): Promise<boolean> => {
      const { ListObjectsV2Command } = await import('@aws-sdk/client-s3');
      const { Contents = [] } = await (
        await clientOf()
      ).send(new ListObjectsV2Command({ Bucket, Prefix: prefix, MaxKeys: 1 }));
      return Contents.length > 0;
    },

    /** The names right below a prefix that have, or had, something below them. */
    folders: async (prefix: string): Promise<readonly string[]> => {
      const { paginateListObjectsV2 } = await import('@aws-sdk/client-s3');
      const found: string[] = [];
      for await (const page of paginateListObjectsV2(
        { client: await clientOf() },
        { Bucket, Prefix: prefix, Delimiter: '/' },
      ))
        for (const { Prefix } of page.CommonPrefixes ?? [])
          if (Prefix !== undefined) found.push(Prefix.slice(prefix.length, -1));
      return found.sort();
    },

    beginUpload: async (key: string, lock: Lock): Promise<string> => {
      const { CreateMultipartUploadCommand } = await import('@aws-sdk/client-s3');
      const { UploadId } = await (
        await clientOf()
      ).send(new CreateMultipartUploadCommand({ Bucket, Key: key, ChecksumAlgorithm: 'SHA256', ...lock }));
      if (UploadId === undefined) throw new Error('the server began an upload and did not say which');
      return UploadId;
    },

    abortUpload: async ({ key, uploadId }: Upload): Promise<void> => {
      const { AbortMultipartUploadCommand } = await import('@aws-sdk/client-s3');
      try {
        await (
          await clientOf()
        ).send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId: uploadId }));
      } catch (error) {
        if (!isUploadGone(error)) throw error;
      }
    },

    /** Those that the server lists; not every server does for a whole prefix. */
    uploads: async (prefix: string): Promise<readonly Upload[]> => {
      const { ListMultipartUploadsCommand } = await import('@aws-sdk/client-s3');
      const { Uploads = [] } = await (
        await clientOf()
      ).send(new ListMultipartUploadsCommand({ Bucket, Prefix: prefix }));
      return Uploads.flatMap(({ Key: key, UploadId: uploadId }) =>
        key === undefined || uploadId === undefined ? [] : [{ key, uploadId }],
      );
    },
  };
  return bucket;

  async function head(key: string) {
    const { HeadObjectCommand } = await import('@aws-sdk/client-s3');
    try {
      return await (
        await clientOf()
      ).send(new HeadObjectCommand({ Bucket, Key: key, ChecksumMode: 'ENABLED' }));
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }
}

export type Bucket = ReturnType<typeof createBucket>;

export interface Lock {
  readonly ObjectLockMode?: 'GOVERNANCE' | 'COMPLIANCE';
  readonly ObjectLockRetainUntilDate?: Date;
}

/** Of what is written now. */
export function lockOf({ objectLock }: S3Store): Lock {
  if (objectLock === undefined) return {};
  return {
    ObjectLockMode: objectLock.mode === 'governance' ? 'GOVERNANCE' : 'COMPLIANCE',
    ObjectLockRetainUntilDate: new Date(Date.now() + objectLock.days * 24 * 3_600_000),
  };
}
