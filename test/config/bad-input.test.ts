import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadSite, parseSite } from '../../config/load.ts';
import { formatProblems, SiteFileError } from '../../config/problem.ts';
import type { Problem } from '../../config/problem.ts';
import { SMALL_SITE, spoil } from './small-site.ts';

function problemsOf(text: string): readonly Problem[] {
  const parsed = parseSite(text, 'site.yaml');
  return 'problems' in parsed ? parsed.problems : [];
}

function words(text: string): string {
  return formatProblems(problemsOf(text));
}

function sftpOf(hostKey: string): string {
  const key = hostKey === '' ? `ssh-ed25519 ${'A'.repeat(68)}` : hostKey;
  return `{ host: nas, user: backup, key: { file: /etc/key }, host-key: "${key}", directory: /backup }`;
}

function s3Of(keys: string): string {
  return `s3: { endpoint: "https://s3.example.org", bucket: sets, ${keys} }`;
}

function resticOf(keys: string): string {
  return `restic: { password: { file: /etc/restic }, ${keys} }`;
}

test('a store that is a repository of restic is as the file has it', () => {
  const parsed = parseSite(
    spoil(
      ['directory: /backup, shared: true', resticOf('repository: "//srv/repository/"')],
      [
        'procedures:',
        `  far: { ${resticOf('repository: "s3:https://s3.example.org/vitam", environment: { AWS_ACCESS_KEY_ID: { env: A } }, cache: /var/cache/restic')}, keeper: one }\nprocedures:`,
      ],
    ),
    'site.yaml',
  );
  expect('problems' in parsed ? parsed.problems : parsed.site.stores).toEqual({
    vault: {
      ...{ kind: 'restic', repository: '/srv/repository', password: { file: '/etc/restic' } },
      ...{ environment: {}, shared: true, keeper: 'two' },
    },
    far: {
      ...{ kind: 'restic', repository: 's3:https://s3.example.org/vitam', password: { file: '/etc/restic' } },
      ...{ environment: { AWS_ACCESS_KEY_ID: { env: 'A' } }, cache: '/var/cache/restic' },
      ...{ shared: true, keeper: 'one' },
    },
  });
});

test('stores on servers, encrypted and limited in time, are as the file has them', () => {
  const age = `age1${'q'.repeat(58)}`;
  const parsed = parseSite(
    spoil(
      ['directory: /backup, shared: true', `sftp: ${sftpOf('')}`],
      [
        'procedures:',
        `  cloud: { ${s3Of('access-key: { env: A }, secret-key: { env: B }, prefix: a/b, object-lock: { mode: compliance, days: 30d }')}, rate: 20MB/s, encrypt: { age: [${age}], identity: { file: /etc/age } }, keeper: one }\nprocedures:`,
      ],
      ['to: [vault] }', 'to: [vault, cloud], needs: any }'],
    ),
    'site.yaml',
  );
  expect('problems' in parsed ? parsed.problems : parsed.site.stores).toEqual({
    vault: {
      ...{ kind: 'sftp', host: 'nas', port: 22, user: 'backup', key: { file: '/etc/key' } },
      ...{ hostKey: `ssh-ed25519 ${'A'.repeat(68)}`, directory: '/backup', shared: true, keeper: 'two' },
    },
    cloud: {
      ...{
        kind: 's3',
        endpoint: 'https://s3.example.org',
        bucket: 'sets',
        region: 'us-east-1',
        prefix: 'a/b/',
      },
      ...{ accessKey: { env: 'A' }, secretKey: { env: 'B' }, pathStyle: true, shared: true, keeper: 'one' },
      objectLock: { mode: 'compliance', days: 30 },
      encrypt: { recipients: [age], identity: '/etc/age' },
      rateBytesPerSecond: 20_000_000,
    },
  });
});

test('the small site has no problem', () => {
  expect(words(SMALL_SITE)).toBe('');
});

