import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { runCommand } from '../../activities/system/command.ts';
import { coldbackupAt } from '../cli/coldbackup.ts';
import { createCleanup } from '../support/processes.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

const installed = '/usr/local/bin/coldbackup';
const units = ['coldbackup-agent@.service', 'coldbackup-control.service'];
const textOf = (unit: string): string => readFileSync(join('deploy', 'systemd', unit), 'utf8');
const settings = (unit: string): readonly string[] =>
  textOf(unit)
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line));

describe('the systemd units', () => {
  test.each(units)('%s is what systemd accepts without a word', async (unit) => {
    const folder = await cleanup.folder();
    const instance = unit.replace('@', '@vitam');
    writeFileSync(join(folder, unit), textOf(unit).replaceAll(installed, '/bin/true'));
    const { stdout, stderr } = await runCommand(['systemd-analyze', 'verify', join(folder, instance)], {
      timeoutMs: 30_000,
    });
    expect(stdout + stderr).toBe('');
  });

  test.each(units)('%s starts a command that there is, with options that it knows', async (unit) => {
    const [, line = ''] = new RegExp(`^ExecStart=${installed} (.*)$`, 'm').exec(textOf(unit)) ?? [];
    const [command = '', ...words] = line.split(' ');
    const { stdout } = await coldbackupAt()(command, '--help');
    expect(stdout).toContain(`Usage: coldbackup ${command}`);
    for (const option of words.filter((word) => word.startsWith('--')))
      expect(stdout).toContain(`${option} <`);
  });

  test.each(units)('%s is started again whenever it ends', (unit) => {
    expect(settings(unit)).toEqual(expect.arrayContaining(['Restart=always', 'StartLimitIntervalSec=0']));
  });

  test('the agent takes nothing down with it', () => {
    expect(settings('coldbackup-agent@.service')).toContain('KillMode=process');
  });

  test('the agent hands no sandbox on to the services that it starts', () => {
    const confining =
      /^(Private|Protect|Restrict|SystemCall|NoNewPrivileges|Capability|ReadOnly|Inaccessible|UMask|Memory|User=)/;
    expect(settings('coldbackup-agent@.service').filter((line) => confining.test(line))).toEqual([]);
  });

  test('control is no root and gains nothing', () => {
    expect(settings('coldbackup-control.service')).toEqual(
      expect.arrayContaining([
        'User=coldbackup',
        'NoNewPrivileges=yes',
        'CapabilityBoundingSet=',
        'ProtectSystem=strict',
      ]),
    );
  });
});
