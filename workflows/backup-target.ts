import type { Artifact, DatabaseRecord } from '../model/manifest.ts';

/** Makes the archives of copies on the hosts, and removes those. May be called again where it failed. */
export type Archive = () => Promise<void>;

export interface BackupTarget {
  /** The step's id and the database: under it lie all changes and copies of this database. */
  readonly scope: string;
  readonly attempt: number;
  readonly to: readonly string[];
  readonly needs?: 'all' | 'any';
  /** Stores that have not all of it, and why; of all databases of the step. */
  readonly failed: Map<string, string>;
  readonly step: string;
  /** What comes of it; counts once the whole step is done. */
  readonly artifacts: Artifact[];
  readonly databases: DatabaseRecord[];
}

/** `vitam-mongo/shard1.tar.zst`; what an earlier attempt has sealed is never written over. */
export function artifactName({ attempt }: BackupTarget, name: string): string {
  return attempt === 1 ? `${name}.tar.zst` : `${name}.${attempt}.tar.zst`;
}

/**
 * Under it lie the copies on the hosts and their archives. Place 0 of the whole run: removing what is large is the last
 * that is done, no service waits for it.
 */
export function snapshotScope({ scope }: BackupTarget): string {
  return `0/${scope}`;
}
