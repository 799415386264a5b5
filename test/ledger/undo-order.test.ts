import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { inScope, undoOrder, walkUndo, type Entry } from '../../model/ledger.ts';

const segment = fc.oneof(
  fc.nat({ max: 12 }).map(String),
  fc.constantFrom('logbook', 'processing', 'app-1', 'mongo-1'),
);
const positions = fc.uniqueArray(
  fc.array(segment, { minLength: 1, maxLength: 4 }).map((path) => path.join('/')),
  { maxLength: 30 },
);

describe('undo order', () => {
  test('visits every change once, and of one sequence the later before the earlier', async () => {
    await fc.assert(
      fc.asyncProperty(positions, async (all) => {
        const visited = await visit(all);
        expect([...visited].sort()).toEqual([...all].sort());
        for (const a of all)
          for (const b of all) if (isLater(a, b)) expect(visited.indexOf(a)).toBeLessThan(visited.indexOf(b));
      }),
    );
  });

  test('removes copies last: no service of an earlier step waits for it', async () => {
    const db = ['6/db/0', '6/db/1/2/shard1/1', '6/db/1/1/config/1'];
    const all = ['1/0/app-1', ...db, '0/6/db/shard1', '0/6/db/config'];
    const visited = await visit(all);
    expect(visited.slice(0, 4)).toEqual(['6/db/1/2/shard1/1', '6/db/1/1/config/1', '6/db/0', '1/0/app-1']);
    expect(inScope('0/6/db/shard1', '6/db')).toBe(false);
  });

  test('undoes the branches of a parallel step at once', async () => {
    const begun: string[] = [];
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const walk = walkUndo(
      undoOrder(['2/logbook/1', '2/processing/1', '1/0'].map(entry)),
      async ({ position }) => {
        begun.push(position);
        await gate;
      },
    );
    await Promise.resolve();
    expect(begun.sort()).toEqual(['2/logbook/1', '2/processing/1']);
    release();
    await walk;
    expect(begun).toHaveLength(3);
  });

  test('orders numbers as numbers', async () => {
    expect(await visit(['1/2', '1/10', '1/9'])).toEqual(['1/10', '1/9', '1/2']);
  });

  test('knows what lies in a scope', () => {
    expect(['5', '5/a', '50', '6'].filter((position) => inScope(position, '5'))).toEqual(['5', '5/a']);
    expect(inScope('anything', '')).toBe(true);
  });
});

async function visit(all: readonly string[]): Promise<string[]> {
  const visited: string[] = [];
  await walkUndo(undoOrder(all.map(entry)), async ({ position }) => void visited.push(position));
  return visited;
}

/** a comes after b in some sequence: their paths part at two numbers, a's the higher. */
function isLater(a: string, b: string): boolean {
  const [left, right] = [a.split('/'), b.split('/')];
  const at = left.findIndex((one, index) => one !== right[index]);
  const [x, y] = [left[at], right[at]];
  return x !== undefined && y !== undefined && /^\d+$/.test(x) && /^\d+$/.test(y) && Number(x) > Number(y);
}

function entry(position: string): Entry {
  return {
    ...{ id: position, host: 'h', position, change: { kind: 'service-stopped', service: 's' } },
    ...{ found: { kind: 'service', state: 'running' }, intentAt: '', endedAt: '' },
  };
}
