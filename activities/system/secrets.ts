import { readFile } from 'node:fs/promises';
import type { SecretRef } from '../../model/site.ts';

/** Thrown when a secret cannot be read on this host. Names the reference, never the value. */
export class SecretError extends Error {
  override readonly name = 'SecretError';
}

/** Resolves a reference on this host; white space at the end is no part of a secret. Throws {@link SecretError}. */
export async function readSecret(ref: SecretRef): Promise<string> {
  const value = ('file' in ref ? await readSecretFile(ref.file) : process.env[ref.env])?.trimEnd();
  if (value !== undefined && value !== '') return value;
  throw new SecretError(
    `The secret ${referenceText(ref)} is ${value === '' ? 'empty' : 'not set'} on this host.`,
  );
}

/** The reference as the site file has it, for messages. */
export function referenceText(ref: SecretRef): string {
  return 'file' in ref ? `file: ${ref.file}` : `env: ${ref.env}`;
}

async function readSecretFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new SecretError(
      `The secret file: ${file} cannot be read on this host (${why}). It must exist and be readable by the agent's user.`,
      { cause: error },
    );
  }
}