describe('one mistake is one problem, with its key and what was expected', () => {
  const cases: readonly (readonly [
    title: string,
    changes: readonly (readonly [string, string])[],
    key: string,
    message: RegExp,
  ])[] = [
    ['an unknown key at the top', [['jobs:', 'job:']], 'job', /unknown key "job": did you mean "jobs"\?/],
    [
      'an unknown key in a service',
      [['stop-within', 'stop-withn']],
      'services.web.stop-withn',
      /unknown key "stop-withn": did you mean "stop-within"\?/,
    ],
    [
      'an unknown key in a step',
      [['until: "02:00"', 'untill: "02:00"']],
      'procedures.nightly.steps[1].parallel.job[0].wait.untill',
      /did you mean "until"\?/,
    ],
    [
      'an unknown limit',
      [['procedures:', 'limits: { longest: 1h }\nprocedures:']],
      'limits.longest',
      /unknown key "longest"/,
    ],
    [
      'a limit that is no duration',
      [['procedures:', 'limits: { grace: 10 }\nprocedures:']],
      'limits.grace',
      /expected a duration such as "90s", "2m" or "1h30m", not 10/,
    ],
    [
      'a window that is longer than anything may stay down',
      [['procedures:', 'limits: { longest-down: 13h39m }\nprocedures:']],
      'procedures.nightly.up-by',
      /longest-down 13h39m does not cover 20:00 to 08:30 and grace 10m/,
    ],
    [
      'a misspelled kind of step',
      [['- stop: [web]', '- stopp: [web]']],
      'procedures.nightly.steps[0].stopp',
      /did you mean "stop"\?/,
    ],
    [
      'a key that is there twice',
      [['timezone: Europe/Paris', 'timezone: Europe/Paris\ntimezone: UTC']],
      'timezone',
      /"timezone" is there twice/,
    ],
    [
      'a service name that is there twice',
      [['  db-a:', '  web: { host: one, systemd: x.service }\n  db-a:']],
      'services.web',
      /"web" is there twice/,
    ],
    [
      'a host that is named twice',
      [['hosts: [one, two]\nservices', 'hosts: [one, two, one]\nservices']],
      'hosts[2]',
      /"one" is named twice/,
    ],
    [
      'a level that zstd does not have',
      [['used-by: [web]', 'used-by: [web]\n    compress: 22']],
      'databases.tree.compress',
      /expected a level of zstd, a whole number from 1 to 19, not 22/,
    ],
    [
      'a user that is named twice',
      [['used-by: [web]', 'used-by: [web, web]']],
      'databases.tree.used-by[1]',
      /named twice/,
    ],
    [
      'a database that is named twice',
      [['[db, tree]', '[db, tree, db]']],
      'procedures.nightly.steps[3].backup.databases[2]',
      /named twice/,
    ],
    [
      'a wrong type',
      [['shared: true', 'shared: "yes"']],
      'stores.vault.shared',
      /expected true or false, not "yes"/,
    ],
    [
      'text for a list',
      [['[/srv/tree]', '/srv/tree']],
      'databases.tree.files.roots',
      /expected a list of absolute paths, not "\/srv\/tree"/,
    ],
    [
      'a list for a map',
      [['{ last: 3, daily: 7 }', '[3]']],
      'procedures.nightly.keep',
      /expected a map with the keys last, hourly, daily, weekly, monthly, yearly, within, not a list/,
    ],
    [
      'a shell string for a command',
      [['start: [/bin/a]', 'start: /bin/a -x']],
      'services.worker.command.start',
      /expected an argument array/,
    ],
    [
      'a command that depends on PATH',
      [['start: [/bin/a]', 'start: [a]']],
      'services.worker.command.start[0]',
      /absolute path, not "a"/,
    ],
    [
      'hold-down without let-go',
      [['status: [/bin/c]', 'status: [/bin/c], hold-down: [/bin/d]']],
      'services.worker.command.hold-down',
      /hold-down and let-go together/,
    ],
    [
      'no driver',
      [['host: one, systemd: web.service', 'host: one']],
      'services.web',
      /exactly one of systemd, command, not none/,
    ],
    [
      'two drivers',
      [['systemd: web.service', 'systemd: web.service, command: { start: [/a], stop: [/a], status: [/a] }']],
      'services.web',
      /exactly one of systemd, command, not systemd and command/,
    ],
    [
      'host and hosts',
      [['host: one, systemd: web', 'host: one, hosts: [two], systemd: web']],
      'services.web',
      /exactly one of host, hosts/,
    ],
    [
      'two ways to be ready',
      [['tcp: "localhost:80"', 'tcp: "localhost:80", command: [/a]']],
      'services.web.ready',
      /at most one of tcp, http, command/,
    ],
    [
      'two kinds in one step',
      [['- stop: [web]', '- { stop: [web], wait: { clock: "21:00" } }']],
      'procedures.nightly.steps[0]',
      /exactly one of stop, wait, parallel, backup, not stop and wait/,
    ],
    [
      'a unit that is no service',
      [['db.service }\n  db-b', 'db.timer }\n  db-b']],
      'services.db-a.systemd',
      /systemd unit such as "mongod.service", not "db.timer"/,
    ],
    [
      'a manager that does not exist',
      [['systemd: web.service', 'systemd: { unit: web.service, manager: root }']],
      'services.web.systemd.manager',
      /expected "system" or "user", not "root"/,
    ],
    [
      'a duration without a unit',
      [['stop-within: 90s', 'stop-within: 90']],
      'services.web.stop-within',
      /expected a duration such as "90s", "2m" or "1h30m", not 90/,
    ],
    [
      'a duration of nothing',
      [['stop-within: 90s', 'stop-within: 0s']],
      'services.web.stop-within',
      /longer than nothing/,
    ],
    [
      'a port that does not exist',
      [['localhost:80"', 'localhost:70000"']],
      'services.web.ready.tcp',
      /port from 1 to 65535/,
    ],
    [
      'a login in a URL',
      [['http://localhost:1/x', 'http://u:hunter2@localhost:1/x']],
      'counts.left.http',
      /without a login/,
    ],
    [
      'a malformed pointer',
      [['pointer: /left', 'pointer: left']],
      'counts.left.pointer',
      /JSON pointer \(RFC 6901\)/,
    ],
    [
      'a pointer with a wrong escape',
      [['pointer: /left', 'pointer: /a~2']],
      'counts.left.pointer',
      /JSON pointer \(RFC 6901\)/,
    ],
    ['http without a pointer', [[', pointer: /left', '']], 'counts.left.pointer', /missing/],
    [
      'a time zone that does not exist',
      [['Europe/Paris', 'Europe/Pariss']],
      'timezone',
      /unknown time zone "Europe\/Pariss": did you mean "Europe\/Paris"\?/,
    ],
    ['an offset for a time zone', [['Europe/Paris', '"+01:00"']], 'timezone', /unknown time zone/],
    [
      'a clock time that does not exist',
      [['at: "08:00"', 'at: "24:00"']],
      'procedures.nightly.restart.at',
      /clock time from "00:00" to "23:59", in quotes, not "24:00"/,
    ],
    [
      'a clock time as a number',
      [['up-by: "08:30"', 'up-by: 830']],
      'procedures.nightly.up-by',
      /clock time.* not 830/,
    ],
    [
      'no up-by',
      [['    up-by: "08:30"\n', '']],
      'procedures.nightly.up-by',
      /missing: expected a clock time/,
    ],
    [
      'a day that does not exist',
      [['mon-fri', 'mon-fry']],
      'procedures.nightly.start.days',
      /days such as mon-fri/,
    ],
    [
      'no services to stop',
      [['stop: [worker]', 'stop: []']],
      'procedures.nightly.steps[1].parallel.drain[1].stop',
      /at least one/,
    ],
    [
      'a retention of nothing',
      [['{ last: 3, daily: 7 }', '{}']],
      'procedures.nightly.keep',
      /at least one of last, hourly, daily/,
    ],
    [
      'a rule of retention that there is not',
      [['{ last: 3, daily: 7 }', '{ last: 3, dayly: 7 }']],
      'procedures.nightly.keep.dayly',
      /unknown key "dayly": did you mean "daily"/,
    ],
    [
      'a rule of retention of one store that there is not',
      [['{ last: 3, daily: 7 }', '{ vault: { last: 3, dayly: 7 } }']],
      'procedures.nightly.keep.vault.dayly',
      /unknown key "dayly": did you mean "daily"/,
    ],
    [
      'retention in a store that there is not',
      [['{ last: 3, daily: 7 }', '{ valt: { last: 3 } }']],
      'procedures.nightly.keep.valt',
      /unknown store "valt": did you mean "vault"/,
    ],
    [
      'retention of nothing in a store',
      [['{ last: 3, daily: 7 }', '{ vault: {} }']],
      'procedures.nightly.keep.vault',
      /at least one of last, hourly, daily/,
    ],
    [
      'retention by rules and by stores at once',
      [['{ last: 3, daily: 7 }', '{ daily: 7, vault: { last: 3 } }']],
      'procedures.nightly.keep',
      /expected rules such as .*, or stores with rules such as .*, not both in one map/,
    ],
    [
      'a store called as a rule of retention',
      [
        ['vault: { directory', 'daily: { directory'],
        ['to: [vault]', 'to: [daily]'],
      ],
      'stores.daily',
      /a store cannot be called daily: a rule of "keep" is/,
    ],
    [
      'a relative store',
      [['directory: /backup', 'directory: backup']],
      'stores.vault.directory',
      /absolute path.*not "backup"/,
    ],
    [
      'a relative data directory',
      [['data: /data/db', 'data: data/db']],
      'databases.db.mongodb.members["one:27017"].data',
      /absolute path/,
    ],
    [
      'a path that goes up',
      [['data: /data/db', 'data: /data/../db']],
      'databases.db.mongodb.members["one:27017"].data',
      /absolute path without "\." or "\.\."/,
    ],
    [
      'a malformed name of a variable',
      [['env: DB_URI', 'env: DB-URI']],
      'databases.db.mongodb.members["two:27017"].uri.env',
      /name of an environment variable/,
    ],
    [
      'a secret as plain text',
      [['uri: { env: DB_URI }', 'uri: "mongodb://u:hunter2@two"']],
      'databases.db.mongodb.members["two:27017"].uri',
      /by reference only: \{ file: \/absolute\/path \} or \{ env: NAME \}/,
    ],
    [
      'a secret with file and env',
      [['{ env: DB_URI }', '{ env: DB_URI, file: /x }']],
      'databases.db.mongodb.members["two:27017"].uri',
      /exactly one of file, env/,
    ],
    ['a member without a port', [['"two:27017"', '"two"']], 'databases.db.mongodb.members.two', /host:port/],
    [
      'a name with a space',
      [['site: small', 'site: The small site']],
      'site',
      /lower-case words joined by hyphens/,
    ],
    [
      'a branch called as a step',
      [['          job:', '          "1":']],
      'procedures.nightly.steps[1].parallel.1',
      /lower-case words/,
    ],
    [
      'a wait for a count without a number',
      [[', reaches: 0', '']],
      'procedures.nightly.steps[1].parallel.drain[0].wait.reaches',
      /missing: a wait for a count has reaches/,
    ],
    [
      'a wait for a clock time with a deadline',
      [['{ clock: "04:00" }', '{ clock: "04:00", until: "05:00" }']],
      'procedures.nightly.steps[2].wait.until',
      /a wait for a clock has no until/,
    ],

    [
      'an unknown host of a service',
      [['host: one, systemd: web', 'host: onee, systemd: web']],
      'services.web.host',
      /unknown host "onee": did you mean "one"\?/,
    ],
    [
      'an unknown host of a job',
      [['nightly-job: { host: one', 'nightly-job: { host: tow']],
      'jobs.nightly-job.host',
      /unknown host "tow": did you mean "two"\?/,
    ],
    [
      'an unknown keeper',
      [['keeper: two', 'keeper: twoo']],
      'stores.vault.keeper',
      /unknown host "twoo": did you mean "two"\?/,
    ],
    [
      'an unknown host of mongos',
      [['mongos: { host: one', 'mongos: { host: none']],
      'databases.db.mongodb.mongos.host',
      /unknown host "none"/,
    ],
    [
      'an unknown service to stop',
      [['stop: [worker]', 'stop: [worker, wob]']],
      'procedures.nightly.steps[1].parallel.drain[1].stop[1]',
      /unknown service "wob": did you mean "web"\?/,
    ],
    [
      'an unknown user',
      [['used-by: [web]', 'used-by: [web, nobody]']],
      'databases.tree.used-by[1]',
      /unknown service "nobody"/,
    ],
    [
      'an unknown job',
      [['job: nightly-job', 'job: nightly-jb']],
      'procedures.nightly.steps[1].parallel.job[0].wait.job',
      /unknown job "nightly-jb": did you mean "nightly-job"\?/,
    ],
    [
      'an unknown count',
      [['count: left', 'count: leftt']],
      'procedures.nightly.steps[1].parallel.drain[0].wait.count',
      /unknown count "leftt": did you mean "left"\?/,
    ],
    [
      'an unknown database',
      [['[db, tree]', '[db, treee]']],
      'procedures.nightly.steps[3].backup.databases[1]',
      /unknown database "treee": did you mean "tree"\?/,
    ],
    [
      'an unknown store',
      [['to: [vault]', 'to: [valt]']],
      'procedures.nightly.steps[3].backup.to[0]',
      /unknown store "valt": did you mean "vault"\?/,
    ],

    [
      'a store inside a data directory',
      [['directory: /backup', 'directory: /srv/tree/backup']],
      'stores.vault.directory',
      /store vault at \/srv\/tree\/backup lies inside the data of tree \(\/srv\/tree on one\)/,
    ],
    [
      'data inside a store',
      [['roots: [/srv/tree]', 'roots: [/backup/tree]']],
      'stores.vault.directory',
      /the data of tree .* lies inside store vault/,
    ],
    [
      'a store inside the data of one host only',
      [['directory: /backup', 'directory: { one: /backup, two: /data/db/x }']],
      'stores.vault.directory.two',
      /lies inside the data of member two:27017/,
    ],
    [
      'copies inside the data of another',
      [
        ['      members:', '      copy-by: auto\n      members:'],
        ['"one:27017": { host: one', '"one:27017": { copies: /srv/tree/copies, host: one'],
      ],
      'databases.db.mongodb.members["one:27017"].copies',
      /copies of member one:27017 in \/srv\/tree\/copies would lie inside the data of tree \(\/srv\/tree on one\)/,
    ],
    [
      'copies inside a store',
      [
        ['      members:', '      copy-by: copy\n      members:'],
        ['"one:27017": {', '"one:27017": { copies: /copies,'],
        ['"two:27017": {', '"two:27017": { copies: /backup/copies,'],
      ],
      'databases.db.mongodb.members["two:27017"].copies',
      /would lie inside store vault \(\/backup on two\)/,
    ],
    [
      'copies beside data that lies in a tree',
      [
        ['      members:', '      copy-by: reflink\n      members:'],
        ['roots: [/srv/tree]', 'roots: [/data]'],
      ],
      'databases.db.mongodb.members["one:27017"].data',
      /copies of member one:27017 in \/data would lie inside the data of tree/,
    ],
    [
      'a folder for copies that nothing is copied to',
      [
        ['      members:', '      copy-by: stream\n      members:'],
        ['"one:27017": {', '"one:27017": { copies: /copies,'],
      ],
      'databases.db.mongodb.members["one:27017"].copies',
      /copies are made only with copy-by/,
    ],
    [
      'a folder for copies of a tree that nothing is copied to',
      [['files: { host: one,', 'files: { host: one, copies: /copies,']],
      'databases.tree.files.copies',
      /copies are made only with copy-by/,
    ],
    [
      'a plain copy of a tree without a folder',
      [['files: { host: one,', 'files: { host: one, copy-by: copy,']],
      'databases.tree.files',
      /copy-by: copy needs the folder that copies go to/,
    ],
    [
      'copies of a tree in another root of it',
      [['roots: [/srv/tree]', 'roots: [/srv/tree, /srv/other], copy-by: auto, copies: /srv/other/copies']],
      'databases.tree.files.copies',
      /copies of tree in \/srv\/other\/copies would lie inside the data of tree/,
    ],
    [
      'a tree that is copied with a root in another one',
      [['roots: [/srv/tree]', 'roots: [/srv/tree, /srv/tree/inner], copy-by: auto']],
      'databases.tree.files.roots[1]',
      /with copy-by no root lies in another one, as \/srv\/tree\/inner does/,
    ],
    [
      'a way to copy that there is not',
      [['      members:', '      copy-by: zfs\n      members:']],
      'databases.db.mongodb.copy-by',
      /expected "auto" or "reflink" or "btrfs" or "copy" or "stream", not "zfs"/,
    ],
    [
      'two members with one path on one host',
      [
        ['"two:27017": { host: two, service: db-b', '"two:27017": { host: one, service: db-b'],
        ['db-b: { host: two', 'db-b: { host: one'],
      ],
      'databases.db.mongodb.members["two:27017"].data',
      /the path \/data\/db on one is also that of member one:27017/,
    ],
    [
      'a member inside the path of another',
      [
        [
          '"two:27017": { host: two, service: db-b, data: /data/db',
          '"two:27017": { host: one, service: db-b, data: /data/db/b',
        ],
        ['db-b: { host: two', 'db-b: { host: one'],
      ],
      'databases.db.mongodb.members["two:27017"].data',
      /overlaps that of member one:27017/,
    ],
    [
      'a member whose service is elsewhere',
      [
        ['"two:27017": { host: two', '"two:27017": { host: one'],
        ['host: one, service: db-b, data: /data/db', 'host: one, service: db-b, data: /data/b'],
      ],
      'databases.db.mongodb.members["two:27017"].service',
      /service "db-b" runs on two, not on one alone/,
    ],
    [
      'one service for two members',
      [
        ['service: db-b', 'service: db-a'],
        ['db-a: { host: one', 'db-a: { host: two'],
        ['"one:27017": { host: one', '"one:27017": { host: two'],
        ['service: db-a, data: /data/db, uri: { file', 'service: db-a, data: /data/a, uri: { file'],
      ],
      'databases.db.mongodb.members["two:27017"].service',
      /already that of member one:27017/,
    ],
    [
      'a server among the users of its database',
      [
        ['used-by: [web, worker]', 'used-by: [web, worker, db-a]'],
        ['- wait: { clock: "04:00" }', '- wait: { clock: "04:00" }'],
      ],
      'databases.db.used-by[2]',
      /is a server of db, not one of its users/,
    ],
    [
      'a router among the users of its database',
      [['      members:', '      routers: [worker]\n      members:']],
      'databases.db.used-by[1]',
      /is a server of db, not one of its users/,
    ],
    [
      'a member among the routers',
      [['      members:', '      routers: [db-a]\n      members:']],
      'databases.db.mongodb.routers[0]',
      /"db-a" is a member of db, and no router/,
    ],
    [
      'routers without the one that is asked',
      [
        [
          'db-a: { host: one, systemd: db.service }',
          'db-a: { host: one, systemd: db.service }\n  far: { host: two, systemd: far.service }',
        ],
        ['      members:', '      routers: [far]\n      members:'],
      ],
      'databases.db.mongodb.routers',
      /none of them runs on one, where mongos is asked/,
    ],
    [
      'routers of what is no cluster',
      [['      mongos: { host: one, uri: { file: /etc/secret } }', '      routers: [db-a]']],
      'databases.db.mongodb.routers',
      /only a sharded cluster has routers/,
    ],
    [
      'the replica set of a member of what is no cluster',
      [
        ['      mongos: { host: one, uri: { file: /etc/secret } }\n', ''],
        ['data: /data/db, ', 'data: /data/db, replica-set: rs, '],
      ],
      'databases.db.mongodb.members["one:27017"].replica-set',
      /only a sharded cluster has several replica sets/,
    ],
    [
      'the replica set of some members only',
      [['data: /data/db, ', 'data: /data/db, replica-set: rs, ']],
      'databases.db.mongodb.members["two:27017"]',
      /names no replica-set, and other members do/,
    ],
    [
      'a keeper without a directory',
      [
        ['directory: /backup', 'directory: { one: /backup }'],
        ['[db, tree]', '[tree]'],
      ],
      'stores.vault.directory',
      /no directory on two, its keeper/,
    ],
    [
      'a store that a host with data does not have',
      [
        ['directory: /backup', 'directory: { two: /backup }'],
        ['[db, tree]', '[tree]'],
      ],
      'procedures.nightly.steps[3].backup.to[0]',
      /store vault has no directory on one/,
    ],

    [
      'a backup before its user is stopped',
      [
        ['stop: [worker]', 'stop: [db-x]'],
        ['services:', 'services:\n  db-x: { host: one, systemd: x.service }'],
      ],
      'procedures.nightly.steps[3].backup.databases[0]',
      /db is used by "worker", not stopped in an earlier step/,
    ],
    [
      'a service stopped twice',
      [['stop: [worker]', 'stop: [worker, web]']],
      'procedures.nightly.steps[1].parallel.drain[1].stop[1]',
      /"web" is stopped twice: it is already in steps\[0\]\.stop\[0\]/,
    ],
    [
      'a service stopped twice in one step',
      [['stop: [web]', 'stop: [web, web]']],
      'procedures.nightly.steps[0].stop[1]',
      /"web" is stopped twice/,
    ],
    [
      'a member stopped by hand',
      [['stop: [worker]', 'stop: [worker, db-a]']],
      'procedures.nightly.steps[1].parallel.drain[1].stop[1]',
      /"db-a" is a server of db/,
    ],
    [
      'a database backed up twice',
      [['    keep:', '      - backup: { databases: [tree], method: cold, to: [vault] }\n    keep:']],
      'procedures.nightly.steps[4].backup.databases[0]',
      /tree is backed up twice/,
    ],

    [
      'a restart that is not before up-by',
      [['at: "08:00"', 'at: "09:00"']],
      'procedures.nightly.restart.at',
      /restart\.at 09:00 is not before up-by 08:30/,
    ],
    [
      'a restart at up-by',
      [['at: "08:00"', 'at: "08:30"']],
      'procedures.nightly.restart.at',
      /is not before up-by/,
    ],
    [
      'a restart that is not before up-by, without a schedule',
      [
        ['    start: { days: mon-fri, at: "20:00", not-after: "21:00" }\n', ''],
        ['at: "08:00"', 'at: "09:00"'],
      ],
      'procedures.nightly.restart.at',
      /is not before up-by/,
    ],
    [
      'a deadline after the restart',
      [['until: "03:00"', 'until: "08:10"']],
      'procedures.nightly.steps[1].parallel.drain[0].wait.until',
      /the deadline 08:10 is after restart\.at 08:00/,
    ],
    [
      'a deadline after up-by',
      [
        ['    restart: { at: "08:00" }\n', ''],
        ['until: "03:00"', 'until: "09:00"'],
      ],
      'procedures.nightly.steps[1].parallel.drain[0].wait.until',
      /the deadline 09:00 is after up-by 08:30/,
    ],
    [
      'a clock time to wait for after the restart',
      [['clock: "04:00"', 'clock: "08:20"']],
      'procedures.nightly.steps[2].wait.clock',
      /is after restart\.at/,
    ],
    [
      'a job that could not end in time',
      [['began-after: "00:00"', 'began-after: "02:30"']],
      'procedures.nightly.steps[1].parallel.job[0].wait.began-after',
      /not before until 02:00/,
    ],
    [
      'a start that is not on a date that does not exist',
      [['not-after: "21:00"', 'not-on: ["2026-12-24", "2027-02-29"]']],
      'procedures.nightly.start.not-on[1]',
      /there is no 2027-02-29 in the calendar/,
    ],
    [
      'a start that is not on a date in other words',
      [['not-after: "21:00"', 'not-on: [24.12.2026]']],
      'procedures.nightly.start.not-on[0]',
      /expected a date such as "2026-12-24", not "24\.12\.2026"/,
    ],
    [
      'a date that is named twice',
      [['not-after: "21:00"', 'not-on: ["2026-12-24", "2026-12-24"]']],
      'procedures.nightly.start.not-on[1]',
      /"2026-12-24" is named twice/,
    ],
    [
      'pause-on-failure in other words',
      [['not-after: "21:00"', 'pause-on-failure: "yes"']],
      'procedures.nightly.start.pause-on-failure',
      /expected true or false, not "yes"/,
    ],
    [
      'a late start after the end',
      [['not-after: "21:00"', 'not-after: "08:10"']],
      'procedures.nightly.start.not-after',
      /not between the start at 20:00 and restart\.at 08:00/,
    ],
    [
      'up-by at the start',
      [['up-by: "08:30"', 'up-by: "20:00"']],
      'procedures.nightly.up-by',
      /also when the procedure starts/,
    ],
    [
      'a question that nobody can answer any more',
      [['otherwise: continue', 'otherwise: { ask: "Go on?", by: "02:30", else: fail }']],
      'procedures.nightly.steps[1].parallel.drain[0].wait.otherwise.by',
      /by 02:30 is not between until 03:00 and restart\.at 08:00/,
    ],
    [
      'a question that is open when bringing back has begun',
      [['otherwise: continue', 'otherwise: { ask: "Go on?", by: "08:10", else: fail }']],
      'procedures.nightly.steps[1].parallel.drain[0].wait.otherwise.by',
      /by 08:10 is not between until 03:00 and restart\.at 08:00/,
    ],
    [
      'a question without an end',
      [['otherwise: continue', 'otherwise: { ask: "Go on?", else: fail }']],
      'procedures.nightly.steps[1].parallel.drain[0].wait.otherwise.by',
      /missing: expected a clock time/,
    ],
    [
      'a failure that is asked about in other words',
      [['      - stop: [web]', '      - { stop: [web], on-failure: retry }']],
      'procedures.nightly.steps[0].on-failure',
      /expected "fail" or "ask", not "retry"/,
    ],
    [
      'a folder for looking at sets that holds data',
      [['stores:', 'restore-to: /srv\nstores:']],
      'restore-to',
      /the folder \/srv overlaps \/srv\/tree of tree on one/,
    ],
    [
      'a scratch folder among the data',
      drillOf('scratch: /srv/tree/x'),
      'drill.scratch',
      /overlaps \/srv\/tree of tree on one/,
    ],
    [
      'a drill of MongoDB without a server',
      [['stores:', 'drill: { scratch: /drill }\nstores:']],
      'drill',
      /missing: mongod, to open the copies of db with/,
    ],
    [
      'a drill in less memory than a server needs',
      drillOf('scratch: /drill, memory: 900MB'),
      'drill.memory',
      /expected at least "1GB"/,
    ],
    [
      'a check of what is no MongoDB database',
      drillOf('scratch: /drill, checks: [{ database: tree, db: a, collection: b, count: 1 }]'),
      'drill.checks[0].database',
      /tree is no MongoDB database/,
    ],
    [
      'a check with two answers',
      drillOf('scratch: /drill, checks: [{ database: db, db: a, collection: b, count: 1, at-least: 1 }]'),
      'drill.checks[0]',
      /expected exactly one of count, at-least, field, not count and at-least/,
    ],
    [
      'proofs that are asked for without a drill',
      [['    keep: { last: 3', '    prove-every: 90d\n    keep: { last: 3']],
      'procedures.nightly.prove-every',
      /does not say where they are/,
    ],
    [
      'a procedure called as restores are',
      [['  nightly:', '  restore:']],
      'procedures.restore',
      /cannot be called restore/,
    ],
    [
      'drills at a time without a place',
      [['    keep: { last: 3', '    drill: { days: sun, at: "10:00" }\n    keep: { last: 3']],
      'procedures.nightly.drill',
      /does not say where they are/,
    ],
    [
      'reading again without a period',
      [['    keep: { last: 3', '    verify: { days: sun, at: "10:00" }\n    keep: { last: 3']],
      'procedures.nightly.verify.every',
      /missing: expected a number of days/,
    ],
    [
      'proofs that are asked for in hours',
      [['    keep: { last: 3', '    prove-every: 48h\n    keep: { last: 3']],
      'procedures.nightly.prove-every',
      /expected a number of days/,
    ],
    [
      'a store of two kinds',
      [['directory: /backup,', `directory: /backup, sftp: ${sftpOf('')},`]],
      'stores.vault',
      /expected exactly one of directory, sftp, s3, restic, not directory and sftp/,
    ],
    [
      'a directory that is not said to be shared or not',
      [['shared: true, ', '']],
      'stores.vault.shared',
      /missing: expected true or false/,
    ],
    [
      'a server that is not shared',
      [['directory: /backup, shared: true', `sftp: ${sftpOf('')}, shared: false`]],
      'stores.vault.shared',
      /seen by all hosts: leave out "shared"/,
    ],
    [
      'a fingerprint for the key of a server',
      [['directory: /backup, shared: true', `sftp: ${sftpOf('SHA256:4/fS5umXi35VEhkuRdp6BxawJNQ')}`]],
      'stores.vault.sftp.host-key',
      /expected the public key of the server, such as "ssh-ed25519 AAAA/,
    ],
    [
      'the secret of a bucket written into the file',
      [['directory: /backup, shared: true', s3Of('access-key: { env: A }, secret-key: hush')]],
      'stores.vault.s3.secret-key',
      /^expected a secret by reference only: [^]*(?<!hush)$/,
    ],
    [
      'a bucket without its keys',
      [['directory: /backup, shared: true', s3Of('access-key: { env: A }')]],
      'stores.vault.s3.secret-key',
      /missing/,
    ],
    [
      'a private key among those that encrypt',
      [['keeper: two }', `encrypt: { age: [AGE-SECRET-KEY-1${'Q'.repeat(58)}] }, keeper: two }`]],
      'stores.vault.encrypt.age[0]',
      /^expected a public key of age such as "age1ql3z…"(?!.*AGE-SECRET)/,
    ],
    [
      'a rate in bits',
      [['keeper: two }', 'rate: 100Mbit/s, keeper: two }']],
      'stores.vault.rate',
      /expected a rate such as "20MB\/s", not "100Mbit\/s"/,
    ],
    [
      'needs where there is one store',
      [['to: [vault] }', 'to: [vault], needs: any }']],
      'procedures.nightly.steps[3].backup.needs',
      /about several stores, and "to" names one/,
    ],
    [
      'a repository that is no place',
      [['directory: /backup, shared: true', resticOf('repository: backups')]],
      'stores.vault.restic.repository',
      /expected an absolute path, or a repository as "restic -r" takes it/,
    ],
    [
      'a password in the address of a repository',
      [['directory: /backup, shared: true', resticOf('repository: "rest:https://me:hush@example.org/"')]],
      'stores.vault.restic.repository',
      /without a password in it$/,
    ],
    [
      'a variable for restic that would start something else',
      [
        [
          'directory: /backup, shared: true',
          resticOf('repository: /srv/repository, environment: { LD_PRELOAD: { env: A } }'),
        ],
      ],
      'stores.vault.restic.environment.LD_PRELOAD',
      /the name of a variable that restic reads/,
    ],
    [
      'a repository of restic that is encrypted once more',
      [
        [
          'directory: /backup, shared: true',
          `${resticOf('repository: /srv/repository')}, encrypt: { age: [age1${'q'.repeat(58)}] }`,
        ],
      ],
      'stores.vault.encrypt',
      /restic encrypts by itself/,
    ],
    [
      'a repository inside of what is copied into it',
      [['directory: /backup, shared: true', resticOf('repository: /srv/tree/repository')]],
      'stores.vault.restic.repository',
      /lies inside the data of/,
    ],
    [
      'two stores in one repository',
      [
        ['directory: /backup, shared: true', resticOf('repository: "sftp:nas:/vitam"')],
        [
          'procedures:',
          `  other: { ${resticOf('repository: "sftp:nas:/vitam"')}, keeper: one }\nprocedures:`,
        ],
      ],
      'stores.other',
      /is also where store vault is/,
    ],
    [
      'two stores in one bucket',
      [
        ['directory: /backup, shared: true', s3Of('access-key: { env: A }, secret-key: { env: B }')],
        [
          'procedures:',
          `  other: { ${s3Of('access-key: { env: A }, secret-key: { env: B }')}, keeper: one }\nprocedures:`,
        ],
      ],
      'stores.other',
      /is also where store vault is/,
    ],
  ];

  test.each(cases)('%s', (_, changes, key, message) => {
    const problems = problemsOf(spoil(...changes));
    expect(problems.map((problem) => [problem.key, problem.message])).toEqual([
      [key, expect.stringMatching(message)],
    ]);
  });
});

