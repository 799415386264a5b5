import { createHash, hash as hashOf, type Hash } from 'node:crypto';
import { lstat, realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { startProcess, type RunningProcess } from '../system/command.ts';
import { readMounts } from '../system/mounts.ts';
import { bytesText } from './file-list.ts';

export interface TreeSpec {
  readonly host: string;
  /** Absolute directories or files. */
  readonly roots: readonly string[];
  /** The tree is a copy: each root, and all below it, lies below this folder. Names stay those of the roots. */
  readonly at?: string;
  /** GNU tar patterns, relative to each root; `*` matches slashes too. */
  readonly exclude: readonly string[];
}

/** What a tree holds, from its metadata alone. Paths have one character a byte (latin1). */
export interface Survey {
  readonly startedAtMs: number;
  /** Names of regular files; a second name of the same file counts too. */
  readonly files: number;
  /** Directories and symbolic links. */
  readonly others: number;
  /** Of the content, hard links once. */
  readonly totalBytes: number;
  /** Sockets, FIFOs and devices: never opened. */
  readonly specials: readonly string[];
  readonly excluded: Sample;
  /** Of names, sizes, times, inodes, owners and modes of all there is: equal before and after, nothing changed. */
  readonly fingerprint: string;
  /** Of what a copy of the tree has in common with it: kinds, sizes, owners, modes, times in seconds. '' unless asked for. */
  readonly likeness: string;
  /** Changed at or after `changedSinceMs`. */
  readonly changed: Sample;
  /** Of all that the walk said, in its order: equal, and nothing changed; else `fingerprint` knows. */
  readonly walk: string;
}

/** The first paths, and how many there are. */
export interface Sample {
  readonly paths: readonly string[];
  readonly count: number;
}

/** Thrown when a tree cannot be copied as it is, or changed while it was. The message is complete. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
  /** Another attempt may go well; else no retry can cure it. */
  readonly mayPass: boolean;

  constructor(message: string, options: { readonly mayPass?: boolean } = {}) {
    super(message);
    this.mayPass = options.mayPass ?? false;
  }
}

/** Exit codes above it are of processes that a signal has ended: they did not fail by themselves. */
export const killedAbove = 128;

/** More sockets, FIFOs and devices than this do not fit on tar's command line. */
const maxSpecials = 1_000;
const sampleSize = 500;

export interface SurveyHooks {
  readonly signal: AbortSignal;
  readonly onProcess?: (pid: number) => void;
  /** What vanishes meanwhile is no error; whoever asks has seen that the roots are there. */
  readonly inUse?: boolean;
  readonly likeness?: boolean;
}

/**
 * Walks the tree with GNU find, which a person can kill where a hanging mount would hold this process's threads.
 * Throws {@link ArchiveError} when a mount, a subvolume or a symbolic link leaves the roots, or
 * when a file may not be read.
 */
export async function surveyTree(
  tree: TreeSpec,
  hooks: SurveyHooks,
  changedSinceMs = Infinity,
): Promise<Survey> {
  const startedAtMs = Date.now();
  const roots = await rootsOf(tree);
  const find = startFind(tree, hooks);
  const seen = createTally(roots, changedSinceMs, hooks.likeness ?? false);
  const walk = createHash('sha256');
  for await (const record of recordsOf(hashed(find.stdout, walk))) seen.add(record);
  const { exitCode, stderr } = await find.done;
  if (exitCode !== 0 && !(hooks.inUse === true && onlyVanished(stderr))) {
    throw new ArchiveError(
      `The tree cannot be read on ${tree.host}: find ended with exit code ${exitCode}: ${stderr.trim().slice(-2_000)}. ` +
        'The agent must be able to read every file and folder below the roots.',
      { mayPass: exitCode > killedAbove },
    );
  }
  const survey = { ...seen.result(startedAtMs), walk: walk.digest('hex') };
  const unreadable = await stillThere(seen.unreadable(), roots.at);
  if (unreadable.length > 0) {
    throw new ArchiveError(
      `The agent may not read all of ${tree.roots.join(', ')} on ${tree.host}: ` +
        `${unreadable.slice(0, 10).map(bytesText).join(', ')}${unreadable.length > 10 ? ' and more' : ''}. ` +
        'Run it as a user who may read every file there.',
    );
  }
  if (seen.leaving.length > 0) {
    throw new ArchiveError(
      `Not all of the tree lies in ${tree.roots.join(', ')} on ${tree.host}: ${seen.leaving.join('; ')}. ` +
        'Name each as a root of its own, or exclude it.',
    );
  }
  if (survey.specials.length > maxSpecials) {
    throw new ArchiveError(
      `The tree on ${tree.host} holds more than ${maxSpecials} sockets, FIFOs and devices, ` +
        `e.g. ${bytesText(survey.specials[0] ?? '')}: exclude their folders.`,
    );
  }
  return survey;
}

/**
 * A second look at a tree: the first one, where `find` says word for word the same; to hear that takes a seventh of what it
 * takes to understand it. Throws as {@link surveyTree} does.
 */
