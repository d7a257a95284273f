const brand = Symbol.for("davpool:error");

/**
 * Root of every error that davpool throws on purpose. `code` is stable and meant for programs; `message` says what
 * happened and what to do next, without secrets.
 */
export class DavpoolError extends Error {
  readonly code: string;
  /** Plain data a program can act on, such as the valid server ids. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    options: { readonly cause?: unknown; readonly details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = new.target.name;
    this.code = code;
    this.details = options.details ?? {};
    Object.defineProperty(this, brand, { value: true });
  }
}

/** True also for errors made by a second copy of this package in the same process. */
export function isDavpoolError(error: unknown): error is DavpoolError {
  return typeof error === "object" && error !== null && brand in error;
}

/** One line about anything that was thrown. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError && error.message === "" && error.errors.length > 0)
    return describeError(error.errors[0]);
  if (error instanceof Error) return error.message === "" ? error.name : error.message;
  try {
    return String(error);
  } catch {
    // An object that has no text, such as one without a prototype.
    return Object.prototype.toString.call(error);
  }
}
