import { folders, onPath, versions } from '../components.mjs';
import { fillFolder } from './cache.mjs';
import { run, SetupError } from './run.mjs';

const byHand = 'or install MinIO by hand, on PATH or named by COLDBACKUP_MINIO';

/** An S3 server. The module proxy and its checksum database say that this is the version that everybody has. */
export async function installMinio() {
  if (!onPath('go')) throw new SetupError(`go is missing.\nwhat to do: install Go 1.24 or later, ${byHand}`);
  await fillFolder(folders.minio, async (folder) => {
    await run(['go', 'install', '-ldflags', '-s -w', `github.com/minio/minio@${versions.minio}`], {
      cwd: folder,
      env: { GOBIN: folder },
      hint: `it needs Go 1.24 or later and the Go module proxy; ${byHand}`,
    });
  });
}
