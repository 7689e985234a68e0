/** Token budgets that several clients draw on. The only SQL on them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { isoAfter } from './iso-after.ts';
import { budgetTtl } from '../limits.ts';
import type { Shelf } from './shelf.ts';

interface BudgetRow {
  id: string;
  token_limit: number;
  consumed: number;
  uses: number;
}

export function openBudgets(database: Database, shelf: Shelf) {
  const find = database.prepare<[string, string], BudgetRow>(
    'SELECT * FROM budget WHERE id = ? AND expires_at > ?',
  );
  const list = database.prepare<[string, string, string, number], BudgetRow>(
    'SELECT * FROM budget WHERE created_by = ? AND id > ? AND expires_at > ? ORDER BY id LIMIT ?',
  );
  const drop = database.prepare<[string]>('DELETE FROM budget WHERE id = ?');
  const put = database.prepare(
    `INSERT INTO budget (id, token_limit, consumed, uses, created_by, changed_at, expires_at)
     VALUES (:id, :token_limit, :consumed, :uses, :caller, :now, :expiresAt)
     ON CONFLICT (id) DO UPDATE SET token_limit = excluded.token_limit, consumed = excluded.consumed,
       uses = excluded.uses, changed_at = excluded.changed_at, expires_at = excluded.expires_at`,
  );

  /** @throws ToolError not_found. */
  function get(id: string, call: Call): BudgetRow {
    const found = find.get(id, isoAfter(call, 0));
    if (!found) {
      throw new ToolError('not_found', `There is no budget ${id}.`, { hint: 'Call set_budget first.' });
    }
    return found;
  }

  function write(row: BudgetRow, call: Call): void {
    const times = { now: isoAfter(call, 0), expiresAt: isoAfter(call, budgetTtl) };
    put.run({ ...row, caller: call.caller, ...times });
  }

  return {
    get,

    /** Those that the caller set, in the order of their names. */
    list: (after: string, limit: number, call: Call): BudgetRow[] =>
      list.all(call.caller, after, isoAfter(call, 0), limit),

    /** @returns those that were there. */
    delete: (ids: readonly string[], call: Call): string[] =>
      shelf.change(call, () => ids.filter((id) => drop.run(id).changes > 0)),

    /** @throws ToolError conflict when more has been consumed already. */
    set: (id: string, limit: number, reset: boolean, call: Call): BudgetRow =>
      shelf.add(call, () => {
        const before = reset ? undefined : find.get(id, isoAfter(call, 0));
        const { consumed = 0, uses = 0 } = before ?? {};
        if (consumed > limit) {
          throw new ToolError('conflict', `${consumed} tokens of budget ${id} are consumed already.`, {
            hint: 'Set a limit that is not below, or pass reset: true to begin again.',
          });
        }
        const row = { id, token_limit: limit, consumed, uses };
        write(row, call);
        return row;
      }),

    /** @throws ToolError too_large when it does not fit, and then consumes nothing. */
    consume: (id: string, tokens: number, call: Call): BudgetRow =>
      shelf.change(call, () => {
        const before = get(id, call);
        const remaining = before.token_limit - before.consumed;
        if (tokens > remaining) {
          throw new ToolError(
            'too_large',
            `${tokens} tokens do not fit: ${remaining} remain in budget ${id}.`,
            {
              hint: 'Nothing was consumed. Shorten with truncate_to_budget or compact_messages, or raise the limit with set_budget.',
            },
          );
        }
        const row = { ...before, consumed: before.consumed + tokens, uses: before.uses + 1 };
        write(row, call);
        return row;
      }),
  };
}
