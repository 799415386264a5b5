// Bundles the workflows once, at build time: control starts without webpack, and every start runs the same code.
import { statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));
const bundle = at('workflows/bundle.cjs');
if (changedMs(bundle) <= changedMs(at('.tsbuildinfo'))) {
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: at('workflows/index.js'),
    logger: new DefaultLogger('WARN'),
  });
  writeFileSync(bundle, code);
}

function changedMs(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
