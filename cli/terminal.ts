import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import pc from 'picocolors';
import { plain, type Paint } from './screens/text.ts';

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** For people, beside what a script reads. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function isTerminal(): boolean {
  return process.stdout.isTTY;
}

export function canAsk(): boolean {
  return isTerminal() && process.stdin.isTTY;
}

export async function agreed(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await lines.question(`${question} Only "yes" does: `)).trim() === 'yes';
  } finally {
    lines.close();
  }
}

/** No colours off a terminal, nor where NO_COLOR says so. */
export function paint(): Paint {
  return isTerminal() && pc.isColorSupported ? pc : plain;
}

/** The command line's own, until a plan tells the site's. */
export function localTimezone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** `ada@ops-1`: who gives an order. */
export function whoami(): string {
  return `${userInfo().username}@${hostname()}`;
}

export function nowInstant(): string {
  return new Date().toISOString();
}
