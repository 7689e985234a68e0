/** What a statement may do, decided by SQLite's own account of it when it is prepared: the text is never looked at. */
import { constants as c } from 'node:sqlite';

/** `read` only looks; `write` changes and makes, and drops nothing; `all` drops too; `scratch` may make temporary tables as well; `ours` is SQL of
 * this service; `explain` may name changes, and sets nothing: some pragmas work when they are prepared.
 */
export type Permit = 'read' | 'write' | 'all' | 'scratch' | 'explain' | 'ours';

export interface Guard {
  permit: Permit;
  /** The kinds of actions of what was prepared last. */
  readonly seen: Set<number>;
  /** Why it was refused, and what to do instead. */
  refusal: { readonly what: string; readonly hint: string } | undefined;
  /** Tables behind virtual tables: a module prepares changes of them even to read. SQLite itself keeps them from the caller. */
  shadows: ReadonlySet<string>;
}

export const newGuard = (): Guard => ({
  permit: 'read',
  seen: new Set(),
  refusal: undefined,
  shadows: new Set(),
});

const always = new Set([c.SQLITE_SELECT, c.SQLITE_READ, c.SQLITE_RECURSIVE]);
const changes = new Set([c.SQLITE_INSERT, c.SQLITE_UPDATE, c.SQLITE_DELETE]);
const makes = new Set([
  c.SQLITE_CREATE_TABLE,
  c.SQLITE_CREATE_INDEX,
  c.SQLITE_CREATE_VIEW,
  c.SQLITE_CREATE_TRIGGER,
  c.SQLITE_CREATE_VTABLE,
  c.SQLITE_ALTER_TABLE,
  c.SQLITE_ANALYZE,
  c.SQLITE_REINDEX,
]);
const drops = new Set([
  c.SQLITE_DROP_TABLE,
  c.SQLITE_DROP_INDEX,
  c.SQLITE_DROP_VIEW,
  c.SQLITE_DROP_TRIGGER,
  c.SQLITE_DROP_VTABLE,
]);
const temporary = new Set([
  c.SQLITE_CREATE_TEMP_TABLE,
  c.SQLITE_CREATE_TEMP_INDEX,
  c.SQLITE_CREATE_TEMP_VIEW,
  c.SQLITE_CREATE_TEMP_TRIGGER,
  c.SQLITE_DROP_TEMP_TABLE,
  c.SQLITE_DROP_TEMP_INDEX,
  c.SQLITE_DROP_TEMP_VIEW,
  c.SQLITE_DROP_TEMP_TRIGGER,
]);

/** What makes or drops something has no rows to count. */
export const isDefinition = (guard: Guard): boolean =>
  [...guard.seen].some((action) => makes.has(action) || drops.has(action) || temporary.has(action));

export const isChange = (guard: Guard): boolean =>
  [...guard.seen].some((action) => changes.has(action) || makes.has(action) || drops.has(action));

/** Functions that reach beyond the database. */
const closedFunctions = new Set(['load_extension', 'fts3_tokenizer', 'edit', 'writefile', 'readfile']);
/** What brings nothing but SQLite's own code with it. */
const openModules = new Set([
  'fts3',
  'fts4',
  'fts5',
  'fts5vocab',
  'fts4aux',
  'rtree',
  'rtree_i32',
  'geopoly',
]);

/** Those that tell, with a table or index as argument at most. */
const tellingPragmas = new Set(
  `table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list foreign_key_check integrity_check
  quick_check page_count freelist_count database_list collation_list function_list module_list pragma_list compile_options
  data_version`.split(/\s+/),
);
/** Those that tell without an argument, and set something with one. */
const settingPragmas = new Set(
  `user_version schema_version application_id page_size encoding journal_mode auto_vacuum foreign_keys synchronous cache_size
  busy_timeout max_page_count journal_size_limit locking_mode secure_delete recursive_triggers wal_autocheckpoint query_only
  defer_foreign_keys temp_store trusted_schema case_sensitive_like cell_size_check mmap_size`.split(/\s+/),
);
/** Those that a caller who may write may set, as far as they stay with the database. */
const writablePragmas: Readonly<Record<string, RegExp>> = {
  user_version: /^[-+]?\d+$/,
  application_id: /^[-+]?\d+$/,
  journal_mode: /^(wal|delete|truncate|persist)$/i,
  defer_foreign_keys: /^\w+$/,
};
/** Those that work on the database. */
const workingPragmas = new Set(['optimize', 'wal_checkpoint', 'incremental_vacuum']);

