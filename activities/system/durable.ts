import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Appends to a file and returns only when the bytes are on the disk. Synchronous: nothing runs in between. */
export function appendDurably(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
  fsyncSync(fd);
}

/** Replaces a file as a whole: after a crash there is the old text or the new one. */
export function replaceDurably(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const next = `${file}.next`;
  const fd = openSync(next, 'w', 0o600);
  try {
    appendDurably(fd, text);
  } finally {
    closeSync(fd);
  }
  renameSync(next, file);
  syncFolder(dirname(file));
}

export function moveDurably(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  renameSync(from, to);
  syncFolder(dirname(to));
  syncFolder(dirname(from));
}

export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
