import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import type { S3Store } from '../../../model/site.ts';
import { locate } from '#components';
import { freePort } from '../../support/ports.ts';
import { waitFor, type Cleanup, type Started } from '../../support/processes.ts';
import { commandOf } from '../../support/programs.ts';

/** Why there is no server here; null: there is one. */
export const noMinio =
  locate('minio') === undefined ? 'minio is not there: node scripts/setup.mjs minio' : null;

export interface Minio {
  readonly folder: string;
  readonly spec: S3Store;
  readonly port: number;
  readonly client: S3Client;
  /** With object lock. */
  makeBucket(name: string, lock?: boolean): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** A real MinIO with the bucket `vault`. */
export async function startMinio(cleanup: Cleanup): Promise<Minio> {
  const folder = await cleanup.folder();
  const port = await freePort();
  const consolePort = await freePort();
  const [accessKeyId, secretAccessKey] = ['coldbackup-test', 'not-a-secret-of-anybody'];
  await writeFile(join(folder, 'access'), `${accessKeyId}\n`, { mode: 0o600 });
  await writeFile(join(folder, 'secret'), `${secretAccessKey}\n`, { mode: 0o600 });
  const endpoint = `http://127.0.0.1:${port}`;
  const logFile = join(folder, 'log');
  let server: Started | null = null;
  const start = async (): Promise<void> => {
    const started = await cleanup.start(
      [
        ...commandOf('minio'),
        ...['server', '--quiet', '--address', `127.0.0.1:${port}`],
        ...['--console-address', `127.0.0.1:${consolePort}`, join(folder, 'data')],
      ],
      {
        logFile,
        env: {
          MINIO_ROOT_USER: accessKeyId,
          MINIO_ROOT_PASSWORD: secretAccessKey,
          HOME: folder,
          MINIO_UPDATE: 'off',
          MINIO_BROWSER: 'off',
        },
      },
    );
    server = started;
    await waitFor(async () => (await fetch(`${endpoint}/minio/health/cluster`)).ok, {
      what: 'MinIO',
      withinMs: 30_000,
      unless: () => (started.exit() === undefined ? undefined : started.output()),
    });
  };
  await start();
  const client = new S3Client({
    ...{ endpoint, region: 'us-east-1', forcePathStyle: true },
    credentials: { accessKeyId, secretAccessKey },
  });
  const makeBucket = async (name: string, lock = false): Promise<void> => {
    await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: lock }));
  };
  await makeBucket('vault');
  return {
    folder,
    port,
    client,
    makeBucket,
    start,
    stop: async () => {
      await server?.stop();
    },
    spec: {
      ...{ kind: 's3', endpoint, bucket: 'vault', region: 'us-east-1', prefix: 'backups/vitam/' },
      ...{ pathStyle: true, shared: true, keeper: 'mongo-1' },
      accessKey: { file: join(folder, 'access') },
      secretKey: { file: join(folder, 'secret') },
    },
  };
}
