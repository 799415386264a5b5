import type { SetRef } from '../../../model/manifest.ts';
import type { HostName, S3Store } from '../../../model/site.ts';
import { asking, type Cause } from '../asking.ts';
import { comesBackWithinMs, persist } from '../patience.ts';
import { StoreError, filePath, isPart, manifestName, partPath, segment, setPath } from '../names.ts';
import { latest, type Part, type Store } from '../store.ts';
import { createBucket, lockOf } from './bucket.ts';
import { failureOf, isMissing, isNotImplemented, isOutage, isTaken, isUploadGone } from './errors.ts';
import { createUploader } from './upload.ts';
import type { Upload } from './upload.ts';

/**
 * A store that is a bucket of an S3 server. A file under way is a multipart upload, which nobody sees; a small object
 * `.<name>.<owner>.part` says which, so that whoever comes later finds it. What is sealed is never written over: by
 * If-None-Match where the server knows that of uploads, else by looking right before.
 */
export function createS3Store(
  name: string,
  spec: S3Store,
  host: HostName,
  withinMs = comesBackWithinMs,
): Store {
  const bucket = createBucket(spec);
  const place = `${spec.endpoint.replace(/\/+$/, '')}/${spec.bucket}/${spec.prefix}`;
  const where = `Store ${name} (${place}) on host ${host}`;
  const { asked, explained } = asking(where, causeOf);

  return {
    name,
    host,
    shared: spec.shared,
    place,

    create: (set, file, owner, atMostBytes) =>
      asked(`begin ${file}`, async () => {
        const key = keyOf(set, filePath(file));
        const mark = keyOf(set, partPath(file, owner));
        await dropUpload(mark);
        const upload = { key, uploadId: await bucket.beginUpload(key, lockOf(spec)) };
        try {
          await bucket.put(mark, JSON.stringify(upload));
          const client = await bucket.client();
          const uploader = createUploader(client, spec.bucket, upload, withinMs, atMostBytes);
          return createPart(upload, mark, uploader);
        } catch (error) {
          await bucket.abortUpload(upload).catch(() => undefined);
          throw error;
        }
      }),

    sizeBytes: (set, file) => asked(`look for ${file}`, () => bucket.sizeBytes(keyOf(set, filePath(file)))),

    async *read(set, file) {
      const key = keyOf(set, filePath(file));
      try {
        yield* bucket.read(key);
      } catch (error) {
        throw await explained(`read ${key}`, error);
      }
    },

    readText: (set, file) => asked(`read ${file}`, () => bucket.readText(keyOf(set, filePath(file)))),

    replaceText: (set, file, text) =>
      asked(`write ${file}`, () => bucket.put(keyOf(set, filePath(file)), text, lockOf(spec))),

    folders: (site, procedure) =>
      asked('list its sets', async () => {
        const above = `${spec.prefix}${segment(site)}/`;
        const procedures = procedure === undefined ? await bucket.folders(above) : [segment(procedure)];
        const sets = await Promise.all(
          procedures.map(async (each) => {
            const names = await bucket.folders(`${above}${each}/`);
            const there = await Promise.all(names.map((id) => bucket.hasAny(`${above}${each}/${id}/`)));
            const ids = names.filter((_, index) => there[index]);
            return ids.map((id): SetRef => ({ site, procedure: each, id }));
          }),
        );
        return sets.flat();
      }),

    lastChangeMs: (set) =>
      asked(`look at ${set.id}`, async () =>
        latest((await bucket.list(keyOf(set, ''))).map(({ changedMs }) => changedMs)),
      ),

    clearParts: (set) =>
      asked(`clear ${set.id}`, async () => {
        await clearUploads(keyOf(set, ''));
      }),

    drop: (set, file) => asked(`drop ${file}`, () => bucket.delete(keyOf(set, filePath(file)))),

    remove: (set) =>
      asked(`remove ${set.id}`, async () => {
        const folder = keyOf(set, '');
        await bucket.delete(`${folder}${manifestName}`);
        for (const key of await clearUploads(folder)) await bucket.delete(key);
      }),

    freeBytes: async () => null,

    writeToken: (token) => asked('write a token', () => bucket.put(tokenKey(token), token)),
    hasToken: (token) =>
      asked('look for a token', async () => (await bucket.readText(tokenKey(token))) === token),
    removeToken: (token) => asked('remove a token', () => bucket.delete(tokenKey(token))),
  };

  function keyOf(set: SetRef, file: string): string {
    return `${spec.prefix}${setPath(set)}/${file}`;
  }

  function tokenKey(token: string): string {
    return `${spec.prefix}${segment(`.coldbackup-token-${token}`)}`;
  }

  /** Gives all that lies in the folder besides. */
  async function clearUploads(folder: string): Promise<readonly string[]> {
    const keys = (await bucket.list(folder)).map(({ key }) => key);
    for (const mark of keys.filter(isPart)) await dropUpload(mark);
    for (const upload of await bucket.uploads(folder)) await bucket.abortUpload(upload);
    return keys.filter((key) => !isPart(key));
  }

  /** Of the same owner, or of a set that goes: what is under way there can no longer be sealed. */
  async function dropUpload(mark: string): Promise<void> {
    const text = await bucket.readText(mark);
    if (text === null) return;
    const upload = uploadIn(text);
    if (upload !== null) await bucket.abortUpload(upload);
    await bucket.delete(mark);
  }

  function createPart(upload: Upload, mark: string, uploader: ReturnType<typeof createUploader>): Part {
    const { key } = upload;
    let state: 'part' | 'unsure' | 'sealed' = 'part';
    let digest: string | null = null;
    let dropped = false;
    const ended = new AbortController();
    const patiently = <T>(action: () => Promise<T>): Promise<T> =>
      persist(action, { withinMs, mayPass: isOutage, signal: ended.signal });
    const isDropped = (): boolean => dropped;
    const mustCount = (): void => {
      if (isDropped()) throw new StoreError(`${key} was dropped meanwhile: it is not sealed.`);
    };
    return {
      write: (chunk) => asked(`write ${key}`, () => uploader.add(chunk)),
      seal: () =>
        asked(`seal ${key}`, async () => {
          const uploaded = await uploader.end();
          ({ digest } = uploaded);
          mustCount();
          if ((await patiently(() => bucket.sizeBytes(key))) !== null) throw taken(key);
          mustCount();
          state = 'unsure';
          await patiently(() => complete(upload, uploaded.parts)).catch(async (error: unknown) => {
            // An answer that was lost on the way, and asked for again: it is ours.
            if (!(isTaken(error) || isUploadGone(error))) throw error;
            if ((await patiently(() => bucket.digest(key))) === uploaded.digest) return;
            state = 'part';
            throw isTaken(error) ? taken(key) : error;
          });
          state = 'sealed';
          const [size, found] = await patiently(() =>
            Promise.all([bucket.sizeBytes(key), bucket.digest(key)]),
          );
          if (size !== uploaded.sizeBytes || (found !== null && found !== uploaded.digest))
            throw new StoreError(
              `${where}: the server has ${size ?? 'no'} bytes of ${key} with the digest ${found ?? 'unknown'}, and ` +
                `${uploaded.sizeBytes} with the digest ${uploaded.digest} were sent.`,
              { mayPass: true },
            );
          await patiently(() => bucket.delete(mark));
          if (isDropped()) await bucket.delete(key);
          mustCount();
        }),
      discard: () =>
        asked(`discard ${key}`, async () => {
          dropped = true;
          ended.abort();
          await uploader.stop();
          await bucket.abortUpload(upload);
          const isOurs =
            state === 'sealed' ||
            (state === 'unsure' && digest !== null && (await bucket.digest(key)) === digest);
          if (isOurs) await bucket.delete(key);
          await bucket.delete(mark);
        }),
    };
  }

  async function complete(
    { key, uploadId }: Upload,
    parts: Awaited<ReturnType<ReturnType<typeof createUploader>['end']>>['parts'],
  ): Promise<void> {
    const { CompleteMultipartUploadCommand } = await import('@aws-sdk/client-s3');
    const client = await bucket.client();
    const input = {
      ...{ Bucket: spec.bucket, Key: key, UploadId: uploadId },
      MultipartUpload: { Parts: [...parts] },
    };
    try {
      await client.send(new CompleteMultipartUploadCommand({ ...input, IfNoneMatch: '*' }));
    } catch (error) {
      if (!isNotImplemented(error)) throw error;
      await client.send(new CompleteMultipartUploadCommand(input));
    }
  }

  function taken(key: string): StoreError {
    return new StoreError(`${where} could not seal ${key}. It is sealed already; nothing was overwritten.`);
  }
}

function causeOf(error: unknown): Cause {
  if (isMissing(error)) return { message: 'there is no such object', mayPass: false };
  if (isUploadGone(error))
    return {
      message: 'the upload is gone, by another writer of the same owner or by a rule of the bucket',
      mayPass: false,
    };
  return (
    failureOf(error) ?? { message: error instanceof Error ? error.message : String(error), mayPass: false }
  );
}

/** null: the mark was cut short, or is not ours. */
function uploadIn(text: string): Upload | null {
  try {
    const { key, uploadId } = JSON.parse(text) as Partial<Upload>;
    return typeof key === 'string' && typeof uploadId === 'string' ? { key, uploadId } : null;
  } catch {
    return null;
  }
}
