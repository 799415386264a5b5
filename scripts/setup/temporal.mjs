import { folders, onPath, versions } from '../components.mjs';
import { fillFolder } from './cache.mjs';
import { run, SetupError } from './run.mjs';

const byHand =
  'or install the Temporal CLI (server 1.29 or later) by hand, on PATH or named by COLDBACKUP_TEMPORAL';

/** Builds the newest version of the CLI that can be built this way: later ones have a replace directive. */
export async function installTemporal() {
  if (!onPath('go')) throw new SetupError(`go is missing.\nwhat to do: install Go 1.24 or later, ${byHand}`);
  await fillFolder(folders.temporal, async (folder) => {
    await run(
      ['go', 'install', '-ldflags', '-s -w', `github.com/temporalio/cli/cmd/temporal@v${versions.temporal}`],
      {
        cwd: folder,
        env: { GOBIN: folder },
        hint: `it needs Go 1.24 or later and the Go module proxy; ${byHand}`,
      },
    );
  });
}
