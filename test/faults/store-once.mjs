// One act on a store by the built code, in a process that a test kills: node store-once.mjs SITE.json HOST ACT INPUT.json
// With a number besides it kills itself, right before the n-th change of a server.
import { readFileSync } from 'node:fs';
import { copyArtifact } from '../../dist/activities/archive/copy-artifact.js';
import { createStoreActivities, openStore } from '../../dist/activities/stores/activities.js';
import { recordProof } from '../../dist/activities/stores/proofs.js';
import { killBefore } from './kill-itself.mjs';

const [siteFile, host, act, inputFile, nth] = process.argv.slice(2);
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const site = read(siteFile);
const input = read(inputFile);
const stores = createStoreActivities({ site, host });
if (nth !== undefined) await killBefore(Number(nth), site.stores.vault.kind);

if (act === 'prune') await stores.pruneSets(input);
else if (act === 'mend') await stores.mendSet(input);
else if (act === 'proof') await recordProof(openStore(site, host, 'vault'), input.set, input.proof);
else {
  const hooks = {
    signal: new AbortController().signal,
    onProcess: () => undefined,
    onProgress: () => undefined,
  };
  const artifact = await copyArtifact({ ...input.copy, site, host, hooks });
  await stores.publishSet({
    ...input.publish,
    manifest: { ...input.publish.manifest, artifacts: [artifact] },
  });
}