describe('all problems at once', () => {
  test('come in order of place, with line, column, key, message and hint', () => {
    const text = spoil(
      ['timezone: Europe/Paris', 'timezone: Europe/Pari'],
      ['stop-within: 90s', 'stop-within: 90'],
      ['used-by: [web, worker]', 'used-by: [web, workr]'],
      ['directory: /backup', 'directory: /srv/tree/x'],
      ['at: "08:00"', 'at: "09:00"'],
      ['stop: [worker]', 'stop: [worker, web]'],
      ['    keep:', '    kep:'],
    );
    const problems = problemsOf(text);
    expect(problems.map(({ key }) => key)).toEqual([
      'timezone',
      'services.web.stop-within',
      'databases.db.used-by[1]',
      'stores.vault.directory',
      'procedures.nightly.restart.at',
      'procedures.nightly.steps[1].parallel.drain[1].stop[1]',
      'procedures.nightly.kep',
    ]);
    const lines = text.split('\n');
    const [zone, within, user] = problems;
    expect([zone?.line, zone?.column]).toEqual([2, 11]);
    expect(lines[(within?.line ?? 0) - 1]?.slice((within?.column ?? 0) - 1)).toMatch(/^90,/);
    expect(lines[(user?.line ?? 0) - 1]?.slice((user?.column ?? 0) - 1)).toMatch(/^workr\]/);
    expect(user?.hint).toBe('known services: worker, web, db-a, db-b');
  });

  test('are printed one a line as file:line:column, key, message, and the hint under it', () => {
    expect(words(spoil(['hosts: [one, two]\nservices', 'hosts: [one, two]\nservises']))).toBe(
      'site.yaml:4:1  servises  unknown key "servises": did you mean "services"?\n' +
        '    known keys here: site, timezone, hosts, services, jobs, counts, databases, stores, procedures, limits, drill, restore-to',
    );
  });

  test('a wrong entry does not hide what else is wrong, nor make its name unknown', () => {
    const problems = problemsOf(
      spoil(['systemd: web.service', 'systemd: 5'], ['directory: /backup', 'directory: /srv']),
    );
    expect(problems.map(({ key }) => key)).toEqual(['services.web.systemd', 'stores.vault.directory']);
  });

  test('a missing key points at the map where it belongs', () => {
    const [problem] = problemsOf(spoil(['    up-by: "08:30"\n', '']));
    expect(problem?.line).toBe(SMALL_SITE.split('\n').indexOf('  nightly:') + 1);
  });
});

