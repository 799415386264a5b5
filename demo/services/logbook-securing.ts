// The job of the night: secures the logbook, one operation after the other, through the logbook service, and ends.
// It fails when that service is not there: stopping logbook too early would show.
import { setTimeout as sleep } from 'node:timers/promises';

const logbook = process.argv[2] ?? '';
const operations = 6;

for (let n = 1; n <= operations; n += 1) {
  const response = await fetch(`${logbook}/secure`, { method: 'POST' });
  if (!response.ok) throw new Error(`logbook answers ${response.status}: ${await response.text()}`);
  console.log(`secured ${n} of ${operations}`);
  // What an operation takes: the night meets a job that is at work, and waits for it.
  await sleep(1_000);
}
