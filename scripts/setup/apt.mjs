import { existsSync, writeFileSync } from 'node:fs';
import { onPath } from '../components.mjs';
import { result, run, SetupError } from './run.mjs';

const bullseyeSource = '/etc/apt/sources.list.d/coldbackup-bullseye.list';
const bullseyePin = '/etc/apt/preferences.d/coldbackup-bullseye';
const foreignArchitecture = 'arm64';

let queue = Promise.resolve();
let listsAreFresh = false;

/**
 * Installs Debian packages ('zstd', 'libc6:arm64') that are missing. With `bullseye`, also from Debian 11, which
 * nothing else is taken from. Two components never run apt at once.
 */
export function installPackages(packages, { bullseye = false } = {}) {
  const done = queue.then(() => install(packages, bullseye));
  queue = done.catch(() => undefined);
  return done;
}

async function install(packages, bullseye) {
  const missing = await missingOf(packages);
  if (missing.length === 0) return;
  refuseWithoutApt(missing, bullseye);
  const foreign = missing.some((name) => name.endsWith(`:${foreignArchitecture}`));
  if (foreign) await addForeignArchitecture();
  if (bullseye) await addBullseye(missing);
  const command = aptGet('install', '--yes', '--no-install-recommends', '--no-remove', ...missing);
  const hint = 'look at what apt says above; once these packages are installed by hand, run set-up again';
  if (!listsAreFresh) {
    if ((await result(command, noQuestions)).code === 0) return;
    await update();
  }
  await run(command, { ...noQuestions, hint });
}

async function missingOf(packages) {
  if (!onPath('dpkg-query')) return packages;
  const query = [
    'dpkg-query',
    '--show',
    '--showformat',
    '${db:Status-Abbrev} ${binary:Package}\n',
    ...packages,
  ];
  const { stdout } = await result(query);
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.startsWith('ii'))
      .map((line) => line.slice(line.lastIndexOf(' ') + 1)),
  );
  const native = (await result(['dpkg', '--print-architecture'])).stdout.trim();
  return packages.filter((name) => !installed.has(name) && !installed.has(`${name}:${native}`));
}

function refuseWithoutApt(missing, bullseye) {
  const isRoot = process.getuid?.() === 0;
  if (onPath('apt-get') && isRoot) return;
  const foreign = missing.some((name) => name.endsWith(`:${foreignArchitecture}`));
  const steps = [
    ...(foreign ? [`dpkg --add-architecture ${foreignArchitecture}`] : []),
    ...(bullseye
      ? ['(libssl1.1 is in Debian 11: add "bullseye main" as a source of apt, with priority 100)']
      : []),
    'apt-get update',
    `apt-get install --no-install-recommends ${missing.join(' ')}`,
  ];
  throw new SetupError(
    [
      isRoot ? 'there is no apt-get here' : 'Debian packages are missing, and only root can install them',
      'what to do: as root,',
      ...steps.map((step) => `  ${step}`),
    ].join('\n'),
  );
}

async function addForeignArchitecture() {
  const known = (await run(['dpkg', '--print-foreign-architectures'])).split('\n');
  if (known.includes(foreignArchitecture)) return;
  await run(['dpkg', '--add-architecture', foreignArchitecture]);
  await update();
}

/** Debian 11 from wherever this machine has Debian from, at a priority at which nothing is upgraded from there. */
async function addBullseye(packages) {
  if (existsSync(bullseyeSource) || (await canInstall(packages))) return;
  let archive = await debianArchive();
  if (!archive) {
    await update();
    archive = await debianArchive();
  }
  if (!archive)
    throw new SetupError(
      `no source of apt on this machine is Debian's.\nwhat to do: install by hand ${packages.join(', ')}`,
    );
  writeFileSync(bullseyePin, 'Package: *\nPin: release n=bullseye\nPin-Priority: 100\n');
  writeFileSync(bullseyeSource, `deb ${archive} bullseye main\n`);
  await update();
}

async function canInstall(packages) {
  return (await result(aptGet('install', '--simulate', '--no-install-recommends', ...packages))).code === 0;
}

async function debianArchive() {
  const format = '$(SITE)|$(CODENAME)|$(COMPONENT)';
  const targets = await run([
    'apt-get',
    'indextargets',
    '--format',
    format,
    'Created-By: Packages',
    'Label: Debian',
  ]);
  const main = targets
    .split('\n')
    .map((line) => line.split('|'))
    .find(([, codename, component]) => codename && !codename.includes('-') && component === 'main');
  return main?.[0];
}

/** A source that does not answer is no reason to stop: what counts is whether the packages can be installed. */
async function update() {
  const { code } = await result(aptGet('update'), noQuestions);
  listsAreFresh = code === 0;
}

const noQuestions = { env: { DEBIAN_FRONTEND: 'noninteractive' } };

function aptGet(...args) {
  return ['apt-get', '--quiet', '-o', 'DPkg::Lock::Timeout=300', ...args];
}
