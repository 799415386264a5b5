import { afterAll, describe, expect, test } from '@jest/globals';
import { runCell } from '../../chaos/cell.ts';
import { faults } from '../../chaos/faults.ts';
import { positions } from '../../chaos/positions.ts';
import { createRig, type Rig } from '../../chaos/rig.ts';

/** A few cells of the fault matrix; `npm run chaos` has all of them. */
describe('a fault strikes, and everything is back in time', () => {
  let rig: Rig | null = null;
  let failed = false;
  afterAll(() => rig?.end({ keepFolder: failed }));

  const cells = [
    ['run cancelled', 'in step 3 (archive stops)'],
    ['control killed, restarted at once', 'between steps 1 and 2'],
    ['run terminated (with a watchdog)', 'before bringing back'],
    ['a copy stalls, and its processes heed no SIGTERM', 'in step 4 (the copy)'],
  ] as const;
  test.each(cells)('%s, %s', async (faultName, positionName) => {
    const fault = faults.find(({ name }) => name === faultName);
    const position = positions.find(({ name }) => name === positionName);
    if (fault === undefined || position === undefined) throw new Error('no such cell');
    rig ??= await createRig();
    const { state, why, logs } = await runCell(rig, fault, position);
    failed ||= state !== 'held';
    expect([state, why, logs]).toEqual(['held', '', undefined]);
  });
});
