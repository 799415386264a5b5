import type { Database, Site } from '../../model/site.ts';
import { contains } from '../paths.ts';
import type { Finding, Path } from '../problem.ts';

/** Copies on a host: a plain copy has a folder, no folder is named in vain, and no root is copied with another one. */
export function copyRules(site: Site): readonly Finding[] {
  return Object.entries(site.databases).flatMap(([database, { engine }]) => {
    const at: Path = ['databases', database, engine.kind];
    if (engine.kind === 'files') return [...foldersOf(engine, engine.copies, at), ...nested(engine, at)];
    return Object.entries(engine.members).flatMap(([member, { copies }]) =>
      foldersOf(engine, copies, [...at, 'members', member]),
    );
  });
}

type Engine = Database['engine'];

function foldersOf({ copyBy }: Engine, copies: string | undefined, path: Path): readonly Finding[] {
  if (copyBy === undefined && copies !== undefined)
    return [
      {
        path: [...path, 'copies'],
        message: 'copies are made only with copy-by: this folder is never used',
        hint: 'add copy-by: auto to the database, or leave copies out',
      },
    ];
  if (copyBy !== 'copy' || copies !== undefined) return [];
  return [
    {
      path,
      message: 'copy-by: copy needs the folder that copies go to: copies is missing',
      hint: 'a plain copy takes as much room as the data: name a disk that has it',
    },
  ];
}

/** Where the inner one is a subvolume of its own, a snapshot of the outer one would not have it. */
function nested(
  { copyBy, roots }: Extract<Engine, { readonly kind: 'files' }>,
  path: Path,
): readonly Finding[] {
  if (copyBy === undefined) return [];
  return roots.flatMap((root, index) =>
    roots.some((other, place) => place !== index && contains(other, root))
      ? [
          {
            path: [...path, 'roots', index],
            message: `with copy-by no root lies in another one, as ${root} does`,
            hint: 'make it a database of its own, or leave it out: the outer root has all that is below it',
          },
        ]
      : [],
  );
}
