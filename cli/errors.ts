import { LockedError } from '../activities/system/lock.ts';
import { FileSafetyError } from '../config/file-safety.ts';
import { SiteFileError, UnknownSiteError } from '../config/problem.ts';
import {
  AlreadyRunningError,
  NoSuchRunError,
  NoSuchScheduleError,
  QuestionError,
  RefusedError,
  RunLostError,
  UnreachableError,
} from '../client/errors.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

/** Thrown for what was typed: the message says what is wrong and what would be right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** One clear message: what, where, what to do. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (isSystemError(error)) return systemMessage(error);
  return error.message;
}

export function exitCodeOfError(error: unknown): ExitCode {
  if (usage.some((kind) => error instanceof kind)) return exitCodes.usage;
  if (error instanceof QuestionError) return error.badInput ? exitCodes.usage : exitCodes.failed;
  if (error instanceof AlreadyRunningError || error instanceof RefusedError) return exitCodes.nothingChanged;
  if (error instanceof LockedError) return exitCodes.nothingChanged;
  if (error instanceof RunLostError) return exitCodes.notBack;
  if (error instanceof UnreachableError) return exitCodes.unreachable;
  return error instanceof Error && isSystemError(error) && error.path !== undefined
    ? exitCodes.usage
    : exitCodes.failed;
}

const usage = [
  ...[UsageError, SiteFileError, FileSafetyError, UnknownSiteError],
  ...[NoSuchRunError, NoSuchScheduleError],
] as const;

function isSystemError(error: Error): error is NodeJS.ErrnoException {
  return 'code' in error && 'syscall' in error && typeof error.code === 'string';
}

function systemMessage({ code, path, syscall, message }: NodeJS.ErrnoException): string {
  if (path === undefined) return message;
  const words = { ENOENT: 'there is no such file', EACCES: 'permission denied', EISDIR: 'it is a folder' }[
    code ?? ''
  ];
  return words === undefined ? message : `cannot ${syscall ?? 'use'} ${path}: ${words}`;
}
