// One drill by the built code, in a process that a test kills: node drill-once.mjs SITE.json HOST INPUT.json [PHASE N]
// With a phase: it kills itself when that is told the n-th time.
import { readFileSync } from 'node:fs';
import { createDrillActivities } from '../../dist/activities/drill/drill.js';

const [site, host, input, at, times] = process.argv.slice(2);
let told = 0;
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const drills = createDrillActivities({
  site: read(site),
  host,
  journal: { state: () => ({ claim: null }) },
  signal: () => new AbortController().signal,
  ended: new AbortController().signal,
  listen:
    () =>
    ({ phase }) => {
      console.log(phase);
      if (phase === at && ++told === Number(times)) process.kill(process.pid, 'SIGKILL');
    },
  warn: console.error,
});
console.log(JSON.stringify(await drills.drillSet(read(input))));
