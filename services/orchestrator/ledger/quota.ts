/** What each token may keep. */
import { overQuota, type Holding } from '#runtime/quotas.ts';

import type { Change } from './change.ts';
import { all, define, first, sql, type Ledger } from './query.ts';

const heldBy = define<{ owner: string }>()(({ db, given }) =>
  db.selectFrom('kept').select(['items', 'bytes']).where('owner', '=', given.owner),
);

const holdings = define()(({ db }) =>
  db
    .selectFrom('kept')
    .selectAll()
    .where('items', '>', 0)
    .orderBy('bytes', 'desc')
    .orderBy('owner')
    .limit(sql.lit(100)),
);

/** The fullest first. */
export const loadHoldings = (): Ledger<readonly Holding[]> => all(holdings, {});

export const remedy =
  'delete_project lets go of a project with all of its tasks; tasks without one go some days after their end.';

/**
 * To be asked in the transaction, after what was added.
 *
 * @param times how many times the quota it may keep.
 * @param more bytes that will be added.
 * @throws ToolError too_large, which takes the change back.
 */
export function* requireRoom(
  { quota }: Pick<Change, 'quota'>,
  owner: string,
  times = 1,
  more = 0,
): Ledger<void> {
  const { items, bytes } = (yield* first(heldBy, { owner })) ?? { items: 0, bytes: 0 };
  const held = { items, bytes: bytes + more };
  if (held.items > quota.items * times || held.bytes > quota.bytes * times)
    throw overQuota(owner, held, quota, remedy);
}
