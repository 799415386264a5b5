import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { controlQueue } from '../workflows/messages.ts';
import { UnreachableError } from './errors.ts';

export interface ConnectOptions {
  /** `host:port`; absent: TEMPORAL_ADDRESS, temporal.toml, or localhost:7233. */
  readonly address?: string;
  /** Absent: TEMPORAL_NAMESPACE, temporal.toml, or `default`. */
  readonly namespace?: string;
}

/** What every call of the client needs. */
export interface Link {
  readonly client: Client;
  readonly address: string;
}

const connectWithinMs = 5_000;

/** A call that takes longer is answered by nobody. */
export const answerWithinMs = 10_000;

/** @throws UnreachableError */
export async function openLink({ address, namespace }: ConnectOptions): Promise<Link> {
  const config = loadClientConnectConfig();
  const options = { ...config.connectionOptions, ...(address !== undefined && { address }) };
  const place = options.address ?? 'localhost:7233';
  try {
    const connection = await Connection.connect({ ...options, connectTimeout: connectWithinMs });
    return {
      client: new Client({ connection, namespace: namespace ?? config.namespace ?? 'default' }),
      address: place,
    };
  } catch (error) {
    throw new UnreachableError(
      `Temporal at ${place} does not answer (${reasonOf(error)}). Is it running? Another address: --address or TEMPORAL_ADDRESS`,
      { cause: error },
    );
  }
}

/** Runs a few calls that must be answered soon; what nobody answers is an UnreachableError. */
export async function soon<T>({ client, address }: Link, work: () => Promise<T>): Promise<T> {
  try {
    return await client.connection.withDeadline(Date.now() + answerWithinMs, work);
  } catch (error) {
    const why = noAnswer(error, address);
    throw why === null ? error : new UnreachableError(why, { cause: error });
  }
}

/** Why a call was not answered; null: it was, and the error means something else. */
export function noAnswer(error: unknown, address: string): string | null {
  const code = grpcCode(error);
  if (code === undefined) return null;
  if (code === UNAVAILABLE) return `Temporal at ${address} does not answer (${reasonOf(error)})`;
  // A deadline of ours may come back as either of the first two.
  if (code === CANCELLED || code === DEADLINE_EXCEEDED || code === FAILED_PRECONDITION)
    return `control does not answer (queue ${controlQueue} on ${address}): is "coldbackup control" running?`;
  return null;
}

/** A run or a question without control would wait, and begin at some later time. */
export async function assertServed(link: Link): Promise<void> {
  const { client, address } = link;
  const { pollers } = await soon(link, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: controlQueue },
    }),
  );
  if (pollers.length === 0)
    throw new UnreachableError(
      `nobody serves queue ${controlQueue} on ${address}, so nothing was started. Start control: coldbackup control SITES`,
    );
}

export function grpcCode(error: unknown): number | undefined {
  if (isGrpcServiceError(error)) return error.code;
  return error instanceof Error && error.cause !== undefined ? grpcCode(error.cause) : undefined;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isGrpcServiceError(error) ? error.details : error.message;
}

/** google.rpc.Code */
const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
export const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;
const UNAVAILABLE = 14;
