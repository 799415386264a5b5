import { closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { appendDurably, moveDurably, replaceDurably, syncFolder } from '../system/durable.ts';
import {
  apply,
  emptyState,
  openEntries,
  type EntryState,
  type JournalRecord,
  type JournalState,
} from './records.ts';

/**
 * An agent's record on disk: the truth, and the lock. Every write is synchronous and on the disk when it returns, so
 * that "check, then record" is one indivisible step for all that runs in the agent.
 */
export interface Journal {
  readonly folder: string;
  state(): JournalState;
  /** Throws when the disk refuses it: then nothing may be done. */
  record(record: JournalRecord): void;
  /** Counts even when the disk refuses it (then gives the error): bringing back never waits for the journal. */
  recordIfPossible(record: JournalRecord): unknown;
  /** Moves the journal to `closed/`, and remembers its epoch and night. */
  close(): void;
  /** The last night for which this procedure made changes here. */
  lastNight(procedure: string): string | null;
  /** Of each service that was started again here: the longest of its last nights. */
  broughtBackMs(): Readonly<Record<string, number>>;
  /** Of each service that was stopped here: the longest of its last nights. */
  stoppedMs(): Readonly<Record<string, number>>;
  release(): void;
}

/** What a journal says now, without its lock: nothing is opened for writing, nothing is repaired. */
export function readJournalState(folder: string): JournalState {
  const { epoch } = readHostFile(join(folder, 'host.json'));
  return readLines(join(folder, 'journal.jsonl'), epoch).state;
}

/** Survives the journals: epochs only ever rise. */
interface HostFile {
  readonly epoch: number;
  readonly nights: Readonly<Record<string, string>>;
  /** Of each service, how long it took to be up again: the last nights, the newest last. */
  readonly broughtBackMs?: Measured;
  /** Likewise, how long its stop took; absent: of an older agent. */
  readonly stoppedMs?: Measured;
}

type Measured = Readonly<Record<string, readonly number[]>>;

const nightsMeasured = 5;

/** Thrown when a journal cannot be read, or not be written: the host is not safe to touch before a person has looked. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
}

/** No descriptor: another file may get the number of a closed one. */
const released = -1;

/** @param folder of this site and host; the caller holds its lock. */
export function openJournal(folder: string): Journal {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'journal.jsonl');
  const hostFile = join(folder, 'host.json');
  let host = readHostFile(hostFile);
  let state = readJournal(file, host.epoch);
  let fd = openForAppend(file);

  return {
    folder,
    state: () => state,
    record(record) {
      try {
        appendWhole(fd, `${JSON.stringify(record)}\n`);
      } catch (error) {
        throw new JournalError(
          `the journal ${file} could not be written, so nothing more is done: ${String(error)}; is its disk full?`,
          { cause: error },
        );
      }
      state = apply(state, record);
    },
    recordIfPossible(record) {
      try {
        appendWhole(fd, `${JSON.stringify(record)}\n`);
        return null;
      } catch (error) {
        return error;
      } finally {
        state = apply(state, record);
      }
    },
    close() {
      const { claim, epoch, entries } = state;
      if (claim === null || fd === released) return;
      if (openEntries(state).length > 0) throw new JournalError(`the journal ${file} is not empty`);
      const nights = entries.size > 0 ? { ...host.nights, [claim.procedure]: claim.night } : host.nights;
      host = {
        epoch,
        nights,
        broughtBackMs: withNight(host.broughtBackMs, state, ({ undoMs }) => undoMs),
        stoppedMs: withNight(host.stoppedMs, state, ({ result }) => result?.stopped?.tookMs ?? null),
      };
      replaceDurably(hostFile, `${JSON.stringify(host)}\n`);
      moveDurably(file, join(folder, 'closed', `${claim.at.replaceAll(':', '')}-${claim.journal}.jsonl`));
      state = emptyState(epoch);
      closeSync(fd);
      fd = released;
      fd = openForAppend(file);
    },
    lastNight: (procedure) => host.nights[procedure] ?? null,
    broughtBackMs: () => longest(host.broughtBackMs),
    stoppedMs: () => longest(host.stoppedMs),
    release() {
      if (fd !== released) closeSync(fd);
      fd = released;
      // Whoever still holds this object owns nothing any more.
      state = emptyState(state.epoch);
    },
  };
}

/** A member that was stopped and started several times in a night counts with its longest. */
function withNight(
  before: Measured = {},
  { entries }: JournalState,
  msOf: (entry: EntryState) => number | null,
): Measured {
  const tonight = new Map<string, number>();
  for (const entry of entries.values()) {
    const [{ change }, ms] = [entry, msOf(entry)];
    if (change.kind === 'service-stopped' && ms !== null)
      tonight.set(change.service, Math.max(tonight.get(change.service) ?? 0, ms));
  }
  return {
    ...before,
    ...Object.fromEntries(
      [...tonight].map(([service, ms]) => [service, [...(before[service] ?? []), ms].slice(-nightsMeasured)]),
    ),
  };
}

function longest(times: Measured = {}): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(times).map(([service, all]) => [service, Math.max(...all)]));
}

function readHostFile(file: string): HostFile {
  if (!existsSync(file)) return { epoch: 0, nights: {} };
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as HostFile;
  } catch (error) {
    throw new JournalError(`${file} is damaged: ${String(error)}`, { cause: error });
  }
}

/** A last line without its end was never acknowledged: what it announced was not done. It is cut off. */
function readJournal(file: string, epoch: number): JournalState {
  const { state, wholeBytes, cut } = readLines(file, epoch);
  if (cut) {
    const fd = openSync(file, 'r+');
    ftruncateSync(fd, wholeBytes);
    closeSync(fd);
  }
  return state;
}

function readLines(
  file: string,
  epoch: number,
): { readonly state: JournalState; readonly wholeBytes: number; readonly cut: boolean } {
  if (!existsSync(file)) return { state: emptyState(epoch), wholeBytes: 0, cut: false };
  const text = readFileSync(file, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const state = whole
    .split('\n')
    .filter((line) => line !== '')
    .reduce((state, line, index) => apply(state, parseLine(line, file, index + 1)), emptyState(epoch));
  return { state, wholeBytes: Buffer.byteLength(whole), cut: whole.length < text.length };
}

function parseLine(line: string, file: string, number: number): JournalRecord {
  try {
    return JSON.parse(line) as JournalRecord;
  } catch (error) {
    throw new JournalError(
      `${file}:${number} is damaged: ${String(error)}; look at it before anything is started`,
      {
        cause: error,
      },
    );
  }
}

function openForAppend(file: string): number {
  const fd = openSync(file, 'a', 0o600);
  syncFolder(dirname(file));
  return fd;
}

/** A full disk can take half a line: cut it off again, or the next line would be glued to it. */
function appendWhole(fd: number, line: string): void {
  const before = fstatSync(fd).size;
  try {
    appendDurably(fd, line);
  } catch (error) {
    ftruncateSync(fd, before);
    throw error;
  }
}
