import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Patience } from '../patience.ts';
import { persist } from '../patience.ts';
import { isOutage } from './errors.ts';

const mib = 1024 * 1024;
/**
 * At most 10,000 parts make an object (Amazon S3 User Guide, "multipart upload limits"). What is foreseen fits into so
 * many of one size; of what comes over that the parts double, so that the largest object, 5 TB, still fits.
 */
const foreseenParts = 6_800;
const smallestPartBytes = 8 * mib;
const doubleEvery = 100;
/** No digest is taken of more in one call (INT_MAX). */
const largestPartBytes = 2_047 * mib;
/** With the part that is gathered; of large parts two. */
const underWayBytes = 24 * mib;

interface Sent {
  readonly number: number;
  readonly etag: string | undefined;
  readonly digest: Buffer;
}

export interface Upload {
  readonly key: string;
  readonly uploadId: string;
}

export interface Uploaded {
  readonly sizeBytes: number;
  readonly parts: readonly {
    readonly ETag?: string;
    readonly PartNumber: number;
    readonly ChecksumSHA256: string;
  }[];
  /** What the server must make of the digests of the parts ("checking object integrity"). */
  readonly digest: string;
}

/**
 * The parts of one object, one after the other; the server refuses one whose SHA-256 is not the one that we took. One that
 * fails is sent again while the server may be back `withinMs`. How large they are follows from `atMostBytes`.
 */
export function createUploader(
  client: S3Client,
  bucket: string,
  { key, uploadId }: Upload,
  withinMs: number,
  atMostBytes = 0,
) {
  const ended = new AbortController();
  const patience: Patience = { withinMs, mayPass: isOutage, signal: ended.signal };
  const underWay = new Set<Promise<void>>();
  const sent: Sent[] = [];
  /** What a server took at the first time nobody reads any more. New memory each time would go back late. */
  let spare: Buffer[] = [];
  let gathered: Buffer | null = null;
  let gatheredBytes = 0;
  let inFlightBytes = 0;
  let sizeBytes = 0;
  let number = 0;
  let failed: { readonly error: unknown } | null = null;
  const mustBeWell = (): void => {
    if (failed !== null) throw failed.error;
  };
  const send = (memory: Buffer): void => {
    number += 1;
    const mine = number;
    const body = memory.subarray(0, gatheredBytes);
    [gathered, gatheredBytes] = [null, 0];
    inFlightBytes += body.length;
    const going = uploadPart(mine, body)
      .then((isFirst) => {
        if (isFirst) spare.push(memory);
      })
      .catch((error: unknown) => {
        failed ??= { error };
      })
      .finally(() => {
        inFlightBytes -= body.length;
        underWay.delete(going);
      });
    underWay.add(going);
  };
  const uploadPart = async (mine: number, body: Buffer): Promise<boolean> => {
    const { UploadPartCommand } = await import('@aws-sdk/client-s3');
    const digest = createHash('sha256').update(body).digest();
    const input = {
      ...{ Bucket: bucket, Key: key, UploadId: uploadId, PartNumber: mine, Body: body },
      ...{ ContentLength: body.length, ChecksumSHA256: digest.toString('base64') },
    };
    let tries = 0;
    const { ETag, $metadata } = await persist(() => {
      tries += 1;
      return client.send(new UploadPartCommand(input), { abortSignal: ended.signal });
    }, patience);
    sent.push({ number: mine, etag: ETag, digest });
    return tries === 1 && $metadata.attempts === 1;
  };
  /** For the next part. Waits until there is room for it. */
  const memoryFor = async (bytes: number): Promise<Buffer> => {
    const most = Math.max(underWayBytes, 2 * bytes);
    while (underWay.size > 0 && inFlightBytes + bytes > most) await Promise.race(underWay);
    mustBeWell();
    spare = spare.filter(({ length }) => length === bytes);
    return spare.pop() ?? Buffer.allocUnsafeSlow(bytes);
  };
  return {
    async add(chunk: Buffer): Promise<void> {
      mustBeWell();
      sizeBytes += chunk.length;
      for (let from = 0; from < chunk.length;) {
        const memory = (gathered ??= await memoryFor(partBytes(number, atMostBytes)));
        const copied = chunk.copy(memory, gatheredBytes, from);
        from += copied;
        gatheredBytes += copied;
        if (gatheredBytes === memory.length) send(memory);
      }
    },
    /** All that was written is at the server. */
    async end(): Promise<Uploaded> {
      mustBeWell();
      if (gatheredBytes > 0 || number === 0) send(gathered ?? Buffer.alloc(0));
      await Promise.all(underWay);
      mustBeWell();
      const parts = [...sent].sort((one, other) => one.number - other.number);
      const whole = createHash('sha256');
      for (const { digest } of parts) whole.update(digest);
      return {
        sizeBytes,
        parts: parts.map(({ number: PartNumber, etag, digest }) => ({
          ...(etag !== undefined && { ETag: etag }),
          PartNumber,
          ChecksumSHA256: digest.toString('base64'),
        })),
        digest: `${whole.digest('base64')}-${parts.length}`,
      };
    },
    /** Nothing more is sent. */
    async stop(): Promise<void> {
      ended.abort();
      [gathered, gatheredBytes, spare] = [null, 0, []];
      failed ??= { error: new Error('the upload was given up') };
      await Promise.allSettled(underWay);
    },
  };
}

/** Of the part after so many others, of an object that is foreseen to have at most so many bytes. */
export function partBytes(before: number, atMostBytes = 0): number {
  const foreseen = Math.max(smallestPartBytes, Math.ceil(atMostBytes / foreseenParts / mib) * mib);
  const doubled = Math.max(0, Math.ceil((before + 1 - foreseenParts) / doubleEvery));
  return Math.min(largestPartBytes, foreseen * 2 ** doubled);
}