describe('a secret that was written into the file', () => {
  test.each([
    ['as text', 'uri: "mongodb://u:hunter2@two"'],
    ['as a file', 'uri: { file: "mongodb://u:hunter2@two" }'],
    ['as a variable', 'uri: { env: "mongodb://u:hunter2@two" }'],
    ['as a list', 'uri: ["hunter2"]'],
  ])('%s is not repeated in the message', (_, uri) => {
    const text = words(spoil(['uri: { env: DB_URI }', uri]));
    expect(text).not.toBe('');
    expect(text).not.toContain('hunter2');
  });
});

describe('YAML that a site file does not use', () => {
  test('anchors, aliases and merge keys are refused by name', () => {
    const text = spoil(
      ['services:', 'x-base: &base { host: one }\nservices:'],
      ['web: { host: one,', 'web: { <<: *base,'],
      ['keeper: two', 'keeper: *base'],
    );
    const messages = problemsOf(text).map(({ message }) => message);
    expect(messages).toEqual([
      'anchors (&base) are not used in a site file',
      'merge keys are not used in a site file',
      'aliases (*base) are not used in a site file',
    ]);
  });

  test('aliases that would grow without end cost nothing', () => {
    const bomb = [
      'a: &a0 [x]',
      ...Array.from({ length: 40 }, (_, i) => `b${i}: &a${i + 1} [*a${i}, *a${i}]`),
    ];
    const startedAt = Date.now();
    expect(problemsOf(bomb.join('\n')).length).toBeGreaterThan(80);
    expect(Date.now() - startedAt).toBeLessThan(5000);
  });

  test.each([
    ['several documents', `${SMALL_SITE}---\nsite: other\n`, /expected one document, not several/],
    ['a %YAML directive', `%YAML 1.1\n---\n${SMALL_SITE}`, /YAML 1\.2/],
    ['a tag', spoil(['site: small', 'site: !name small']), /tag/i],
    ['an unclosed list', spoil(['hosts: [one, two]\ns', 'hosts: [one, two\ns']), /./],
    ['a tab for indentation', spoil(['  web:', '\tweb:']), /tab/i],
  ])('%s', (_, text, message) => {
    expect(words(text)).toMatch(message);
  });

  test('a syntax error has its place', () => {
    const [problem] = problemsOf(spoil(['stop: [web]', 'stop: [web']));
    expect(problem?.line).toBeGreaterThan(SMALL_SITE.split('\n').indexOf('      - stop: [web]'));
  });

  test('keys that JavaScript knows are only names', () => {
    expect(words(spoil(['jobs:', '__proto__: { a: 1 }\nconstructor: 2\njobs:']))).toMatch(
      /unknown key "__proto__"[^]*unknown key "constructor"/,
    );
  });
});

