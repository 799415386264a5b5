#!/usr/bin/env node
// Installs what is missing of the programs that the demo and the tests run. Node built-ins only.
import { parseArgs } from 'node:util';
import { locate, onPath, UnusableProgram } from './components.mjs';
import { installPackages } from './setup/apt.mjs';
import { removeUnfinished } from './setup/cache.mjs';
import { whileLocked } from './setup/lock.mjs';
import { installMinio } from './setup/minio.mjs';
import { installMongodb, installNativeMongodb } from './setup/mongodb.mjs';
import { hasNodeModules, installNodeModules } from './setup/node-modules.mjs';
import { endRunning, SetupError } from './setup/run.mjs';
import { installSshd } from './setup/sshd.mjs';
import { installTemporal } from './setup/temporal.mjs';
import { installTestServer } from './setup/test-server.mjs';

const components = {
  'node-modules': {
    what: 'the npm packages of the project',
    takes: '20 s',
    isThere: hasNodeModules,
    install: installNodeModules,
  },
  tools: {
    what: 'zstd, GNU tar, flock, attr and acl',
    takes: '10 s',
    isThere: () => located('zstd', 'tar', 'flock') && ['setfattr', 'setfacl'].every(onPath),
    install: () => installPackages(['zstd', 'tar', 'util-linux', 'attr', 'acl']),
  },
  temporal: {
    what: 'the Temporal server and its UI, built from source',
    takes: '5 min',
    isThere: () => located('temporal'),
    install: installTemporal,
  },
  'test-server': {
    what: "Temporal's time-skipping test server",
    takes: '15 s',
    isThere: () => located('test-server'),
    install: installTestServer,
  },
  mongodb: {
    what: 'MongoDB 7 with mongos',
    takes: '1 min',
    isThere: () => located('mongod', 'mongos'),
    install: installMongodb,
  },
  'mongodb-native': {
    what: 'a mongod for quick tests',
    takes: '20 s',
    isThere: () => located('mongod-native'),
    install: installNativeMongodb,
  },
  minio: {
    what: 'MinIO, for stores on S3, built from source',
    takes: '4 min',
    isThere: () => located('minio'),
    install: installMinio,
  },
  sshd: {
    what: "OpenSSH's server, for stores on SFTP",
    takes: '10 s',
    isThere: () => located('sshd'),
    install: installSshd,
  },
  age: {
    what: 'age, for stores that are encrypted',
    takes: '10 s',
    isThere: () => located('age'),
    install: () => installPackages(['age']),
  },
  restic: {
    what: 'restic, for stores that are its repositories',
    takes: '10 s',
    isThere: () => located('restic'),
    install: () => installPackages(['restic']),
  },
  filesystems: {
    what: 'xfs and btrfs, for copies on a host',
    takes: '10 s',
    isThere: () => ['mkfs.xfs', 'mkfs.btrfs', 'btrfs', 'losetup', 'mount'].every(onPath),
    install: () => installPackages(['xfsprogs', 'btrfs-progs', 'mount']),
  },
  systemd: {
    what: 'systemd',
    takes: '10 s',
    isThere: () => ['systemctl', 'systemd-run', 'unshare'].every(onPath),
    install: () => installPackages(['systemd', 'util-linux']),
  },
  mariadb: {
    what: 'MariaDB, to measure with',
    takes: '20 s',
    measuresOnly: true,
    isThere: () => ['mariadbd', 'mariadb', 'mariadb-install-db'].every(onPath),
    // Programs alone: no service, no account, nothing that starts.
    install: () => installPackages(['mariadb-server-core', 'mariadb-client-core']),
  },
  borg: {
    what: 'BorgBackup, to measure against',
    takes: '20 s',
    measuresOnly: true,
    isThere: () => onPath('borg'),
    install: () => installPackages(['borgbackup']),
  },
};

const demo = ['node-modules', 'tools', 'temporal', 'mongodb', 'mongodb-native'];
const presets = {
  demo,
  test: Object.keys(components).filter((name) => !components[name].measuresOnly),
  bench: [...demo, 'minio', 'sshd', 'restic', 'filesystems', 'mariadb', 'borg'],
};

const usage = `Usage: node scripts/setup.mjs [NAME...] [--for demo|test|bench]

Installs what is missing of the named components, of those that the demo, the tests or the benches need.

${Object.entries(components)
  .map(([name, { what, takes }]) => `  ${name.padEnd(16)}${what} (about ${takes})`)
  .join('\n')}
`;

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
])
  process.on(signal, () => {
    endRunning();
    process.exit(code);
  });

process.exitCode = await main();

async function main() {
  const names = wantedNames();
  if (!names) return 2;
  try {
    // Looked up again once locked: the set-up that held the lock before may have installed them.
    const isWell = missingOf(names).length === 0 || (await whileLocked(() => installMissing(names)));
    if (isWell) console.log('set-up: everything is there');
    return isWell ? 0 : 1;
  } catch (error) {
    console.error(`set-up: ${textOf(error)}`);
    return 1;
  }
}

function wantedNames() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: { for: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    return refuse(error.message);
  }
  const { positionals, values } = parsed;
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  if (values.for && !presets[values.for])
    return refuse(`--for ${values.for}: there are ${Object.keys(presets).join(', ')}`);
  const unknown = positionals.filter((name) => !components[name]);
  if (unknown.length > 0) return refuse(`no such component: ${unknown.join(', ')}`);
  if (positionals.length === 0) return presets[values.for ?? 'test'];
  return [...new Set([...positionals, ...(values.for ? presets[values.for] : [])])];
}

function refuse(message) {
  console.error(`set-up: ${message}\n\n${usage}`);
  return undefined;
}

/** At the same time: one of them compiles, the others mostly wait for the network. */
async function installMissing(names) {
  removeUnfinished();
  const outcomes = await Promise.all(missingOf(names).map(installOne));
  return outcomes.every(Boolean);
}

async function installOne(name) {
  const { what, takes, install, isThere } = components[name];
  const began = Date.now();
  console.log(`set-up: ${name}: installing ${what} (about ${takes})`);
  try {
    await install();
    if (!isThere()) throw new SetupError('it was installed, and is still not found');
    console.log(`set-up: ${name}: done in ${Math.round((Date.now() - began) / 1000)} s`);
    return true;
  } catch (error) {
    console.error(`set-up: ${name}: failed\n${textOf(error)}`);
    return false;
  }
}

/** What a person must do is in the message; where in the code it happened matters only for a fault of set-up's own. */
function textOf(error) {
  return error instanceof SetupError || error instanceof UnusableProgram ? error.message : error.stack;
}

function missingOf(names) {
  return names.filter((name) => !components[name].isThere());
}

function located(...names) {
  return names.every((name) => locate(name));
}
