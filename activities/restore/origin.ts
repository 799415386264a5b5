import type { Artifact, Machine, MongodbSetRecord } from '../../model/manifest.ts';
import type { Check } from '../../model/progress.ts';
import { ownerOf } from '../system/machine.ts';

type Row = Omit<Check, 'host' | 'subject'>;

/** What was taken on another machine, or has other owners than what it replaces: said before it is in its place. */
export async function originRows(
  { machine, owners }: Pick<Artifact, 'machine' | 'owners'>,
  record: MongodbSetRecord | null,
  { roots, here }: { readonly roots: readonly string[]; readonly here: Machine },
): Promise<readonly Row[]> {
  if (machine === undefined || owners === undefined)
    return [
      {
        verdict: 'go',
        detail:
          'on which machine it was taken, and whose it was, is not known: an earlier version made the set',
      },
    ];
  return [...machineRows(machine, here, record), ...(await ownerRows(owners, roots))];
}

/** WiredTiger's files are the same on 64-bit machines of one byte order; what is in a tree of files, nobody here knows. */
function machineRows(before: Machine, here: Machine, record: MongodbSetRecord | null): readonly Row[] {
  const detail = `it was taken on ${wordsOf(before)}, and this host is ${wordsOf(here)}`;
  if (before.byteOrder !== here.byteOrder && record !== null)
    return [
      {
        verdict: 'no-go',
        detail: `${detail}: that a mongod reads the files of the other byte order is nowhere promised`,
        hint: `restore it to a ${before.byteOrder} host`,
      },
    ];
  if (before.arch === here.arch && before.byteOrder === here.byteOrder) return [];
  const hint =
    record === null
      ? 'see that what is in the files does not depend on it'
      : 'a mongod of the same release for this host opens its files';
  return [{ verdict: 'warning', detail, hint }];
}

function wordsOf({ arch, byteOrder }: Machine): string {
  return `${arch}, ${byteOrder}`;
}

/** Owners are kept by number: a server that runs as another user could not open what was restored. */
async function ownerRows(
  owners: Readonly<Record<string, string>>,
  roots: readonly string[],
): Promise<readonly Row[]> {
  // Who is not root restores everything as itself, and says so.
  if (process.getuid?.() !== 0) return [];
  const [only, ...others] = Object.values(owners);
  const rows = roots.map(async (root): Promise<readonly Row[]> => {
    const before = owners[root] ?? (others.length === 0 ? only : undefined);
    const now = await ownerOf(root).catch(() => null);
    if (before === undefined || now === null || before === now) return [];
    return [
      {
        verdict: 'warning',
        detail: `${root} belongs to ${now} (uid:gid) now, and to ${before} in the set: what is restored belongs to ${before}`,
        hint: 'where the service runs as another user on this host, give that one this number, or chown it afterwards',
      },
    ];
  });
  return (await Promise.all(rows)).flat();
}
