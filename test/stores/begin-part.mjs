// Writes into a part by the built code, in a process that a test kills: node begin-part.mjs SITE.json SET.json FILE OWNER BYTES
import { readFileSync } from 'node:fs';
import { openStore } from '../../dist/activities/stores/activities.js';

const [site, set, file, owner, bytes] = process.argv.slice(2);
const store = openStore(JSON.parse(readFileSync(site, 'utf8')), 'mongo-1', 'vault');
const part = await store.create(JSON.parse(set), file, owner);
for (let left = Number(bytes); left > 0; left -= 1024 * 1024)
  await part.write(Buffer.alloc(Math.min(left, 1024 * 1024), 7));
console.log('written');
// Kept alive for the test that kills it; ends by itself only where that test is gone.
setTimeout(() => undefined, 600_000);
