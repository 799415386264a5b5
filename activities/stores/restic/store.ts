import type { SetRef } from '../../../model/manifest.ts';
import type { HostName, ResticStore } from '../../../model/site.ts';
import { asking } from '../asking.ts';
import { StoreError, filePath, isPartOf, manifestName, ownPartPath, segment, setPath } from '../names.ts';
import { latest, type Part, type Store } from '../store.ts';
import { inTurn } from '../turns.ts';
import { causeOf } from './errors.ts';
import {
  contentsOf,
  fileAt,
  newNonce,
  rubbishIn,
  setAt,
  type Contents,
  type RecordSpec,
  type StoredRecord,
} from './records.ts';
import { createRepository, type Streamed } from './repository.ts';
import { rememberedText } from './texts.ts';
import { allSettled, countWrite, underWay, writesTo } from './under-way.ts';

/** What is not longer is gathered, and counts with its one snapshot. */
const smallBytes = 1024 * 1024;
/** Each question costs a process and a key derivation: what one listing says holds for the questions that follow at once. */
const seenForMs = 5_000;
const lockPatienceMs = 15_000;
/** So many texts and tokens that count no longer wait for the next set that goes. */
const manySmall = 200;

/**
 * A store that is a repository of restic. Snapshots are only ever added, which needs no lock that others are in the way
 * of: what is sealed, replaced, dropped or removed is said by the tags of later ones (see records.ts). `tidy` forgets what
 * counts no longer.
 */
