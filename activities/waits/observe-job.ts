import { z } from 'zod';
import type { Instant } from '../../model/plan.ts';
import type { Job } from '../../model/site.ts';
import { connectManager, exitStatusOf, instantOf } from '../services/systemctl.ts';
import type { ManagerOptions, Properties } from '../services/systemctl.ts';
import { runCommand } from '../system/command.ts';

/** The last or current run of a job. */
export interface JobObservation {
  readonly began: Instant | null;
  /** null: it runs, or never did. */
  readonly ended: Instant | null;
  /** Of a run that has ended. */
  readonly ok: boolean | null;
  /** For people: `failed (result exit-code, exit status 3)`. */
  readonly detail: string;
}

export interface ObserveOptions extends ManagerOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Thrown when the source of a job or count does not answer in the form that it should. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

const questionTimeoutMs = 30_000;

/** Reads the state of a job on this host. Throws {@link SourceError} or CommandError. */
export async function observeJob(
  job: Pick<Job, 'source'>,
  options: ObserveOptions = {},
): Promise<JobObservation> {
  const { source } = job;
  switch (source.kind) {
    case 'systemd':
      return observeUnit(source, options);
    case 'command':
      return observeCommand(source.status, options);
  }
}

const unitProperties = [
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'ExecMainCode',
  'ExecMainStatus',
  'ExecMainExitTimestamp',
  'InactiveExitTimestamp',
  'InactiveEnterTimestamp',
];

async function observeUnit(
  { unit, manager }: Extract<Job['source'], { kind: 'systemd' }>,
  options: ObserveOptions,
): Promise<JobObservation> {
  const [properties = {}] = await connectManager(manager, options).show(
    [unit],
    unitProperties,
    options.signal,
  );
  if (properties['LoadState'] !== 'loaded') {
    throw new SourceError(`The unit ${unit} is ${properties['LoadState'] ?? 'unknown'} on this host.`);
  }
  const runs = isRunning(properties);
  return {
    began: instantOf(properties, 'InactiveExitTimestamp') ?? instantOf(properties, 'ExecMainStartTimestamp'),
    ended: runs ? null : endOf(properties),
    ok: runs || endOf(properties) === null ? null : properties['Result'] === 'success',
    detail: detailOf(properties),
  };
}

/** A oneshot unit runs while it is activating; one with RemainAfterExit has ended although it is active. */
function isRunning({ ActiveState, SubState }: Properties): boolean {
  if (ActiveState === 'active') return SubState !== 'exited';
  return ['activating', 'deactivating', 'reloading'].includes(ActiveState ?? '');
}

function endOf(properties: Properties): Instant | null {
  const left = properties['ActiveState'] === 'active' ? 'ExecMainExitTimestamp' : 'InactiveEnterTimestamp';
  return instantOf(properties, left);
}

function detailOf(properties: Properties): string {
  const { ActiveState, SubState, Result } = properties;
  const exit = exitStatusOf(properties);
  const result =
    Result === 'success'
      ? ''
      : `, result ${Result ?? 'unknown'}${exit === null ? '' : `, exit status ${exit}`}`;
  return `${ActiveState ?? 'unknown'} (${SubState ?? 'unknown'}${result})`;
}

const instantSchema = z.iso.datetime({ offset: true }).transform((text) => new Date(text).toISOString());
const answerSchema = z
  .object({
    began: instantSchema.nullable(),
    ended: instantSchema.nullable(),
    ok: z.boolean().nullable(),
  })
  .refine(({ ended, ok }) => ended === null || ok !== null, 'ok must be true or false once ended is set');

async function observeCommand(argv: readonly string[], options: ObserveOptions): Promise<JobObservation> {
  const { stdout } = await runCommand(argv, { signal: options.signal, timeoutMs: questionTimeoutMs });
  const answer = answerSchema.safeParse(parseJson(stdout));
  if (!answer.success) {
    throw new SourceError(
      `${JSON.stringify(argv)} must print one JSON object {"began","ended","ok"}, and printed ${JSON.stringify(
        stdout.slice(0, 200),
      )}: ${answer.error.issues.map(({ path, message }) => [...path, message].join(' ')).join('; ')}`,
    );
  }
  const { began, ended, ok } = answer.data;
  const detail =
    ended !== null ? (ok === true ? 'ended well' : 'ended badly') : began !== null ? 'running' : 'never ran';
  return { began, ended, ok: ended === null ? null : ok, detail };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
