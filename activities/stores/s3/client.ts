import type { S3Client } from '@aws-sdk/client-s3';
import type { S3Store } from '../../../model/site.ts';
import { readSecret } from '../../system/secrets.ts';

/** A server that sends nothing for so long is gone. */
const silentMs = 60_000;
const connectWithinMs = 10_000;

/** Made at its first use, with the secrets as they are then. */
export function createClient(spec: S3Store): () => Promise<S3Client> {
  let made: Promise<S3Client> | null = null;
  return () => {
    made ??= make(spec).catch((error: unknown) => {
      made = null;
      throw error;
    });
    return made;
  };
}

async function make(spec: S3Store): Promise<S3Client> {
  const [accessKeyId, secretAccessKey] = await Promise.all([
    readSecret(spec.accessKey),
    readSecret(spec.secretKey),
  ]);
  const { S3Client: Client } = await import('@aws-sdk/client-s3');
  return new Client({
    endpoint: spec.endpoint,
    region: spec.region,
    forcePathStyle: spec.pathStyle,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 4,
    // Each request of ours has its SHA-256; other servers than Amazon's do not all know the newer ways.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: connectWithinMs, socketTimeout: silentMs, requestTimeout: 0 },
  });
}
