import { posix } from 'node:path';
import { bytesText } from './file-list.ts';
import { ArchiveError } from './survey.ts';
import type { TarEntry } from './tar-reader.ts';

/** Where symbolic links may lead: as at the copy, into what was copied; or, for what is opened elsewhere, below the target. */
export type LinkRule = 'into-roots' | 'below-target';

export interface Judge {
  /** Throws {@link ArchiveError} for an entry that coldbackup never writes, or that would lead out of the target. */
  entry(entry: TarEntry): void;
  /** At the end mark: throws for links that lead out of all that is in the archive. */
  end(): void;
  /** Where what was copied begins, as tar has it: one character a byte. */
  readonly roots: readonly string[];
}

/**
 * Looks at each entry of an archive before tar gets it. One written by coldbackup passes; one that was made to write
 * elsewhere (paths that climb out, members below a link, hard links to what is not in it, a member that is there twice)
 * does not.
 */
export function createJudge(artifact: string, rule: LinkRule): Judge {
  /** Folders and symbolic links: files are too many to remember, and tar itself replaces none. */
  const known = new Map<string, 'directory' | 'symlink'>();
  const roots: string[] = [];
  const links: { readonly path: string; readonly link: string }[] = [];
  const refuse = ({ path }: Pick<TarEntry, 'path'>, why: string): never => {
    throw new ArchiveError(`${artifact}: ${bytesText(path)} is refused: ${why}`);
  };

  return {
    roots,
    entry(entry) {
      const { kind, link, foreign } = entry;
      if (foreign !== null) refuse(entry, `it has ${foreign}, which coldbackup never writes`);
      const path = kind === 'directory' ? entry.path.replace(/\/$/, '') : entry.path;
      if (!isPlain(path)) refuse(entry, 'its path is absolute, climbs out, or is no plain path');
      if (known.has(path)) refuse(entry, 'it is there twice');
      if (!isBelowFolder(path)) {
        if (foldersAbove(path).some((folder) => known.has(folder) || roots.includes(folder)))
          refuse(entry, 'it would be written through what is no folder of the archive');
        roots.push(path);
      }
      if (kind === 'directory' || kind === 'symlink') known.set(path, kind);
      if (
        kind === 'hard-link' &&
        (!isPlain(link) || known.has(link) || !(isBelowFolder(link) || roots.includes(link)))
      )
        refuse(entry, `it is a hard link to ${bytesText(link)}, which is no file of the archive`);
      if (kind !== 'symlink') return;
      links.push({ path, link });
      if (rule === 'below-target' && (link.startsWith('/') || link.split('/').includes('..')))
        refuse(entry, `it is a link to ${bytesText(link)}, which may be in use on this host`);
    },
    end() {
      for (const { path, link } of links) {
        const aim = posix.resolve(`/${posix.dirname(path)}`, link).slice(1);
        if (!roots.some((root) => aim === root || aim.startsWith(`${root}/`)))
          refuse({ path }, `it is a link to ${bytesText(link)}, out of all that the archive holds`);
      }
    },
  };

  function isBelowFolder(path: string): boolean {
    return path.includes('/') && known.get(posix.dirname(path)) === 'directory';
  }
}

function foldersAbove(path: string): readonly string[] {
  const names = path.split('/').slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join('/'));
}

function isPlain(path: string): boolean {
  return (
    path !== '' && path.split('/').every((name) => !['', '.', '..'].includes(name)) && !path.includes('\0')
  );
}
