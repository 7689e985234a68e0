/**
 * What the role of the settings may do that READ ONLY does not hold: found once it can be, for a person to read. A
 * transaction that only reads keeps tables as they are; it does not keep a function from reaching out of the database.
 */
import { ToolError } from '#runtime/errors.ts';

import type { Pool } from './pool.ts';

export interface RoleWatch extends AsyncDisposable {
  /** Asks the database again when the last answer is old; does not wait for it. */
  look(): void;
  warnings(): readonly string[];
}

interface Found {
  readonly role: string;
  readonly is_super: boolean;
  readonly bypasses_rls: boolean;
  readonly reads_passwords: boolean;
  readonly groups: readonly string[];
  readonly functions: readonly string[];
}

/** Members of these reach files, programs and sessions of the server. */
const groups = [
  'pg_read_server_files',
  'pg_write_server_files',
  'pg_execute_server_program',
  'pg_signal_backend',
  'pg_create_subscription',
];

/** Functions of extensions that open connections of their own: nothing of the transaction holds there. */
const reachingOut = [
  'dblink%',
  'http',
  'http\\_%',
  'postgres\\_fdw%connect%',
  'lo\\_export',
  'pg\\_read%file',
];

/** The role that logs in counts: whoever may give statements can go back to it from any other. */
const query = `
SELECT r.rolname AS role, r.rolsuper AS is_super, r.rolbypassrls AS bypasses_rls,
  has_table_privilege(r.oid, 'pg_catalog.pg_authid', 'SELECT') AS reads_passwords,
  to_json(ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE g.rolname = ANY ($1) AND pg_has_role(r.oid, g.oid, 'MEMBER') ORDER BY 1)) AS groups,
  to_json(ARRAY(SELECT DISTINCT p.proname::text FROM pg_proc p WHERE p.proname LIKE ANY ($2) AND has_function_privilege(r.oid, p.oid, 'EXECUTE') ORDER BY 1 LIMIT 10)) AS functions
FROM pg_roles r WHERE r.rolname = session_user`;

const timeoutMs = 5_000;
const againMs = 60_000;
const soonerMs = 10_000;

export function findingsOf(pool: Pool, { isReadOnly }: { readonly isReadOnly: boolean }): RoleWatch {
  const stop = new AbortController();
  let warnings: readonly string[] = [];
  let looking: Promise<void> | undefined;
  let nextMs = 0;

  const ask = async () => {
    try {
      const call = {
        signal: AbortSignal.any([stop.signal, AbortSignal.timeout(timeoutMs)]),
        caller: 'flotilla',
      };
      const [found] = await pool.run(call, { access: 'read', timeoutMs }, async (session) =>
        session.all<Found>(query, [groups, reachingOut]),
      );
      warnings = found ? complaintsOf(found, isReadOnly) : [];
      nextMs = performance.now() + againMs;
    } catch (error) {
      warnings = [
        error instanceof ToolError ? error.message : 'The database cannot be asked about its role.',
      ];
      nextMs = performance.now() + soonerMs;
    }
  };
  return {
    look() {
      if (looking || performance.now() < nextMs || stop.signal.aborted) return;
      looking = ask().finally(() => {
        looking = undefined;
      });
    },
    warnings: () => warnings,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await looking;
    },
  };
}

function complaintsOf(found: Found, isReadOnly: boolean): string[] {
  const { role, is_super: isSuper, bypasses_rls: bypasses, groups: member, functions } = found;
  const reads = isReadOnly ? ', also while only reading is allowed' : '';
  if (isSuper) {
    return [
      `The database role ${role} is a superuser: its SQL can read and write files of the server and start programs there${reads}. Set FLOTILLA_SUPABASE_DATABASE_URL to a role that may only read.`,
    ];
  }
  return [
    ...(member.length > 0
      ? [
          `The database role ${role} is a member of ${member.join(', ')}: its SQL can reach out of the database${reads}.`,
        ]
      : []),
    ...(functions.length > 0
      ? [
          `The database role ${role} may execute ${functions.join(', ')}: its SQL can reach out of the database${reads}.`,
        ]
      : []),
    ...(found.reads_passwords
      ? [
          `The database role ${role} can read the password hashes of all roles (pg_authid), as members of pg_read_all_data can. Grant it SELECT on the tables it needs instead.`,
        ]
      : []),
    ...(bypasses
      ? [`The database role ${role} passes over row policies (BYPASSRLS): its SQL sees all rows.`]
      : []),
  ];
}
