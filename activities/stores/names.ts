import { createHash } from 'node:crypto';
import type { SetRef } from '../../model/manifest.ts';

/** Thrown when a store cannot do what is asked: full, gone, sealed already, a name that could leave it. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** Another attempt may go well; else no retry can cure it. */
  readonly mayPass: boolean;
  /** What lies there is no longer what was written: the store itself has noticed. */
  readonly damaged: boolean;

  constructor(
    message: string,
    options: ErrorOptions & { readonly mayPass?: boolean; readonly damaged?: boolean } = {},
  ) {
    super(message, options);
    this.mayPass = options.mayPass ?? false;
    this.damaged = options.damaged ?? false;
  }
}

export const manifestName = 'manifest.json';
export const sumsName = 'SHA256SUMS';

/** As coldbackup names sets; any other folder is somebody else's. */
export function isSetId(id: string): boolean {
  return /^\d{4}-\d{2}-\d{2}T\d{6}Z-\w+$/.test(id);
}

/** The folder of a set, relative to the store. */
export function setPath(set: SetRef): string {
  return [set.site, set.procedure, set.id].map(segment).join('/');
}

/** A file of a set: one or more names, e.g. `vitam-mongo/mongo-1_27018.tar.zst`. */
export function filePath(file: string): string {
  return file.split('/').map(segment).join('/');
}

/** `<folder>/.<name>.<owner>.part`: what is written before it is sealed. */
export function partPath(file: string, owner: string): string {
  return `${partStem(file, owner)}.part`;
}

/** Where no inode tells two parts apart: `<folder>/.<name>.<owner>.<nonce>.part`. */
export function ownPartPath(file: string, owner: string, nonce: string): string {
  return segmentAtEnd(`${partStem(file, owner)}.${nonce}.part`);
}

/** Whether a path is that of a part of this owner, whichever its nonce. */
export function isPartOf(path: string, file: string, owner: string): boolean {
  const stem = partStem(file, owner);
  return path.startsWith(`${stem}.`) && /^\.([0-9a-f]+\.)?part$/.test(path.slice(stem.length));
}

function partStem(file: string, owner: string): string {
  const names = filePath(file).split('/');
  const last = names.pop() ?? '';
  return segmentAtEnd([...names, `.${last}.${ownerName(owner)}`].join('/'));
}

function segmentAtEnd(path: string): string {
  segment(path.slice(path.lastIndexOf('/') + 1));
  return path;
}

export function isPart(file: string): boolean {
  return /\.part$/.test(file);
}

/** One name below a folder. Whatever it is, it cannot leave the store. */
export function segment(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new StoreError(`${JSON.stringify(name)} cannot be a name in a store.`);
  }
  if (Buffer.byteLength(name) > 255) {
    throw new StoreError(`A name in a store has at most 255 bytes; this one is longer: ${name}.`);
  }
  return name;
}

/** Job ids hold slashes and may be long. */
function ownerName(owner: string): string {
  const plain = encodeURIComponent(owner);
  if (plain.length <= 80) return plain;
  return `${plain.slice(0, 60)}-${createHash('sha256').update(owner).digest('hex').slice(0, 12)}`;
}