export async function surveyAgain(tree: TreeSpec, hooks: SurveyHooks, before: Survey): Promise<Survey> {
  const find = startFind(tree, hooks);
  const walk = createHash('sha256');
  for await (const chunk of find.stdout as AsyncIterable<Buffer>) walk.update(chunk);
  const { exitCode } = await find.done;
  if (exitCode === 0 && walk.digest('hex') === before.walk) return before;
  return surveyTree(tree, hooks, before.startedAtMs - clockTickMs);
}

/** Linux stamps files with the time of its last tick, which is at most this much ago. */
const clockTickMs = 20;

function startFind(tree: TreeSpec, hooks: SurveyHooks): RunningProcess {
  return startProcess(findArgv(tree), {
    signal: hooks.signal,
    env: { LC_ALL: 'C' },
    ...(hooks.onProcess === undefined ? {} : { onSpawn: hooks.onProcess }),
  });
}

async function* hashed(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

/** Roots that lie in no other root: what is read. A root in another root only allows what lies there. */
export function outermost(roots: readonly string[]): readonly string[] {
  const clean = [...new Set(roots.map(cleanRoot))].sort();
  return clean.filter((root) => !clean.some((other) => other !== root && isInside(root, other)));
}

/** The exclude patterns as they stand for whole names: `<root>/<pattern>`. */
export function wholePatterns(tree: Pick<TreeSpec, 'roots' | 'exclude'>): readonly string[] {
  return [...new Set(tree.roots.map(cleanRoot))].flatMap((root) =>
    tree.exclude.map((pattern) => `${literal(root)}/${pattern.replace(/^(\.?\/)+/, '').replace(/\/+$/, '')}`),
  );
}

/** A relative path, `/` or a name with a NUL is no root. */
export function cleanRoot(root: string): string {
  const clean = posix.normalize(root).replace(/\/+$/, '');
  if (!posix.isAbsolute(root) || clean === '' || root.includes('\0')) {
    throw new ArchiveError(
      `${JSON.stringify(root)} is no root to copy: it must be an absolute path below /.`,
    );
  }
  return clean;
}

interface Roots {
  /** What comes before each name that is found, latin1. */
  readonly at: string;
  /** As named, latin1. */
  readonly named: readonly string[];
  /** As named, and as the file system knows them. */
  readonly places: readonly string[];
  readonly mountPoints: ReadonlySet<string>;
}

interface Found {
  readonly type: string;
  readonly device: string;
  readonly links: number;
  readonly sizeBytes: number;
  readonly changedAtMs: number;
  /** Inode, mode, owner, group, time of the last modification. */
  readonly traits: string;
  readonly target: string;
  readonly path: string;
  readonly all: string;
}

const fieldFormat = '%y\\0%D\\0%n\\0%s\\0%C@\\0%i %m %U %G %T@\\0%l\\0%p\\0';
const fieldCount = 8;

function findArgv(tree: TreeSpec): readonly string[] {
  const { at = '' } = tree;
  const patterns = wholePatterns(tree)
    .flatMap((pattern) => ['-o', '-path', `${literal(at)}${pattern}`])
    .slice(1);
  const excluded =
    patterns.length === 0
      ? []
      : ['(', ...patterns, ')', '-prune', '-printf', fieldFormat.replace('%y', 'X'), '-o'];
  const unreadable = ['-type', 'f', '!', '-readable', '-printf', fieldFormat.replace('%y', 'U'), '-o'];
  return [
    'find',
    '-P',
    ...outermost(tree.roots).map((root) => `${at}${root}`),
    ...excluded,
    ...unreadable,
    '-printf',
    fieldFormat,
  ];
}

async function* recordsOf(stdout: AsyncIterable<Buffer>): AsyncGenerator<Found> {
  let rest: string[] = [''];
  for await (const chunk of stdout) {
    const [first = '', ...more] = chunk.toString('latin1').split('\0');
    rest = [...rest.slice(0, -1), `${rest.at(-1) ?? ''}${first}`, ...more];
    let start = 0;
    for (; start + fieldCount < rest.length; start += fieldCount) {
      const fields = rest.slice(start, start + fieldCount);
      const [type = '', device = '', links, sizeBytes, changedAt, traits = '', target = '', path = ''] =
        fields;
      yield {
        type,
        device,
        links: Number(links),
        sizeBytes: Number(sizeBytes),
        changedAtMs: Number(changedAt) * 1_000,
        traits,
        target,
        path,
        all: fields.join('\0'),
      };
    }
    rest = rest.slice(start);
  }
}

function createTally(roots: Roots, changedSinceMs: number, withLikeness: boolean) {
  const specials: string[] = [];
  const excluded = createSample();
  const changed = createSample();
  const unreadable = createSample();
  const leaving: string[] = [];
  const devices = new Map<string, string>();
  const crossed: string[] = [];
  const fingerprint = Buffer.alloc(32);
  const likeness = Buffer.alloc(32);
  let files = 0;
  let others = 0;
  let totalBytes = 0;

  return {
    leaving,
    unreadable: () => unreadable.taken().paths,
    add(record: Found): void {
      const found = { ...record, path: record.path.slice(roots.at.length) };
      const { type, path } = found;
      if (type === 'X') {
        excluded.add(path);
        return;
      }
      mix(fingerprint, hashOf('sha256', found.all, 'buffer'));
      if (withLikeness) mix(likeness, hashOf('sha256', likenessOf(found), 'buffer'));
      if (found.changedAtMs >= changedSinceMs) changed.add(path);
      checkMount(found);
      if (type === 'U') unreadable.add(path);
      if (type === 'f') {
        files += 1;
        totalBytes += found.sizeBytes / Math.max(1, found.links);
      } else if (type === 'd' || type === 'l') others += 1;
      else if (type !== 'U') specials.push(path);
      if (type === 'l') checkLink(found);
    },
    result: (startedAtMs: number): Omit<Survey, 'walk'> => ({
      startedAtMs,
      files,
      others,
      totalBytes: Math.round(totalBytes),
      specials,
      excluded: excluded.taken(),
      fingerprint: fingerprint.toString('hex'),
      likeness: withLikeness ? likeness.toString('hex') : '',
      changed: changed.taken(),
    }),
  };

  function checkMount({ path, device }: Found): void {
    if (roots.named.includes(path)) {
      devices.set(path, device);
      return;
    }
    const expected = devices.get(nearestRoot(path));
    if (expected === device && !roots.mountPoints.has(path)) return;
    if (crossed.some((mount) => isInside(path, mount))) return;
    crossed.push(path);
    name(`${bytesText(path)} is a mount point or a subvolume`);
  }

  function checkLink({ path, target }: Found): void {
    const aim = posix.resolve(posix.dirname(path), target);
    if (roots.places.some((place) => aim === place || isInside(aim, place))) return;
    name(`${bytesText(path)} is a symbolic link to ${bytesText(target)}`);
  }

  function nearestRoot(path: string): string {
    let nearest = '';
    for (const root of roots.named) {
      if (root.length > nearest.length && isInside(path, root)) nearest = root;
    }
    return nearest;
  }

  function name(what: string): void {
    if (leaving.length < 20) leaving.push(what);
  }
}

/** What a file system keeps of a folder's size and links is its own; some keep times in seconds only. */
function likenessOf({ type, sizeBytes, traits, target, path }: Found): string {
  const [mode, user, group, modifiedAt = ''] = traits.split(' ').slice(1);
  const seconds = modifiedAt.slice(0, modifiedAt.indexOf('.'));
  return [type, type === 'd' ? '' : sizeBytes, mode, user, group, seconds, target, path].join('\0');
}

function onlyVanished(stderr: string): boolean {
  return stderr
    .trim()
    .split('\n')
    .every((line) => line.endsWith('No such file or directory'));
}

/** A file that vanished right before it was asked about was not readable either. */
async function stillThere(paths: readonly string[], at: string): Promise<readonly string[]> {
  const there = await Promise.all(
    paths.map((path) =>
      lstat(Buffer.from(at + path, 'latin1')).then(
        () => [path],
        () => [],
      ),
    ),
  );
  return there.flat();
}

function createSample() {
  const paths: string[] = [];
  let count = 0;
  return {
    add(path: string): void {
      count += 1;
      if (paths.length < sampleSize) paths.push(path);
    },
    taken: (): Sample => ({ paths, count }),
  };
}

/** Does not depend on the order, which a file system may change between two walks. */
function mix(into: Buffer, digest: Buffer): void {
  for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) ^ (digest[i] ?? 0);
}

