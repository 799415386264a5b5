import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { runCommand } from '../../activities/system/command.ts';
import { coldbackupAt } from '../cli/coldbackup.ts';
import { createCleanup } from '../support/processes.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

const installed = '/usr/local/bin/coldbackup';
const unprivileged = ['coldbackup-control.service', 'coldbackup-watchdog.service'];
const workers = ['coldbackup-agent@.service', ...unprivileged];
const recover = 'coldbackup-recover@.service';
const timer = 'coldbackup-recover@.timer';
const textOf = (unit: string): string => readFileSync(join('deploy', 'systemd', unit), 'utf8');
const settings = (unit: string): readonly string[] =>
  textOf(unit)
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line));

describe('the systemd units', () => {
  test.each([...workers, recover, timer])('%s is what systemd accepts without a word', async (unit) => {
    const folder = await cleanup.folder();
    const instance = unit.replace('@', '@vitam');
    for (const each of [...workers, recover, timer])
      writeFileSync(join(folder, each), textOf(each).replaceAll(installed, '/bin/true'));
    const { stdout, stderr } = await runCommand(['systemd-analyze', 'verify', join(folder, instance)], {
      timeoutMs: 30_000,
    });
    expect(stdout + stderr).toBe('');
  });

  test.each([...workers, recover])(
    '%s starts a command that there is, with options that it knows',
    async (unit) => {
      const [, line = ''] = new RegExp(`^ExecStart=${installed} (.*)$`, 'm').exec(textOf(unit)) ?? [];
      const [command = '', ...words] = line.split(' ');
      const { stdout } = await coldbackupAt()(command, '--help');
      expect(stdout).toContain(`Usage: coldbackup ${command}`);
      for (const [index, option] of words.entries())
        if (option.startsWith('--'))
          expect(stdout).toContain(
            words[index + 1]?.startsWith('--') === true ? `${option} ` : `${option} <`,
          );
    },
  );

  test.each(workers)('%s is started again whenever it ends', (unit) => {
    expect(settings(unit)).toEqual(expect.arrayContaining(['Restart=always', 'StartLimitIntervalSec=0']));
  });

  test('the last line is tried every 5 minutes, also after the host was down', () => {
    expect(settings(timer)).toEqual(
      expect.arrayContaining(['OnCalendar=*:0/5', 'Persistent=true', 'WantedBy=timers.target']),
    );
    expect(settings(recover)).toEqual(expect.arrayContaining(['Type=oneshot', 'TimeoutStartSec=infinity']));
    expect(textOf(recover)).toContain('recover --if-overdue');
  });

  test.each(['coldbackup-agent@.service', recover])('%s takes nothing down with it', (unit) => {
    expect(settings(unit)).toContain('KillMode=process');
  });

  test.each(['coldbackup-agent@.service', recover])('%s hands no sandbox on to what it starts', (unit) => {
    const confining =
      /^(Private|Protect|Restrict|SystemCall|NoNewPrivileges|Capability|ReadOnly|Inaccessible|UMask|Memory|User=)/;
    expect(settings(unit).filter((line) => confining.test(line))).toEqual([]);
  });

  test.each(unprivileged)('%s is no root and gains nothing', (unit) => {
    expect(settings(unit)).toEqual(
      expect.arrayContaining([
        'User=coldbackup',
        'NoNewPrivileges=yes',
        'CapabilityBoundingSet=',
        'ProtectSystem=strict',
      ]),
    );
  });
});
