/** What the server or the way to it said. */
export interface S3Failure {
  readonly name: string;
  readonly message: string;
  readonly status: number | null;
  readonly mayPass: boolean;
  readonly hint: string;
}

/** null: nothing of S3 or of the network. */
export function failureOf(error: unknown): S3Failure | null {
  if (!(error instanceof Error)) return null;
  const status = statusOf(error);
  const name = status === null ? (networkCodeOf(error) ?? error.name) : error.name;
  if (status === null && networkCodeOf(error) === null && !networkNames.has(name)) return null;
  return {
    name,
    status,
    message: wordsOf(error),
    mayPass: status === null ? !certain.has(name) : status >= 500 || passing.has(name),
    hint: hints[name] ?? (status === null ? 'Is the server up, and the endpoint right?' : ''),
  };
}

/** The server, or the way to it, may be there again soon. A full disk takes longer. */
export function isOutage(error: unknown): boolean {
  const failure = failureOf(error);
  return failure !== null && failure.mayPass && failure.status !== 507;
}

/** `ECONNREFUSED`: the SDK may keep only the words of what it wraps. */
function networkCodeOf(error: Error): string | null {
  if ('code' in error && typeof error.code === 'string') return error.code;
  return /\b(E[A-Z]{4,}|TimeoutError)\b/.exec(error.message)?.[1] ?? null;
}

export function isMissing(error: unknown): boolean {
  const name = error instanceof Error ? error.name : '';
  return name === 'NoSuchKey' || name === 'NotFound';
}

/** The name is taken (If-None-Match), or is being taken right now. */
export function isTaken(error: unknown): boolean {
  return (
    error instanceof Error &&
    (['PreconditionFailed', 'ConditionalRequestConflict'].includes(error.name) || statusOf(error) === 412)
  );
}

/** A server that does not know what it was asked for. */
export function isNotImplemented(error: unknown): boolean {
  return error instanceof Error && (error.name === 'NotImplemented' || statusOf(error) === 501);
}

export function isUploadGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'NoSuchUpload';
}

function statusOf(error: Error): number | null {
  if (!('$metadata' in error)) return null;
  const { httpStatusCode } = error.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode ?? null;
}

function wordsOf(error: Error): string {
  const inner = error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message;
  if (inner === '' || inner === 'UnknownError') return error.name;
  return error.name === 'Error' ? inner : `${error.name}: ${inner}`;
}

const networkNames = new Set(['TimeoutError', 'AbortError', 'NetworkingError']);
const passing = new Set(['RequestTimeout', 'SlowDown', 'Throttling', 'TooManyRequests', 'BadDigest']);
const certain = new Set(['ENOTFOUND', 'ERR_TLS_CERT_ALTNAME_INVALID', 'DEPTH_ZERO_SELF_SIGNED_CERT']);

const hints: Readonly<Record<string, string>> = {
  NoSuchBucket: 'Make the bucket: it is never made by coldbackup.',
  AccessDenied: 'The key must be allowed to list the bucket, and to read, write and remove below the prefix.',
  InvalidAccessKeyId: 'The server does not know this access-key.',
  SignatureDoesNotMatch: 'Is secret-key that of access-key, and the region right?',
  RequestTimeTooSkewed: "This host's clock is wrong.",
  QuotaExceeded: 'The quota of the bucket is used up: make room, or keep fewer sets.',
  XMinioStorageFull: 'The server is full: make room, or keep fewer sets.',
  InvalidRequest: 'Does the bucket have what the site file asks for (object-lock)?',
  ENOTFOUND: 'Is the endpoint right?',
};