describe('a file that is no site file', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'coldbackup-config-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function load(content: string | Uint8Array): Promise<readonly Problem[]> {
    const file = path.join(folder, 'site.yaml');
    await writeFile(file, content);
    const error: unknown = await loadSite(file).catch((reason: unknown) => reason);
    if (!(error instanceof SiteFileError)) throw new Error('the file was taken');
    return error.problems;
  }

  test.each([
    ['empty', ''],
    ['only a comment', '# nothing\n'],
    ['only a document mark', '---\n'],
  ])('%s: the file is empty', async (_, content) => {
    const [problem, ...others] = await load(content);
    expect(problem?.message).toMatch(/the file is empty/);
    expect(others).toEqual([]);
  });

  test('10 MB of rubbish is refused by its size, at once', async () => {
    const startedAt = Date.now();
    expect((await load(Buffer.alloc(10_000_000, '[{:&*'))).map(({ message }) => message)).toEqual([
      'the file is larger than 1 MiB: expected a site file',
    ]);
    expect(Date.now() - startedAt).toBeLessThan(2000);
  });

  test.each([
    ['brackets', '['],
    ['maps in maps', '{a: '],
    ['list items', '- a\n'],
    ['quotes', '"'],
    ['anchors', '&a '],
    ['words', 'lorem ipsum '],
    ['dashes', '- - - '],
    ['colons', 'a:\n'],
  ])('almost 1 MiB of %s ends with a problem', (_, rubbish) => {
    expect(problemsOf(rubbish.repeat(Math.floor(1_000_000 / rubbish.length))).length).toBeGreaterThan(0);
  });

  test('thousands of keys that nobody knows are counted, not listed', () => {
    const text = Array.from({ length: 5000 }, (_, index) => `key-${index}: 1`).join('\n');
    const problems = problemsOf(text);
    expect(problems).toHaveLength(201);
    expect(problems.at(-1)?.message).toMatch(/^and \d+ more problems from here on$/);
  });

  test('a procedure whose run would write too many events is refused, and told to be divided', () => {
    const names = Array.from({ length: 900 }, (_, index) => `s${index}`);
    const services = names.map((name) => `  ${name}: { host: one, systemd: ${name}.service }`).join('\n');
    const text = `site: long\ntimezone: UTC\nhosts: [one]\nservices:\n${services}\nprocedures:\n  p:\n    up-by: "08:00"\n    steps:\n      - stop: [${names.join(', ')}]\n`;
    expect(problemsOf(text)).toMatchObject([
      { key: 'procedures.p.steps', message: expect.stringMatching(/about 10836 events/) as unknown },
    ]);
  });

  test('where data is copied on its host, that each step is closed before the archives counts too', () => {
    const names = Array.from({ length: 700 }, (_, index) => `s${index}`);
    const services = names.map((name) => `  ${name}: { host: one, systemd: ${name}.service }`).join('\n');
    const steps = names.map((name) => `      - stop: [${name}]`).join('\n');
    const text = (copyBy: string) =>
      `site: long\ntimezone: UTC\nhosts: [one]\nservices:\n${services}\ndatabases:\n  tree: { used-by: [], files: { host: one, roots: [/srv/tree]${copyBy} } }\n` +
      `stores:\n  vault: { directory: /backup, shared: false, keeper: one }\nprocedures:\n  p:\n    up-by: "08:00"\n    steps:\n${steps}\n      - backup: { databases: [tree], method: cold, to: [vault] }\n`;
    expect(problemsOf(text(''))).toEqual([]);
    expect(problemsOf(text(', copy-by: auto'))).toMatchObject([
      { key: 'procedures.p.steps', message: expect.stringMatching(/about 12660 events/) as unknown },
    ]);
  });

  test('binary data and invalid UTF-8 are refused with their place', async () => {
    const [binary] = await load(Buffer.from([0x73, 0x69, 0x0a, 0x00, 0x01]));
    expect(binary).toMatchObject({ line: 2, column: 1, message: 'expected text in UTF-8, not binary data' });
    const [latin] = await load(Buffer.from('site: caf\xe9\n', 'latin1'));
    expect(latin).toMatchObject({ line: 1, column: 10, message: 'expected text in UTF-8, not binary data' });
  });

  test.each([
    ['a word', 'hello'],
    ['a list', '- site'],
    ['a number', '42'],
  ])('%s: expected a map', async (_, content) => {
    expect((await load(content)).map(({ message }) => message)).toEqual([
      expect.stringMatching(/^expected a map with the keys site, timezone, hosts/),
    ]);
  });

  test('a file that is not there is the error of the system', async () => {
    await expect(loadSite(path.join(folder, 'no.yaml'))).rejects.toThrow(/ENOENT/);
  });
});

function drillOf(keys: string): [string, string][] {
  return [['stores:', `drill: { mongod: [/usr/bin/mongod], ${keys} }\nstores:`]];
}
