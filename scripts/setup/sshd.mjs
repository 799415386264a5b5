import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { folders } from '../components.mjs';
import { installPackages } from './apt.mjs';
import { fillFolder } from './cache.mjs';
import { run, SetupError } from './run.mjs';

const byHand = "install OpenSSH's server by hand, on PATH or named by COLDBACKUP_SSHD";

/**
 * The program alone: Debian's package would start a server on this machine, and at every boot. Its libraries are those
 * of the client and of tcp wrappers; apt checks the digest of what it downloads.
 */
export async function installSshd() {
  await installPackages(['openssh-client', 'libwrap0', 'libpam0g', 'util-linux']);
  await fillFolder(folders.sshd, async (folder) => {
    // apt's own user must be able to write there.
    chmodSync(folder, 0o777);
    await run(['apt-get', '--quiet', 'download', 'openssh-server'], { cwd: folder, hint: byHand });
    const [archive] = readdirSync(folder).filter((name) => name.endsWith('.deb'));
    if (!archive) throw new SetupError(`apt-get downloaded no openssh-server.\nwhat to do: ${byHand}`);
    await run(['dpkg-deb', '--extract', join(folder, archive), folder], { hint: byHand });
  });
}
