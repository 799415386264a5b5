import { afterAll, describe, expect, test } from '@jest/globals';
import { cannotBeApart } from '../../chaos/apart.ts';
import { runCell } from '../../chaos/cell.ts';
import { kindOf } from '../../chaos/fault.ts';
import { faults } from '../../chaos/faults.ts';
import { positions } from '../../chaos/positions.ts';
import { createRig, type Rig } from '../../chaos/rig.ts';

type Names = readonly [fault: string, position: string];

/** A few cells of the fault matrix; `npm run chaos` has all of them. */
describe('a fault strikes, and everything is back in time', () => {
  let rig: Rig | null = null;
  let failed = false;
  const endRig = async () => {
    await rig?.end({ keepFolder: failed });
    rig = null;
  };
  afterAll(endRig);

  const plain: readonly Names[] = [
    ['run cancelled', 'in step 3 (archive stops)'],
    ['control killed, restarted at once', 'between steps 1 and 2'],
    ['run terminated (with a watchdog)', 'before bringing back'],
    ['a copy stalls, and its processes heed no SIGTERM', 'in step 4 (the copy)'],
  ];
  test.each(plain)('%s, %s', strike);

  const apart: readonly Names[] = [
    ["the agent's clock jumps 6 h ahead", 'in step 2 (the wait)'],
    ["the disk of the agent's journal is full", 'between steps 1 and 2'],
  ];
  const reason = cannotBeApart();
  if (reason !== null) console.warn(`hosts with a clock and disks of their own are not tried: ${reason}`);
  (reason === null ? test : test.skip).each(apart)('%s, %s', strike);

  async function strike(...[faultName, positionName]: Names): Promise<void> {
    const fault = faults.find(({ name }) => name === faultName);
    const position = positions.find(({ name }) => name === positionName);
    if (fault === undefined || position === undefined) throw new Error('no such cell');
    const kind = kindOf(fault, position) ?? 'plain';
    if (rig !== null && rig.kind !== kind) await endRig();
    rig ??= await createRig(kind);
    const { state, why, logs } = await runCell(rig, fault, position);
    failed ||= state !== 'held';
    expect([state, why, logs]).toEqual(['held', '', undefined]);
  }
});
