// Runs jest and closes with one true line: `N passed, N failed` (suites that could not start count as failed).
// Suites that start a whole cluster take all processors for minutes: they come last, by themselves. A suite that fails
// beside others is run once more, alone, and that counts: what only fails on a busy machine is named, not hidden.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const clusters = 'test/(mongodb/sharded|demo/demo)';
const wanted = process.argv.slice(2);
// Most tests wait for processes more than they compute.
const runs =
  wanted.length > 0
    ? [wanted]
    : [
        ['--maxWorkers=3', '--testPathIgnorePatterns', clusters],
        ['--maxWorkers=2', '--testPathPatterns', clusters],
      ];

const folder = mkdtempSync(join(tmpdir(), 'coldbackup-tests-'));
const suites = runs.flatMap((args, index) => runJest(args, `${index}`));
const failed = suites.filter(({ clean }) => !clean);
const again = wanted.length > 0 ? [] : failed.filter(({ file }) => file !== undefined);
if (again.length > 0) console.log(`\nonce more, alone: ${again.map(({ file }) => file).join(', ')}\n`);
const alone = again.flatMap(({ file }, index) =>
  runJest(['--runInBand', '--runTestsByPath', file], `again-${index}`),
);
rmSync(folder, { recursive: true, force: true });

const counted = [...suites.filter((suite) => !again.includes(suite)), ...alone];
const sum = (key) => counted.reduce((total, suite) => total + suite[key], 0);
const onlyBusy = alone.filter(({ clean }) => clean).map(({ file }) => file);
if (onlyBusy.length > 0) console.log(`failed beside others, passed alone: ${onlyBusy.join(', ')}`);
const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped}`);
process.exitCode = counted.every(({ clean }) => clean) ? 0 : 1;

/** What jest says of each suite; of a jest that said nothing, one failure. */
function runJest(args, name) {
  const outputFile = join(folder, `${name}.json`);
  const jest = [
    'node_modules/jest/bin/jest.js',
    '--forceExit',
    '--json',
    `--outputFile=${outputFile}`,
    ...args,
  ];
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  spawnSync(process.execPath, [...node, ...jest], { stdio: ['ignore', 'inherit', 'inherit'] });
  try {
    const { testResults } = JSON.parse(readFileSync(outputFile, 'utf8'));
    return testResults.map(resultOf);
  } catch {
    console.error('jest ended without results');
    return [{ file: undefined, clean: false, passed: 0, failed: 1, skipped: 0 }];
  }
}

function resultOf({ name, status, assertionResults }) {
  const count = (...statuses) => assertionResults.filter((one) => statuses.includes(one.status)).length;
  const failures = count('failed');
  return {
    file: relative('.', name),
    clean: status === 'passed' && failures === 0,
    passed: count('passed'),
    failed: status === 'passed' ? failures : Math.max(1, failures),
    skipped: count('pending', 'todo', 'skipped', 'disabled'),
  };
}
