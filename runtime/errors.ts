/**
 * Three families of errors. `ToolError` is written for the model that called; `ConfigError` for the person who started
 * the process; anything else is a bug, whose message never leaves the process.
 */

/** Every code a failed call can carry, and what it means to the caller. */
export const errorCodes = {
  invalid_input: 'The arguments do not fit the tool.',
  not_found: 'What the arguments name does not exist.',
  conflict: 'The state changed, or does not allow this.',
  forbidden: 'The token or the settings do not allow this.',
  too_large: 'A limit on size or count was passed.',
  timeout: 'The deadline passed and the work was stopped.',
  cancelled: 'The client went away or took the call back, and the work was stopped.',
  unavailable: 'Something this depends on cannot answer now; try again.',
  internal: 'A bug; the reference id finds it in the log.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** A failure of one call. The message says what happened; the hint says what to do. Both reach the model. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** When it is worth trying again; for `unavailable`. */
  readonly retryAfterMs: number | undefined;
  /** What the log may say of it, without a word of the caller's. */
  readonly reason: string | undefined;
  /** Its message has text in it that others wrote, such as a row: data, and never instructions. */
  readonly isUntrusted: boolean;

  constructor(
    code: Exclude<ErrorCode, 'internal'>,
    message: string,
    options: {
      hint?: string;
      cause?: unknown;
      retryAfterMs?: number;
      reason?: string;
      isUntrusted?: boolean;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryAfterMs = options.retryAfterMs;
    this.reason = options.reason;
    this.isUntrusted = options.isUntrusted ?? false;
  }
}

/** What a call fails with whose client is gone, or has taken it back. */
export function cancelled(): ToolError {
  return new ToolError('cancelled', 'The call was cancelled.');
}

/** Bad configuration: one line on stderr, exit code 78 (EX_CONFIG of sysexits.h). */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A command line that cannot be meant: one line on stderr, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something that another process holds, a port or a data folder: one line on stderr, exit code 69; it may be free later. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
}

/** A store that cannot be used, and that nothing may replace by an empty one: exit code 65, and a person decides. */
export class DamagedDataError extends Error {
  override readonly name = 'DamagedDataError';
}

/** Exit codes of every program of the fleet: those above 64 are EX_DATAERR, EX_UNAVAILABLE and EX_CONFIG of sysexits.h. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, damaged: 65, unavailable: 69, config: 78 } as const;

/** The exit code and the one line that a person sees; `undefined` for a bug, which deserves its stack. */
export function exitOf(error: unknown): { readonly code: number; readonly line: string } | undefined {
  if (error instanceof UsageError) return { code: exitCodes.usage, line: error.message };
  if (error instanceof ConfigError) return { code: exitCodes.config, line: error.message };
  if (error instanceof UnavailableError) return { code: exitCodes.unavailable, line: error.message };
  if (error instanceof DamagedDataError) return { code: exitCodes.damaged, line: error.message };
  return undefined;
}
