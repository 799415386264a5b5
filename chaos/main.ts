// `npm run chaos`: every fault at every position of a night, on real parts; see docs/reliability.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { CellResult } from './cell.ts';
import { kindOf } from './fault.ts';
import { faults } from './faults.ts';
import { runMatrix, type Cell } from './matrix.ts';
import { positions } from './positions.ts';
import { randomCell } from './random.ts';
import type { SiteKind } from './site.ts';
import { cellLine, matrixTable } from './table.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    random: { type: 'string' },
    seed: { type: 'string' },
    lanes: { type: 'string', default: '1' },
    json: { type: 'string' },
    resume: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

/** One kind after the other: a rig serves many cells. */
const kinds: readonly SiteKind[] = ['plain', 'apart', 'mongodb', 'sharded'];
const cells = options.random === undefined ? matrix(options.only) : randomCells(Number(options.random));
if (cells.length === 0)
  throw new Error(`no cell is named ${JSON.stringify(options.only)}; --list shows them`);
if (options.list) for (const cell of cells) console.log(nameOf(cell));
// A connection to a server that is gone must not hold this process.
else process.exit(await run());

async function run(): Promise<number> {
  const ending = new AbortController();
  process.once('SIGINT', () => ending.abort());
  const startedAt = new Date();
  const lanes = Number(options.lanes);
  console.log(`${cells.length} cells, ${lanes} at a time; ^C ends after those under way`);
  const earlier = options.resume === undefined ? [] : heldIn(options.resume);
  const isDone = (cell: Cell) =>
    earlier.some(({ fault, position }) => fault === cell.fault.name && position === cell.position.name);
  const now = await runMatrix(
    cells.filter((cell) => !isDone(cell)),
    {
      lanes,
      signal: ending.signal,
      onResult: (result) => console.log(cellLine(result)),
    },
  );
  const results = [...earlier, ...now];
  console.log(matrixTable(results));
  const minutes = (Date.now() - startedAt.getTime()) / 60_000;
  const load = loadavg().map((average) => average.toFixed(1));
  console.log(
    `${minutes.toFixed(0)} min, ${lanes} lanes, ${availableParallelism()} processors, load ${load.join(' ')}`,
  );
  const failed = results.filter(({ state }) => state === 'failed');
  for (const result of failed) console.log(cellLine(result));
  if (options.json !== undefined)
    writeFileSync(
      options.json,
      `${JSON.stringify({ startedAt: startedAt.toISOString(), minutes, lanes, load, results }, null, 2)}\n`,
    );
  return failed.length === 0 && !ending.signal.aborted ? 0 : 1;
}

function kindOfCell({ fault, position }: Cell): SiteKind {
  return kindOf(fault, position) ?? 'plain';
}

/** One kind of site after the other; in each every fault soon, at one position after the other. `--only`: any part of `fault @ position`; several: any of them. */
function matrix(only: readonly string[] | undefined): readonly Cell[] {
  return positions
    .flatMap((_, shift) =>
      faults.flatMap((fault, index) => {
        const position = positions[(shift + index) % positions.length];
        return position === undefined || kindOf(fault, position) === null ? [] : [{ fault, position }];
      }),
    )
    .sort((a, b) => kinds.indexOf(kindOfCell(a)) - kinds.indexOf(kindOfCell(b)))
    .filter((cell) => only === undefined || only.some((part) => nameOf(cell).includes(part)));
}

/** What an earlier run has done need not be done again. */
function heldIn(file: string): readonly CellResult[] {
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as { results: readonly CellResult[] };
  return results.filter(({ state }) => state === 'held');
}

function randomCells(count: number): readonly Cell[] {
  const first = options.seed === undefined ? Date.now() % 1_000_000 : Number(options.seed);
  console.log(`seeds ${first} to ${first + count - 1}`);
  return Array.from({ length: count }, (_, index) => randomCell(first + index));
}

function nameOf({ fault, position }: Cell): string {
  return `${fault.name} @ ${position.name}`;
}
