/** What the settings lead to: a project by its REST side, a database by SQL, or neither yet. */
import type { Log } from '#runtime/account/log.ts';
import { ToolError } from '#runtime/errors.ts';

import type { Project } from './rest/client.ts';
import { findingsOf, type RoleWatch } from './sql/role.ts';
import { Pool } from './sql/pool.ts';
import { Translator } from './translation.ts';

export interface Supabase extends AsyncDisposable {
  readonly isReadOnly: boolean;
  /** @throws ToolError `unavailable` that names the settings. */
  project(): Project;
  /** @throws ToolError `unavailable` that names the settings. */
  database(): Pool;
  readonly translator: Translator;
  /** What a person should look at. */
  warnings(): readonly string[];
}

export interface SupabaseOptions {
  readonly project: Project | undefined;
  readonly database:
    | { readonly url: string; readonly role: string | undefined; readonly connections: number }
    | undefined;
  readonly isReadOnly: boolean;
  readonly hasManagement: boolean;
  readonly log: Log;
}

const local = 'To try it out: flotilla supabase local.';

export function openSupabase(options: SupabaseOptions): Supabase {
  const { project, database, isReadOnly, hasManagement, log } = options;
  const pool =
    database &&
    new Pool({
      ...database,
      onConnectionLost: (error) => log.warn('connection_lost', { reason: error.message }),
    });
  // Node loads what fetch needs with the first use, 30 ms in which no call could be answered.
  if (project) Response.json(null);
  const translator = new Translator();
  const role: RoleWatch | undefined = pool && findingsOf(pool, { isReadOnly });
  role?.look();
  return {
    isReadOnly,
    translator,
    project() {
      if (project) return project;
      throw new ToolError('unavailable', 'No Supabase project is configured.', {
        hint: `The operator sets FLOTILLA_SUPABASE_URL and FLOTILLA_SUPABASE_KEY. ${local}`,
        reason: 'not configured',
      });
    },
    database() {
      if (pool) return pool;
      throw new ToolError('unavailable', 'No database is configured.', {
        hint: `The operator sets FLOTILLA_SUPABASE_DATABASE_URL. ${local}`,
        reason: 'not configured',
      });
    },
    warnings() {
      const isBare = !project && !pool && !hasManagement;
      const bare =
        'Nothing is configured: set FLOTILLA_SUPABASE_URL and _KEY, _DATABASE_URL or _ACCESS_TOKEN.';
      role?.look();
      return [...(isBare ? [bare] : []), ...(role?.warnings() ?? [])];
    },
    async [Symbol.asyncDispose]() {
      await role?.[Symbol.asyncDispose]();
      await translator[Symbol.asyncDispose]();
      await pool?.[Symbol.asyncDispose]();
    },
  };
}
