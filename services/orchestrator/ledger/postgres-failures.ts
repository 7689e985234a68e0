/** What the errors of PostgreSQL, and of the line to it, mean to callers and to operators. */
import { ConfigError, ToolError } from '#runtime/errors.ts';

/** Its cause is the client's error, which is never shown: values may stand in it. */
export class QueryFailed extends Error {
  readonly code: string;

  constructor(cause: unknown) {
    super('A query failed.', { cause });
    this.code = codeOf(cause);
  }

  /** Whether the server said so, and the connection is as good as before. */
  get isRefusal(): boolean {
    return isFromServer(this.cause) && !/^(?:08|57P|25P03)/.test(this.code);
  }

  /** Others were in the way: the same again may succeed. */
  get isCollision(): boolean {
    return ['40001', '40P01', '23505'].includes(this.code);
  }
}

const isFromServer = (error: unknown): boolean => error instanceof Error && 'severity' in error;

export const codeOf = (error: unknown): string => {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  if (typeof code === 'string' && /^\w{1,40}$/.test(code)) return code;
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return /timeout/i.test(String(message)) ? 'TIMEOUT' : 'CONNECTION_LOST';
};

/** Errors that pass: too many connections, a restart, a standby, a full disk, a lock or a statement that took too long. */
export const passing =
  /^(?:08|25006|28|3D|42501|53|55P03|57|58|XX|25P03|40|TIMEOUT$|CONNECTION_LOST$|E[A-Z]+$)/;

export const setting = 'FLOTILLA_ORCHESTRATOR_DATABASE_URL';

/** Says what a person has to mend before a start can do anything; nothing of it is text from the settings. */
export function misconfigured(error: unknown): ConfigError | undefined {
  const code = codeOf(error);
  const { message } = error as Error;
  if (code.startsWith('28'))
    return new ConfigError(`PostgreSQL does not accept the user and password of ${setting}.`);
  if (code === '3D000')
    return new ConfigError(`${setting} names a database that is not there: CREATE DATABASE it.`);
  if (code === '42501')
    return new ConfigError(
      `The user of ${setting} may not make the schema or its tables: GRANT CREATE ON DATABASE … TO it, or give it a schema of its own.`,
    );
  if (message.includes('SASL') || message.includes('password must be a string'))
    return new ConfigError(`PostgreSQL asks for a password, and ${setting} has none.`);
  if (message.includes('does not support SSL'))
    return new ConfigError(`This PostgreSQL speaks no TLS, and ${setting} asks for it with sslmode.`);
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|ERR_TLS|ERR_SSL|EPROTO/.test(code))
    return new ConfigError(
      `TLS to PostgreSQL fails: ${code}. Is its certificate for this host, and signed by one that is trusted here? See sslrootcert in ${setting}.`,
    );
  return undefined;
}

const hint =
  'Ask again. What may be asked twice is recognised: a completion by its fence, a new task by its idempotency_key.';

/** @param waitMs until the line is tried again. */
export const unavailable = (code: string, waitMs: number): ToolError =>
  new ToolError('unavailable', 'The database of the orchestrator cannot answer now.', {
    hint,
    retryAfterMs: Math.max(200, waitMs),
    reason: `postgresql ${code}`,
  });

/** What a call is told whose query failed. @param code as of QueryFailed. */
export function meaningOf({ code }: QueryFailed, wasCommitting: boolean): Error {
  if (!passing.test(code)) return new Error(`PostgreSQL refuses what the ledger asks: ${code}.`);
  return new ToolError(
    'unavailable',
    wasCommitting
      ? 'The database of the orchestrator was lost at the end of the change: it is made, or not.'
      : 'The database of the orchestrator cannot answer now. Nothing was changed.',
    {
      hint,
      retryAfterMs: 1_000,
      reason: `postgresql ${code}`,
    },
  );
}
