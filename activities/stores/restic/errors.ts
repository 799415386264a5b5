import { CommandError } from '../../system/command.ts';
import { SecretError } from '../../system/secrets.ts';
import type { Cause } from '../asking.ts';

interface Known {
  readonly pattern: RegExp;
  readonly hint: string;
  readonly mayPass: boolean;
  readonly damaged?: boolean;
}

/** By its words: before 0.17 restic has one exit code for all of them. The first that fits. */
const known: readonly Known[] = [
  {
    pattern: /wrong password or no key found/i,
    hint: 'Is password: that of this repository?',
    mayPass: false,
  },
  {
    pattern:
      /ciphertext verification failed|invalid hash|invalid data returned|unable to load (data )?blob|unable to load tree|not found in (index|repository)|<data\/[^>]*>.*(no such file|does not exist|unexpected EOF)/i,
    hint: 'Its repository is damaged: restic check --read-data says where.',
    mayPass: false,
    damaged: true,
  },
  {
    pattern: /already locked/i,
    hint: 'It goes on once that has ended. If nothing there runs any more: restic unlock.',
    mayPass: true,
  },
  {
    pattern: /no space left on device|disk quota exceeded|QuotaExceeded|StorageFull/i,
    hint: 'The repository is full: make room, or keep fewer sets.',
    mayPass: false,
  },
  {
    pattern:
      /connection (refused|reset|timed out|closed)|no route to host|i\/o timeout|unexpected EOF|temporary failure|unable to start the sftp session|broken pipe/i,
    hint: 'Can this host reach the repository?',
    mayPass: true,
  },
  {
    pattern: /is there a repository at|unable to open config file|repository does not exist/i,
    hint: 'Is its disk mounted? coldbackup never makes a repository: restic init does.',
    mayPass: false,
  },
  {
    pattern: /permission denied|access ?denied|InvalidAccessKeyId|SignatureDoesNotMatch/i,
    hint: "The agent's user, or its key, must be able to read and write there.",
    mayPass: false,
  },
];

export function isLocked(error: unknown): boolean {
  return error instanceof CommandError && /already locked/i.test(error.stderr);
}

/** null: nothing of restic. */
export function causeOf(error: unknown): Cause | null {
  if (error instanceof SecretError) return { message: error.message.replace(/\.$/, ''), mayPass: false };
  if (!(error instanceof CommandError)) return null;
  const { exitCode, signal, stderr } = error;
  const {
    hint,
    mayPass = true,
    damaged = false,
  }: Partial<Known> = known.find(({ pattern }) => pattern.test(stderr)) ?? {};
  if (exitCode === null && signal === null)
    return { message: error.message, hint: 'restic 0.14 or later is needed there.', mayPass: false };
  return { message: `restic ${wordsOf(error)}`, hint, mayPass, damaged };
}

/** What it said last, on one line. */
function wordsOf({ exitCode, signal, stderr, timedOut }: CommandError): string {
  const said = stderr
    .split('\n')
    .map((line) => line.trim().replace(/^Fatal: /, ''))
    .filter((line) => line !== '' && !/^storage ID |^the `unlock` command /.test(line))
    .slice(-5)
    .join('; ');
  if (timedOut) return `did not end in time${said === '' ? '' : `: ${said}`}`;
  return `ended with ${exitCode === null ? (signal ?? 'a signal') : `exit code ${exitCode}`}: ${said.slice(-2_000).replace(/\.$/, '')}`;
}
