/** What Postgres and PostgREST refuse, as the fleet's errors, with what to do. */
import { ToolError, type ErrorCode } from '#runtime/errors.ts';

export interface Refusal {
  /** SQLSTATE, or PGRST… of PostgREST. */
  readonly code: string;
  readonly message: string;
  readonly detail?: string | null | undefined;
  readonly hint?: string | null | undefined;
  /** Of the character in the SQL, from 1. */
  readonly position?: string | undefined;
  /** In SQL that other SQL ran, such as a migration. */
  readonly internalPosition?: string | undefined;
}

type Kind = readonly [Exclude<ErrorCode, 'internal'>, string?];

/** By SQLSTATE, its class (the first two), or the code of PostgREST: the longest that fits. */
const kinds: Readonly<Record<string, Kind>> = {
  '01': ['invalid_input'],
  '08': ['unavailable', 'Try again.'],
  '08P01': ['invalid_input', 'Give as many params as the SQL has $1, $2 ….'],
  '0A': [
    'invalid_input',
    'Postgres cannot do this here, or takes one statement at a time. COMMIT and ROLLBACK do not belong in a script.',
  ],
  '21': ['invalid_input'],
  '22': ['invalid_input', 'Check the value against the type of its column.'],
  '23': ['conflict', 'Nothing was changed.'],
  '23502': ['conflict', 'Give a value for this column. Nothing was changed.'],
  '23503': [
    'conflict',
    'Another table refers to this row, or the row it refers to is missing. Nothing was changed.',
  ],
  '23505': ['conflict', 'There is a row with this key: update it, or use upsert_rows. Nothing was changed.'],
  '25': ['conflict'],
  '25001': ['invalid_input', 'This statement works only outside of a transaction, and so not here.'],
  '25006': [
    'forbidden',
    'Only reading is allowed. To allow changes, the operator sets FLOTILLA_SUPABASE_MODE=write; a page after the first, explain_sql and call_rpc with read_only always only read.',
  ],
  '28': ['unavailable', 'The operator has to look at FLOTILLA_SUPABASE_DATABASE_URL.'],
  '2D': ['invalid_input', 'Leave COMMIT and ROLLBACK out: all of it is one transaction.'],
  '34': ['invalid_input'],
  '3D': ['unavailable', 'The operator has to look at FLOTILLA_SUPABASE_DATABASE_URL.'],
  '3F': ['not_found', 'list_tables shows what there is.'],
  '40': ['conflict', 'Others changed the same at the same time: try again.'],
  '42': ['invalid_input'],
  '42501': [
    'forbidden',
    'The role of the settings has no right to this, or a row policy is against it: list_policies shows those, rls_check what is missing.',
  ],
  '42601': ['invalid_input', 'Give one statement of SQL. Scripts of several go through apply_migration.'],
  '42703': ['invalid_input', 'list_tables with verbose shows the columns.'],
  '42883': ['not_found', 'list_functions shows the functions, with their arguments.'],
  '42P01': ['not_found', 'list_tables shows what there is.'],
  '42P07': ['conflict', 'It exists already.'],
  '53': ['unavailable', 'The database has no room for this now: try again later.'],
  '54': ['too_large'],
  '55': ['conflict', 'It is in use: try again.'],
  '55P03': ['conflict', 'Another transaction holds a lock on it: try again.'],
  '57': ['unavailable', 'Try again.'],
  '57014': ['timeout', 'Ask for less, add an index (explain_sql shows the plan), or give more timeout_ms.'],
  '58': ['unavailable', 'The operator has to look at the database.'],
  P0: ['conflict'],
  PGRST: ['invalid_input'],
  PGRST0: ['unavailable', 'PostgREST cannot reach its database: try again.'],
  PGRST103: ['invalid_input', 'There are fewer rows than this page begins at.'],
  PGRST106: ['not_found', 'The schema is not exposed: the operator looks at FLOTILLA_SUPABASE_SCHEMA.'],
  PGRST116: ['not_found'],
  PGRST200: ['invalid_input', 'There is no foreign key between the two.'],
  PGRST202: ['not_found', 'list_functions shows the functions, with their arguments.'],
  PGRST204: ['invalid_input', 'list_tables with verbose shows the columns.'],
  PGRST205: ['not_found', 'list_tables shows what there is.'],
  PGRST3: ['forbidden', 'The operator has to look at FLOTILLA_SUPABASE_KEY.'],
  XX: ['unavailable', 'Postgres reports a fault of its own: the operator has to look at the database.'],
};

/** What others wrote stands in it: it must not grow with that. */
const maxMessageLength = 600;

export function refused({ code, message, detail, hint, position, internalPosition }: Refusal): ToolError {
  const [kind, advice] = kindOf(code);
  const at = position ?? internalPosition;
  const where = at === undefined ? '' : ` (at character ${at})`;
  const more = detail ? ` ${detail}` : '';
  const words = `${message}${where}.${more}`.replace(/\.\./, '.');
  const says = hint ? ` Postgres says: ${short(hint)}` : '';
  return new ToolError(kind, `${short(words)} [${code}]${says}`, {
    // Values of rows stand in it, and what a trigger raises.
    isUntrusted: true,
    reason: `Postgres refused: ${/^\w{1,10}$/.test(code) ? code : 'no code'}`,
    ...(advice !== undefined && { hint: advice }),
  });
}

function kindOf(code: string): Kind {
  for (let length = code.length; length > 1; length -= 1) {
    const kind = kinds[code.slice(0, length)];
    if (kind) return kind;
  }
  return ['conflict'];
}

/** On one line: with lines of its own, what others wrote would look like words of ours. */
function short(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ');
  return line.length > maxMessageLength ? `${line.slice(0, maxMessageLength)}…` : line;
}

export function isDatabaseError(error: unknown): error is Error & Refusal {
  return error instanceof Error && 'severity' in error && 'code' in error && typeof error.code === 'string';
}

/** Of a query that failed. What is no answer of Postgres is the network, or a bug. */
export function failureOf(error: unknown): Error {
  if (error instanceof ToolError) return error;
  if (isDatabaseError(error)) return refused(error);
  if (!(error instanceof Error)) return new Error(String(error));
  const { code } = error as NodeJS.ErrnoException;
  const isNetwork =
    error instanceof AggregateError || 'syscall' in error || connectionWords.test(error.message);
  if (!isNetwork) return error;
  return new ToolError('unavailable', `The database cannot be reached: ${code ?? short(error.message)}.`, {
    hint: 'Try again; if it stays so, the operator looks at FLOTILLA_SUPABASE_DATABASE_URL and at the database.',
    reason: code ?? 'connection lost',
  });
}

/** pg says these in words alone. */
const connectionWords =
  /^(?:Connection terminated|timeout expired|timeout exceeded|Client (?:has encountered|was closed)|The server does not support SSL|Client network socket|self-signed|unable to (?:get|verify)|Hostname\/IP)/i;