export function createResticStore(
  name: string,
  spec: ResticStore,
  host: HostName,
  patienceMs = lockPatienceMs,
): Store {
  const repository = createRepository(spec, patienceMs);
  const place = spec.repository.startsWith('/') ? `restic:${spec.repository}` : spec.repository;
  const where = `Store ${name} (${place}) on host ${host}`;
  const { asked, explained } = asking(where, causeOf);
  let seen: Seen | null = null;

  return {
    name,
    host,
    shared: spec.shared,
    place,
    deduplicates: true,

    create: (set, file, owner) =>
      asked(`begin ${file}`, async () => {
        const [path, nonce] = [pathOf(set, file), newNonce()];
        const markPath = `${setPath(set)}/${ownPartPath(file, owner, nonce)}`;
        // Nobody waits for it but who seals, or writes much: a copy holds services down.
        const marked = underWay(
          spec.repository,
          asked(`begin ${file}`, () => add({ kind: 'mark', nonce, path: markPath })),
        );
        return createPart({ set, file, path, owner, nonce, marked });
      }),

    sizeBytes: (set, file) =>
      asked(`look for ${file}`, async () => fileAt(await look(), pathOf(set, file))?.sizeBytes ?? null),

    async *read(set, file) {
      const path = pathOf(set, file);
      try {
        const found = fileAt(await look(), path);
        if (found === null) throw new StoreError(`${where} could not read ${path}: there is no such file.`);
        if (found.sizeBytes === 0) return;
        let bytes = 0;
        for await (const chunk of repository.read(found)) {
          bytes += chunk.length;
          yield chunk;
        }
        if (bytes !== found.sizeBytes)
          throw new StoreError(
            `${where} could not read ${path}: snapshot ${found.id.slice(0, 8)} gave ${bytes} bytes instead of ${found.sizeBytes}.`,
          );
      } catch (error) {
        throw await explained(`read ${path}`, error);
      }
    },

    readText: (set, file) =>
      asked(`read ${file}`, async () => {
        const path = pathOf(set, file);
        const found = fileAt(await look(), path);
        if (found === null) return null;
        return textOf(found).catch(async (error: unknown) => {
          // Another host may have replaced it meanwhile.
          const now = fileAt(await lookAgain(), path);
          if (now?.id === found.id) throw error;
          return now === null ? null : textOf(now);
        });
      }),

    replaceText: (set, file, text) =>
      asked(`write ${file}`, () =>
        turn(pathOf(set, file), async (path) => {
          const earlier = (await lookAgain()).all.filter((record) => record.path === path);
          const voids = earlier.map(({ nonce }) => nonce);
          const content = Buffer.from(text);
          await add({ kind: 'file', nonce: newNonce(), path, sizeBytes: content.length, voids }, content);
        }),
      ),

    folders: (site, procedure) =>
      asked('list its sets', async () => {
        const above = [site, ...(procedure === undefined ? [] : [procedure])].map(segment);
        const sets = new Map<string, SetRef>();
        for (const { path } of (await look()).live) {
          const set = setAt(path)?.set;
          if (set !== undefined && `${setPath(set)}/`.startsWith(`${above.join('/')}/`))
            sets.set(setPath(set), set);
        }
        return [...sets].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, set]) => set);
      }),

    lastChangeMs: (set) =>
      asked(`look at ${set.id}`, async () => latest(below(await look(), set).map(({ atMs }) => atMs))),

    clearParts: (set) =>
      asked(`clear ${set.id}`, async () => {
        const contents = await lookAgain();
        const sealed = new Set([...contents.files.values()].flat().map(({ nonce }) => nonce));
        await voidAll(below(contents, set).filter(({ nonce }) => !sealed.has(nonce)));
      }),

    drop: (set, file) =>
      asked(`drop ${file}`, async () => {
        await voidAll((await lookAgain()).files.get(pathOf(set, file)) ?? []);
      }),

    // One snapshot says it of them all: the manifest goes as early as the rest.
    remove: (set) => asked(`remove ${set.id}`, async () => voidAll(below(await lookAgain(), set))),

    tidy: () => asked('give back the room of what was removed', tidy),

    // What a set adds is known only when it is there.
    freeBytes: async () => null,

    writeToken: (token) =>
      asked('write a token', () =>
        add({ kind: 'file', nonce: newNonce(), path: tokenPath(token), sizeBytes: 0 }),
      ),

    hasToken: (token) =>
      asked('look for a token', async () => fileAt(await lookAgain(), tokenPath(token)) !== null),

    removeToken: (token) =>
      asked('remove a token', async () => {
        await voidAll((await lookAgain()).files.get(tokenPath(token)) ?? []);
      }),
  };

  function pathOf(set: SetRef, file: string): string {
    return `${setPath(set)}/${filePath(file)}`;
  }

  function tokenPath(token: string): string {
    return segment(`.coldbackup-token-${token}`);
  }

  /** What was seen a moment ago, by this activity: all that this process wrote before it is in it. */
  function look(): Promise<Contents> {
    const isNew = seen !== null && performance.now() - seen.atMs < seenForMs;
    if (seen !== null && isNew && seen.writes === writesTo(spec.repository)) return seen.contents;
    return lookAgain();
  }

  function lookAgain(): Promise<Contents> {
    const writes = writesTo(spec.repository);
    const contents = allSettled(spec.repository)
      .then(() => repository.list())
      .then(contentsOf);
    seen = { atMs: performance.now(), writes, contents };
    contents.catch(() => {
      seen = null;
    });
    return contents;
  }

  async function add(record: RecordSpec, content?: Buffer): Promise<void> {
    try {
      await repository.add(record, content);
    } finally {
      countWrite(spec.repository);
    }
  }

  /** From now on they count for nothing, nor does what their writers still add. */
  async function voidAll(records: readonly Pick<StoredRecord, 'nonce'>[]): Promise<void> {
    const voids = [...new Set(records.map(({ nonce }) => nonce))];
    if (voids.length === 0) return;
    const nonce = newNonce();
    await add({ kind: 'void', nonce, path: `.coldbackup-void-${nonce}`, voids });
  }

  function textOf(file: StoredRecord): Promise<string> {
    return file.sizeBytes === 0
      ? Promise.resolve('')
      : rememberedText(file.id, () => repository.readText(file));
  }

  function turn<T>(path: string, action: (path: string) => Promise<T>): Promise<T> {
    return inTurn(`${spec.repository} ${path}`, () => action(path));
  }

  /** What counts for nothing is forgotten; where an archive or a set went, restic gives back its room. */
  async function tidy(): Promise<void> {
    const { first, then, isCutShort } = rubbishIn(await repository.list(), Date.now());
    const hasRoom =
      isCutShort || first.some(({ kind, path }) => kind === 'content' || path.endsWith(`/${manifestName}`));
    if (!hasRoom && first.length < manySmall) return;
    try {
      await repository.forget(first.map(({ id }) => id));
      // The voids last: where this ends before, they say to the next one that there is room to be given back.
      if (hasRoom) await repository.prune();
      await repository.forget(then.map(({ id }) => id));
    } catch (error) {
      const { message, hint = '' } = causeOf(error) ?? { message: String(error) };
      throw new StoreError(
        `${where} could not give back all room of what was removed: ${message}. ${hint} Nothing of it counts any more; the next prune tries again.`,
        { cause: error },
      );
    } finally {
      seen = null;
    }
  }

  interface Writing {
    readonly set: SetRef;
    readonly file: string;
    readonly path: string;
    readonly owner: string;
    readonly nonce: string;
    readonly marked: Promise<void>;
  }

  function createPart({ set, file, path, owner, nonce, marked }: Writing): Part {
    let pieces: Buffer[] = [];
    let sizeBytes = 0;
    let streamed: Promise<Streamed> | null = null;
    let dropped = false;
    const isDropped = (): boolean => dropped;
    const mine = { nonce, path };

    return {
      write: (chunk) =>
        asked(`write ${path}`, async () => {
          sizeBytes += chunk.length;
          pieces.push(chunk);
          if (sizeBytes <= smallBytes) return;
          const gathered = pieces;
          pieces = [];
          streamed ??= repository.stream({ kind: 'content', ...mine });
          const content = await streamed;
          await marked;
          for (const piece of gathered) await content.write(piece);
        }),

      seal: () =>
        asked(`seal ${path}`, () =>
          turn(path, async () => {
            if (isDropped()) throw partIsGone();
            if (streamed === null) {
              const content = Buffer.concat(pieces);
              await Promise.all([marked, add({ kind: 'file', ...mine, sizeBytes }, content)]);
            } else {
              await Promise.all([marked, streamed.then((content) => content.end())]);
              // Only now: what a writer that died has left must never find its seal there.
              await add({ kind: 'seal', nonce, path: `${path}.${nonce}.seal`, sizeBytes });
            }
            // Two that seal at the same time see each other here, and neither counts: never both.
            const why = refusal(await lookAgain());
            if (why === null) return;
            await voidAll([mine]);
            throw why;
          }),
        ),

      discard: () =>
        asked(`discard ${path}`, async () => {
          dropped = true;
          const stopped = streamed?.then((content) => content.stop());
          await Promise.all([stopped, marked.catch(() => undefined), voidAll([mine])]);
        }),
    };

    /** Why it is not sealed; null: it is. */
    function refusal(contents: Contents): StoreError | null {
      const marks = below(contents, set).filter(({ kind }) => kind === 'mark');
      const isLater = (mark: StoredRecord): boolean =>
        mark.nonce > nonce && isPartOf(setAt(mark.path)?.file ?? '', file, owner);
      if (isDropped() || !marks.some((mark) => mark.nonce === nonce) || marks.some(isLater))
        return partIsGone();
      const sealed = contents.files.get(path) ?? [];
      if (sealed.some((other) => other.nonce !== nonce))
        return new StoreError(
          `${where} could not seal ${path}. It is sealed already; nothing was overwritten.`,
        );
      if (sealed.length > 0) return null;
      return new StoreError(`${where} could not seal ${path}: its snapshot is not there.`, { mayPass: true });
    }

    function partIsGone(): StoreError {
      return new StoreError(
        `${where} could not seal ${path}: its part is gone, with its set or by a later writer of the same owner. It is not sealed.`,
      );
    }
  }
}

interface Seen {
  readonly atMs: number;
  readonly writes: number;
  readonly contents: Promise<Contents>;
}

function below({ live }: Contents, set: SetRef): readonly StoredRecord[] {
  const folder = `${setPath(set)}/`;
  return live.filter(({ path }) => path.startsWith(folder));
}
