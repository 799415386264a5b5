import type { Command } from 'commander';
import { LockedError } from '../../activities/system/lock.ts';
import { keepYoungSpaceSmall } from '../../activities/system/young-space.ts';
import { loadForHost } from '../site-file.ts';
import type { ServerOptions } from '../with-client.ts';
import { asWorker } from '../worker.ts';

interface AgentOptions extends ServerOptions {
  readonly host: string;
  readonly state: string;
}

export function addAgent(program: Command): void {
  program
    .command('agent')
    .summary('the worker of a host')
    .description(
      'Runs the agent of a host, until SIGTERM: it keeps the journal, and does on this host what its own copy of the site file ' +
        'names. It refuses a site file that others may write.',
    )
    .argument('<site-file>')
    .requiredOption('--host <name>', 'as the site file calls this host')
    .option('--state <folder>', 'where the journal is kept', '/var/lib/coldbackup')
    .addHelpText('after', '\nExample:\n  coldbackup agent /etc/coldbackup/vitam.yaml --host app-1')
    .action(async (file: string, _, command: Command) => {
      keepYoungSpaceSmall();
      const { host, state, ...server } = command.optsWithGlobals<AgentOptions>();
      const loaded = await loadForHost(file, host);
      const { runAgent } = await import('../../workers/agent.ts');
      await asWorker(`agent ${host}`, async ({ logger, signal }) => {
        await runAgent({ ...server, loaded, host, stateFolder: state, logger, signal }).catch(
          (error: unknown) => {
            throw error instanceof LockedError ? anotherAgent(host, error) : error;
          },
        );
      });
    });
}

/** Two agents of one host would both think that the journal is theirs. */
function anotherAgent(host: string, error: LockedError): LockedError {
  const who =
    error.holder === null ? 'another process' : `process ${error.holder.pid} (${error.holder.what})`;
  error.message = `another agent of host ${host} is running: ${who}. End it first, or leave this to it`;
  return error;
}
