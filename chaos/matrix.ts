import { cannotBeApart } from './apart.ts';
import { runCell, type CellResult } from './cell.ts';
import { kindOf, type Fault } from './fault.ts';
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
      const kind = kindOf(fault, position) ?? 'plain';
      const names = { position: position.name, fault: fault.name };
      const reason = fault.notAt?.(position) ?? (kind === 'apart' ? cannotBeApart() : null);
      let result: CellResult;
      let folder = '';
      try {
        if (rig !== null && rig.kind !== kind && reason === null) {
          await rig.end({ keepFolder: false });
          rig = null;
        }
        if (reason === null) rig ??= await createRig(kind);
        folder = rig?.folder ?? '';
        result =
          reason !== null || rig === null
            ? { ...names, state: 'not applicable', backMs: null, outcome: null, why: reason ?? '' }
            : await runCell(rig, fault, position);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        result = {
          ...{ ...names, state: 'failed', backMs: null, outcome: null },
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
