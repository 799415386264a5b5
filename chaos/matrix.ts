import { runCell, type CellResult } from './cell.ts';
import type { Fault } from './faults.ts';
import type { Position } from './positions.ts';
import { createRig, type Rig } from './rig.ts';

export interface Cell {
  readonly fault: Fault;
  readonly position: Position;
}

export interface MatrixOptions {
  /** So many rigs side by side, each with one cell at a time. */
  readonly lanes: number;
  readonly onResult: (result: CellResult) => void;
  /** Ends after the cells under way. */
  readonly signal?: AbortSignal;
}

/** A rig serves as long as it is healthy; one that showed a failure is ended, and its folder is kept. */
export async function runMatrix(
  cells: readonly Cell[],
  { lanes, onResult, signal }: MatrixOptions,
): Promise<readonly CellResult[]> {
  const queue = [...cells];
  const results: CellResult[] = [];
  const lane = async () => {
    let rig: Rig | null = null;
    for (let cell = queue.shift(); cell !== undefined && signal?.aborted !== true; cell = queue.shift()) {
      const { fault, position } = cell;
      let result: CellResult;
      let folder = '';
      try {
        rig ??= await createRig();
        folder = rig.folder;
        result = await runCell(rig, fault, position);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        result = {
          ...{ position: position.name, fault: fault.name, state: 'failed', backMs: null, outcome: null },
          ...{ why, logs: folder },
        };
      }
      const isBad = result.state === 'failed' || (rig?.broken() ?? null) !== null;
      if (isBad) {
        await rig?.end({ keepFolder: result.state === 'failed' });
        rig = null;
      }
      results.push(result);
      onResult(result);
    }
    await rig?.end({ keepFolder: false });
  };
  await Promise.all(Array.from({ length: Math.min(lanes, cells.length) }, lane));
  return results;
}
