import type { S3Client } from '@aws-sdk/client-s3';
import type { S3Store } from '../../../model/site.ts';
import { readSecret } from '../../system/secrets.ts';

/** A server that sends nothing for so long is gone. */
const silentMs = 60_000;
const connectWithinMs = 10_000;
/** Keys may be changed while an agent runs. */
const keysForMs = 60_000;

const known = new Map<string, Promise<S3Client>>();

/** One client of this process for each server and key: it keeps connections. */
export function clientTo(spec: S3Store): Promise<S3Client> {
  const { endpoint, region, pathStyle, accessKey, secretKey } = spec;
  const name = JSON.stringify([endpoint, region, pathStyle, accessKey, secretKey]);
  const client = known.get(name) ?? make(spec);
  known.set(name, client);
  return client;
}

async function make(spec: S3Store): Promise<S3Client> {
  const { S3Client: Client } = await import('@aws-sdk/client-s3');
  return new Client({
    endpoint: spec.endpoint,
    region: spec.region,
    forcePathStyle: spec.pathStyle,
    credentials: async () => ({
      accessKeyId: await readSecret(spec.accessKey),
      secretAccessKey: await readSecret(spec.secretKey),
      expiration: new Date(Date.now() + keysForMs),
    }),
    maxAttempts: 4,
    // Each request of ours has its SHA-256; other servers than Amazon's do not all know the newer ways.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: connectWithinMs, socketTimeout: silentMs, requestTimeout: 0 },
  });
}
