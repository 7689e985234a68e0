/** Token budgets that the clients of a token draw on. The only SQL on them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { isoAfter } from './iso-after.ts';
import { budgetTtl } from '../limits.ts';
import type { Shelf } from './shelf.ts';

interface BudgetRow {
  name: string;
  token_limit: number;
  consumed: number;
  uses: number;
}

export function openBudgets(database: Database, shelf: Shelf) {
  const columns = 'name, token_limit, consumed, uses';
  const find = database.prepare<[string, string, string], BudgetRow>(
    `SELECT ${columns} FROM budget WHERE created_by = ? AND name = ? AND expires_at > ?`,
  );
  const list = database.prepare<[string, string, string, number], BudgetRow>(
    `SELECT ${columns} FROM budget WHERE created_by = ? AND name > ? AND expires_at > ? ORDER BY name LIMIT ?`,
  );
  const drop = database.prepare<[string, string]>('DELETE FROM budget WHERE created_by = ? AND name = ?');
  const put = database.prepare(
    `INSERT INTO budget (${columns}, created_by, changed_at, expires_at)
     VALUES (:name, :token_limit, :consumed, :uses, :caller, :now, :expiresAt)
     ON CONFLICT (created_by, name) DO UPDATE SET token_limit = excluded.token_limit, consumed = excluded.consumed,
       uses = excluded.uses, changed_at = excluded.changed_at, expires_at = excluded.expires_at`,
  );

  /** @throws ToolError not_found. */
  function get(name: string, call: Call): BudgetRow {
    const found = find.get(call.caller, name, isoAfter(call, 0));
    if (!found) {
      throw new ToolError('not_found', `There is no budget ${name}.`, { hint: 'Call set_budget first.' });
    }
    return found;
  }

  function write(row: BudgetRow, call: Call): void {
    const times = { now: isoAfter(call, 0), expiresAt: isoAfter(call, budgetTtl) };
    put.run({ ...row, caller: call.caller, ...times });
  }

  return {
    get,

    /** In the order of their names. */
    list: (after: string, limit: number, call: Call): BudgetRow[] =>
      list.all(call.caller, after, isoAfter(call, 0), limit),

    /** @returns those that were there. */
    delete: (names: readonly string[], call: Call): string[] =>
      shelf.change(call, () => names.filter((name) => drop.run(call.caller, name).changes > 0)),

    /** @throws ToolError conflict when more has been consumed already. */
    set: (name: string, limit: number, reset: boolean, call: Call): BudgetRow =>
      shelf.add(call, () => {
        const before = reset ? undefined : find.get(call.caller, name, isoAfter(call, 0));
        const { consumed = 0, uses = 0 } = before ?? {};
        if (consumed > limit) {
          throw new ToolError('conflict', `${consumed} tokens of budget ${name} are consumed already.`, {
            hint: 'Set a limit that is not below, or pass reset: true to begin again.',
          });
        }
        const row = { name, token_limit: limit, consumed, uses };
        write(row, call);
        return row;
      }),

    /** @throws ToolError too_large when it does not fit, and then consumes nothing. */
    consume: (name: string, tokens: number, call: Call): BudgetRow =>
      shelf.change(call, () => {
        const before = get(name, call);
        const remaining = before.token_limit - before.consumed;
        if (tokens > remaining) {
          throw new ToolError(
            'too_large',
            `${tokens} tokens do not fit: ${remaining} remain in budget ${name}.`,
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
