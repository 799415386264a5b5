// One drill by the built code, in a process that a test kills: node drill-once.mjs SITE.json HOST INPUT.json
import { readFileSync } from 'node:fs';
import { createDrillActivities } from '../../dist/activities/drill/drill.js';

const [site, host, input] = process.argv.slice(2);
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const drills = createDrillActivities({
  site: read(site),
  host,
  journal: { state: () => ({ claim: null }) },
  signal: () => new AbortController().signal,
  ended: new AbortController().signal,
  listen:
    () =>
    ({ phase }) =>
      console.log(phase),
  warn: console.error,
});
console.log(JSON.stringify(await drills.drillSet(read(input))));