async function rootsOf(tree: TreeSpec): Promise<Roots> {
  const { at = '' } = tree;
  const named = [...new Set(tree.roots.map(cleanRoot))];
  const real = await Promise.all(named.map((root) => placeOf(`${at}${root}`)));
  const originals = at === '' ? [] : await Promise.all(named.map(placeOf));
  const mounts = (await readMounts()).map(({ point }) => point);
  const mountsNamed = named.flatMap((root, index) => {
    const place = real[index] ?? root;
    return mounts.filter((mount) => isInside(mount, place)).map((mount) => root + mount.slice(place.length));
  });
  return {
    at: toBytes(at),
    named: named.map(toBytes),
    places: [...named, ...real, ...originals].map(toBytes),
    mountPoints: new Set(mountsNamed.map(toBytes)),
  };
}

/** Where a root really lies. Its last name is not followed: a link as root covers the link, not what it leads to. */
async function placeOf(root: string): Promise<string> {
  const folder = await realpath(posix.dirname(root)).catch(() => posix.dirname(root));
  return posix.join(folder, posix.basename(root));
}

function isInside(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}

function literal(path: string): string {
  return path.replace(/[\\*?[\]]/g, '\\$&');
}

function toBytes(path: string): string {
  return Buffer.from(path, 'utf8').toString('latin1');
}
