import { StoreError } from './names.ts';

/** Why a kind of store could not do what it was asked. */
export interface Cause {
  /** Without a full stop. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
  readonly mayPass: boolean;
  readonly damaged?: boolean;
}

export interface Asking {
  readonly asked: <T>(what: string, action: () => Promise<T>) => Promise<T>;
  /** The error as the operator gets it. */
  readonly explained: (what: string, error: unknown) => Promise<unknown>;
}

/**
 * How every store tells of its failures: where, what was tried, why, what to do. What `causeOf` knows nothing of is
 * thrown as it is.
 */
export function asking(
  where: string,
  causeOf: (error: unknown) => Cause | null | Promise<Cause | null>,
): Asking {
  return { asked, explained };

  async function asked<T>(what: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw await explained(what, error);
    }
  }

  async function explained(what: string, error: unknown): Promise<unknown> {
    if (error instanceof StoreError) return error;
    const cause = await causeOf(error);
    if (cause === null) return error;
    const { message, hint = '', mayPass, damaged = false } = cause;
    return new StoreError(`${where} could not ${what}: ${message}. ${hint}`.trimEnd(), {
      cause: error,
      mayPass,
      damaged,
    });
  }
}
