/**
 * What each token may keep in a store, so that one cannot fill it for all. A store's tables name the owner of each row;
 * triggers in its migrations keep the table `kept` in step, in the transaction of each change:
 *
 *     CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
 */
import { z } from 'zod';

import type { Database } from './database.ts';
import { ToolError } from './errors.ts';

export interface Quota {
  readonly items: number;
  readonly bytes: number;
}

/** What one token keeps. */
export interface Holding extends Quota {
  readonly owner: string;
}

/** What a service keeps for its tokens, and how much each may keep. */
export interface Kept {
  readonly quota: Quota;
  /** The fullest first. */
  readonly holdings: readonly Holding[];
}

const bytesPerMb = 1024 * 1024;

/** A setting of a service: `FLOTILLA_<SERVICE>_QUOTA_MB` or `FLOTILLA_<SERVICE>_QUOTA_ITEMS`. */
export const quotaField = (initial: number, description: string) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(1_000_000_000)
    .default(initial)
    .describe(description);

/** What the two settings of a service say. */
export const quotaOf = (mb: number, items: number): Quota => ({ bytes: mb * bytesPerMb, items });

/** Over the table `kept` of a store. @param remedy names the tools with which a caller makes room. */
export function openQuotas(database: Database, quota: Quota, remedy: string) {
  const holding = database.prepare<[string], Quota>('SELECT items, bytes FROM kept WHERE owner = ?');
  const all = database.prepare<[], Holding>(
    'SELECT owner, items, bytes FROM kept WHERE items > 0 ORDER BY bytes DESC, owner LIMIT 100',
  );
  return {
    /**
     * To be called in the transaction, after what was added.
     *
     * @param times how many times the quota it may keep.
     * @throws ToolError `too_large`, which undoes it, when the token keeps more than it may.
     */
    requireWithin(owner: string, times = 1): void {
      const held = holding.get(owner) ?? { items: 0, bytes: 0 };
      const isOver = held.items > quota.items * times || held.bytes > quota.bytes * times;
      if (isOver) throw overQuota(owner, held, quota, remedy);
    },
    kept: (): Kept => ({ quota, holdings: all.all() }),
  };
}

/** What a caller is told who would keep `held`, which is more than its quota. */
export function overQuota(owner: string, held: Quota, quota: Quota, remedy: string): ToolError {
  const most =
    held.items > quota.items ? `${quota.items} items` : `${Math.floor(quota.bytes / bytesPerMb)} MB`;
  return new ToolError(
    'too_large',
    `The token "${owner}" would keep more than the ${most} that it may keep here; nothing was changed.`,
    { hint: `${remedy} Or ask the operator for more room.` },
  );
}

/** How full the fullest token is, from 0 to 1. */
export function fullness({
  quota,
  holdings,
}: Kept): { readonly owner: string; readonly share: number } | undefined {
  let fullest: { owner: string; share: number } | undefined;
  for (const { owner, items, bytes } of holdings) {
    const share = Math.max(items / quota.items, bytes / quota.bytes);
    if (share > (fullest?.share ?? 0)) fullest = { owner, share };
  }
  return fullest;
}
