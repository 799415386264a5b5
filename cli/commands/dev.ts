import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { LoadedSites } from '../../config/sites.ts';
import { formatProblems } from '../../config/problem.ts';
import { UsageError } from '../errors.ts';
import { print } from '../terminal.ts';
import { asWorker } from '../worker.ts';

interface DevOptions {
  readonly port: string;
  readonly uiPort: string;
  readonly state: string;
}

export function addDev(program: Command): void {
  program
    .command('dev')
    .summary('all on this machine, for trying out')
    .description(
      "Starts Temporal's development server with its UI, control, and an agent for every host of the sites, all on this " +
        'machine, for trying out. Ctrl-C ends all; a run that was under way goes on at the next start.',
    )
    .argument('[sites...]', 'site files or folders (default: this folder)')
    .option('--port <port>', 'of the server', '7233')
    .option('--ui-port <port>', 'of its UI', '8233')
    .option('--state <folder>', 'where journals and the server’s database are kept', defaultState())
    .addHelpText('after', '\nExample:\n  coldbackup dev my-site.yaml')
    .action(async (sites: readonly string[], options: DevOptions) => {
      const state = resolve(options.state);
      const served = gather(sites.length === 0 ? ['.'] : sites, join(state, 'sites'));
      const { loadSites } = await import('../../config/sites.ts');
      const known = await loadSites(served);
      if (known.problems.length > 0) throw new UsageError(formatProblems(known.problems));
      if (known.sites.size === 0) throw new UsageError(`there is no site file (*.yaml) in ${served}`);
      await asWorker('dev', (worker) => dev(known, { ...worker, served, state, options }));
    });
}

interface Dev {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly served: string;
  readonly state: string;
  readonly options: DevOptions;
}

async function dev({ sites }: LoadedSites, { logger, signal, served, state, options }: Dev): Promise<void> {
  // People look at this terminal; the workers' own news is for `agent` and `control`.
  if (process.env['COLDBACKUP_LOG'] === undefined) logger.level = 'error';
  const [{ runAgent }, { runControl }, { startDevServer }] = await Promise.all([
    import('../../workers/agent.ts'),
    import('../../workers/control.ts'),
    import('../dev-server.ts'),
  ]);
  const server = await startDevServer({ ...options, state, signal });
  const { address } = server;
  const all = new AbortController();
  const end = (): void => all.abort();
  signal.addEventListener('abort', end, { once: true });
  const ready: Promise<void>[] = [];
  const worker = (run: (onReady: () => void) => Promise<void>): Promise<void> => {
    let ended = Promise.resolve();
    ready.push(
      new Promise<void>((onReady) => {
        ended = run(onReady);
      }),
    );
    return ended;
  };
  const common = { address, logger, signal: all.signal };
  const workers = [
    worker((onReady) => runControl({ ...common, sites: served, reports: join(state, 'reports'), onReady })),
    ...[...sites.values()].flatMap((loaded) =>
      loaded.site.hosts.map((host) =>
        worker((onReady) => runAgent({ ...common, loaded, host, stateFolder: state, onReady })),
      ),
    ),
    server.ended(all.signal),
  ];
  try {
    await Promise.race([...workers, Promise.all(ready)]);
    if (signal.aborted) return;
    const described = [...sites.values()].map(({ site }) => site);
    print(welcome(described, server.uiUrl, address));
    await Promise.race(workers);
  } finally {
    end();
    await Promise.allSettled(workers);
    await server.stop();
  }
}

function welcome(
  sites: readonly { readonly site: string; readonly procedures: object }[],
  uiUrl: string,
  address: string,
): string {
  const [first] = sites;
  const procedure = first === undefined ? undefined : Object.keys(first.procedures)[0];
  const server = address === '127.0.0.1:7233' ? '' : ` --address ${address}`;
  return [
    `sites      ${sites.map(({ site }) => site).join(', ')}`,
    `Temporal   ${address}, UI ${uiUrl}`,
    ...(first && procedure ? [`try        coldbackup${server} run ${first.site} ${procedure} --wait`] : []),
    'Ctrl-C ends all',
  ].join('\n');
}

/** Control serves one folder: several files become one of links. */
function gather(sites: readonly string[], folder: string): string {
  const [only, ...others] = sites;
  if (only !== undefined && others.length === 0) return only;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  sites.forEach((file, index) => symlinkSync(resolve(file), join(folder, `${index}-${basename(file)}`)));
  return folder;
}

function defaultState(): string {
  const { XDG_STATE_HOME } = process.env;
  return join(XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'coldbackup', 'dev');
}
