import { afterAll, describe, expect, test } from '@jest/globals';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCleanup } from '../support/processes.ts';
import { createProgram } from '../../cli/program.ts';
import { coldbackupAt } from './coldbackup.ts';

const coldbackup = coldbackupAt();
const cleanup = createCleanup();
afterAll(cleanup.run);

describe('help', () => {
  test('lists the commands and the exit codes', async () => {
    const { code, stdout } = await coldbackup('--help');

    expect(code).toBe(0);
    for (const command of ['run', 'status', 'watch', 'abort', 'recover', 'check', 'dev', 'control', 'agent'])
      expect(stdout).toContain(`\n  ${command} `);
    expect(stdout).toContain('Exit codes: 0 complete');
  });

  test('of every command has an example', async () => {
    const { commands } = createProgram();
    expect(commands.length).toBeGreaterThan(14);
    for (const command of [...commands, ...commands.flatMap((one) => one.commands)]) {
      const parent = command.parent?.parent ? `${command.parent.name()} ` : '';
      const name = `${parent}${command.name()}`;
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help).toContain(`Example:\n  coldbackup ${name}`);
    }
  });
});

describe('what was typed wrong ends with 2 and one clear message', () => {
  test.each([
    [['rn'], "error: unknown command 'rn'\n(Did you mean run?)"],
    [['run', 'vitam'], "error: missing required argument 'procedure'"],
    [['abort', 'vitam'], "error: required option '--why <reason>' not specified"],
    [['runs', '--limit', '0'], 'It takes a number from 1.'],
    [
      ['agent', 'examples/vitam.yaml', '--host', 'mongo1'],
      'unknown host "mongo1": did you mean "mongo-1"? (site vitam has: mongo-1, mongo-2, app-1)',
    ],
    [['agent', 'nowhere.yaml', '--host', 'app-1'], 'nowhere.yaml: there is no such file'],
    [['recover', '--host', 'db', '--site', 'examples/vitam.yaml'], 'unknown host "db"'],
    [['control', 'docs/nowhere'], 'docs/nowhere: there is no such file'],
  ])('coldbackup %j', async (args, message) => {
    const { code, stdout, stderr } = await coldbackup(...args);

    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect([code, stdout]).toEqual([2, '']);
  });
});

test('a server that is not there ends with 5, and says which and what to do', async () => {
  const { code, stderr } = await coldbackup('status', 'vitam', '--address', '127.0.0.1:1');

  expect(code).toBe(5);
  expect(stderr).toMatch(
    /^coldbackup: Temporal at 127\.0\.0\.1:1 does not answer .* --address or TEMPORAL_ADDRESS\n$/,
  );
});

describe('check', () => {
  test('says what a good file describes', async () => {
    expect(await coldbackup('check', 'examples/vitam.yaml')).toEqual({
      code: 0,
      stdout: 'examples/vitam.yaml: ok. Site vitam: 3 hosts, 24 services, 5 databases, 1 procedure\n',
      stderr: '',
    });
  });

  test('has all problems of all files with their places, as text and as JSON', async () => {
    const file = join(await cleanup.folder(), 'bad.yaml');
    writeFileSync(file, 'site: bad\ntimezone: Europe/Pariss\nhosts: [a]\nproceduress: {}\n');

    const text = await coldbackup('check', file, 'nowhere.yaml');
    expect(text.code).toBe(2);
    expect(text.stdout).toContain(`${file}:2:11  timezone  `);
    expect(text.stdout).toContain(
      `${file}:4:1  proceduress  unknown key "proceduress": did you mean "procedures"?`,
    );
    expect(text.stdout).toContain('nowhere.yaml: there is no such file');

    const json = await coldbackup('check', file, 'examples/vitam.yaml', '--json');
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toEqual([
      {
        ...{ file, ok: false },
        problems: expect.arrayContaining([
          expect.objectContaining({ file, line: 2, column: 11, key: 'timezone' }),
        ]),
      },
      { file: 'examples/vitam.yaml', ok: true, problems: [] },
    ]);
  });
});

test('schema is JSON Schema', async () => {
  const { code, stdout } = await coldbackup('schema');

  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ type: 'object', title: 'coldbackup site file' });
});

describe('safety of files', () => {
  test('an agent refuses a site file that others may write', async () => {
    const file = join(await cleanup.folder(), 'site.yaml');
    writeFileSync(file, 'site: x\n');
    chmodSync(file, 0o666);

    const { code, stderr } = await coldbackup('agent', file, '--host', 'a');
    expect(code).toBe(2);
    expect(stderr).toContain(`others may write ${file} (mode 0666): chmod go-w ${file}`);
  });
});

test('recover of a host that nobody holds changes nothing', async () => {
  const state = await cleanup.folder();
  const here = ['recover', '--host', 'app-1', '--site', 'examples/vitam.yaml', '--state', state];

  for (const args of [[...here, '--dry-run'], here])
    expect(await coldbackup(...args)).toEqual({
      code: 0,
      stdout: 'app-1: free, nothing is held and nothing is to be brought back\n',
      stderr: '',
    });
});
