import { closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { appendDurably, moveDurably, replaceDurably, syncFolder } from '../system/durable.ts';
import { apply, emptyState, openEntries, type JournalRecord, type JournalState } from './records.ts';

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
  release(): void;
}

/** Survives the journals: epochs only ever rise. */
interface HostFile {
  readonly epoch: number;
  readonly nights: Readonly<Record<string, string>>;
}

/** Thrown when a journal cannot be read: the host is not safe to touch before a person has looked. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
}

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
      appendWhole(fd, `${JSON.stringify(record)}\n`);
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
      if (claim === null) return;
      if (openEntries(state).length > 0) throw new JournalError(`the journal ${file} is not empty`);
      const nights = entries.size > 0 ? { ...host.nights, [claim.procedure]: claim.night } : host.nights;
      host = { epoch, nights };
      replaceDurably(hostFile, `${JSON.stringify(host)}\n`);
      closeSync(fd);
      moveDurably(file, join(folder, 'closed', `${claim.at.replaceAll(':', '')}-${claim.journal}.jsonl`));
      fd = openForAppend(file);
      state = emptyState(epoch);
    },
    lastNight: (procedure) => host.nights[procedure] ?? null,
    release: () => closeSync(fd),
  };
}

function readHostFile(file: string): HostFile {
  if (!existsSync(file)) return { epoch: 0, nights: {} };
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as HostFile;
  } catch (error) {
    throw new JournalError(`${file} is damaged: ${String(error)}`, { cause: error });
  }
}

/** A last line without its end was never acknowledged: what it announced was not done. */
function readJournal(file: string, epoch: number): JournalState {
  if (!existsSync(file)) return emptyState(epoch);
  const text = readFileSync(file, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) {
    const fd = openSync(file, 'r+');
    ftruncateSync(fd, Buffer.byteLength(whole));
    closeSync(fd);
  }
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .reduce((state, line, index) => apply(state, parseLine(line, file, index + 1)), emptyState(epoch));
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
