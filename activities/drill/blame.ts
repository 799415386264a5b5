import { ApplicationFailure } from '@temporalio/common';
import { MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb';
import type { Drill } from '../../model/site.ts';
import { refusedType } from '../mongodb/errors.ts';
import { sizeText } from '../stores/size-text.ts';
import { CommandError } from '../system/command.ts';
import { refusedDrill } from './isolated.ts';
import { ranOutOfMemory } from './memory.ts';
import { asNoRoom } from './room.ts';

export interface Scene {
  readonly drill: Drill;
  /** Of the artifact. */
  readonly name: string;
  /** The end of the log of the server. */
  readonly log: string;
  /** Of its memory. */
  readonly peakBytes: number;
}

/** Why a copy could not be opened and read, where that lies with the host; null: it is a finding about the set. */
export async function blameOfHost(error: unknown, scene: Scene): Promise<Error | null> {
  const { drill, name, log, peakBytes } = scene;
  const { memoryBytes } = drill;
  const message = error instanceof Error ? error.message : String(error);
  const said = `${message}\n${log}`;
  const full = await asNoRoom(drill, said);
  if (full !== null) return full;
  if (error instanceof ApplicationFailure && error.type === refusedType) return null;
  const isUp = error instanceof MongoServerError;
  if (ranOutOfMemory(isUp ? message : said, isUp ? 0 : peakBytes, memoryBytes))
    return refusedDrill(
      `The copy ${name} needs more than the ${sizeText(memoryBytes)} of memory that a scratch server gets: raise drill.memory. ${message}`,
    );
  if (hasNotOpened(error, message, log) || endedFromOutside.test(message) || isSilent(error, message))
    return refusedDrill(`The copy ${name} could not be opened, which says nothing about the set: ${message}`);
  return null;
}

/** One that has logged nothing has opened nothing. */
function hasNotOpened(error: unknown, message: string, log: string): boolean {
  return error instanceof CommandError || (log === '' && /ended with exit code/.test(message));
}

/** It runs, and does not answer: the host is busy. */
function isSilent(error: unknown, message: string): boolean {
  return (
    error instanceof MongoNetworkError ||
    error instanceof MongoServerSelectionError ||
    /did not answer within/.test(message)
  );
}

/** 128 + SIGHUP, SIGINT, SIGKILL or SIGTERM: the kernel, for want of memory on the host, or somebody. */
const endedFromOutside = /ended with exit code (129|130|137|143)\b/;