/** The callback of one connection. */
export function authorizerOf(guard: Guard) {
  const refuse = (what: string, hint: string) => {
    guard.refusal = { what, hint };
    return c.SQLITE_DENY;
  };
  const refuseDrop = () => refuse('DROP', 'Use execute_sql, which needs a token that may destroy.');
  return (action: number, first: string | null, second: string | null): number => {
    const isInner = guard.shadows.has(first ?? '');
    if (!isInner) guard.seen.add(action);
    if (always.has(action) || guard.permit === 'ours') return c.SQLITE_OK;
    if (action === c.SQLITE_FUNCTION) {
      if (closedFunctions.has((second ?? '').toLowerCase()))
        return refuse(`the function ${second}`, 'It reaches beyond the database, and is closed here.');
      // What DROP COLUMN is made of; nobody else can call it.
      return second === 'sqlite_drop_column' && guard.permit === 'write' ? refuseDrop() : c.SQLITE_OK;
    }
    if (action === c.SQLITE_PRAGMA) {
      return mayPragma(guard.permit, (first ?? '').toLowerCase(), second)
        ? c.SQLITE_OK
        : refuse(`PRAGMA ${first}${second === null ? '' : ` with the value ${second}`}`, pragmaHint);
    }
    if (action === c.SQLITE_ATTACH || action === c.SQLITE_DETACH) {
      return first === ''
        ? refuse('VACUUM', 'Use vacuum_database.')
        : refuse(
            'ATTACH, DETACH and VACUUM INTO',
            'Name another file as database. backup_database makes a copy.',
          );
    }
    if (action === c.SQLITE_TRANSACTION || action === c.SQLITE_SAVEPOINT) {
      return refuse(
        'BEGIN, COMMIT, ROLLBACK and SAVEPOINT',
        'Use begin_transaction, commit_transaction and rollback_transaction, or execute_batch for all or nothing.',
      );
    }
    if (temporary.has(action)) {
      return guard.permit === 'scratch'
        ? c.SQLITE_OK
        : refuse('a temporary table', 'It would be gone after this call: make it within a transaction.');
    }
    if (guard.permit === 'read') {
      return changes.has(action) && isInner
        ? c.SQLITE_OK
        : refuse(
            'a statement that changes something',
            'Use write_query, create_table or execute_sql; explain_sql shows the plan of any statement.',
          );
    }
    if (action === c.SQLITE_CREATE_VTABLE && !openModules.has((second ?? '').toLowerCase())) {
      return refuse(`the module ${second}`, `Use one of ${[...openModules].join(', ')}.`);
    }
    if (changes.has(action) || makes.has(action)) return c.SQLITE_OK;
    if (drops.has(action)) {
      return guard.permit === 'write' && !isInner ? refuseDrop() : c.SQLITE_OK;
    }
    return refuse('this kind of statement', 'It is closed here.');
  };
}

const pragmaHint =
  'Those that tell something work, and of those that set something user_version, application_id and journal_mode (wal, delete, truncate, persist).';

function mayPragma(permit: Permit, name: string, value: string | null): boolean {
  if (tellingPragmas.has(name)) return true;
  if (value === null && settingPragmas.has(name)) return true;
  if (permit === 'read' || permit === 'explain') return false;
  if (workingPragmas.has(name)) return true;
  return value !== null && (writablePragmas[name]?.test(value) ?? false);
}
