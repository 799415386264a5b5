// Runs jest and closes with one true line: `N passed, N failed` (suites that could not start count as failed).
// Suites that start a whole cluster wait for one another's processors: they come last, the one that is all processor alone.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const clusters = ['test/mongodb/sharded', 'test/(demo/demo|nights/night-)'];
const wanted = process.argv.slice(2);
const runs =
  wanted.length > 0
    ? [wanted]
    : [
        ['--testPathIgnorePatterns', ...clusters],
        ...clusters.map((one) => ['--maxWorkers=2', '--testPathPatterns', one]),
      ];

const folder = mkdtempSync(join(tmpdir(), 'coldbackup-tests-'));
const totals = { passed: 0, failed: 0, skipped: 0 };
let clean = true;
for (const [index, args] of runs.entries()) clean = runJest(args, join(folder, `${index}.json`)) && clean;
rmSync(folder, { recursive: true, force: true });
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = clean && totals.failed === 0 ? 0 : 1;

function runJest(args, outputFile) {
  const jest = [
    'node_modules/jest/bin/jest.js',
    '--forceExit',
    '--json',
    `--outputFile=${outputFile}`,
    ...args,
  ];
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const { status } = spawnSync(process.execPath, [...node, ...jest], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  try {
    const results = JSON.parse(readFileSync(outputFile, 'utf8'));
    totals.passed += results.numPassedTests;
    totals.failed += results.numFailedTests + results.numRuntimeErrorTestSuites;
    totals.skipped += results.numPendingTests + results.numTodoTests;
  } catch {
    console.error('jest ended without results');
    totals.failed += 1;
  }
  return status === 0;
}
