/** What tokens keep. No triggers: one for each step takes half as long as the step. It is added up for each group. */
import type { Database } from '#runtime/database.ts';
import { overQuota, type Quota } from '#runtime/quotas.ts';

/** A chain is deleted by an administrator alone. */
const remedy = 'Chains that nothing was added to go by themselves.';

export type Room = ReturnType<typeof openRoom>;

export function openRoom(database: Database, quota: Quota) {
  const findKept = database.prepare<[string], Quota>('SELECT items, bytes FROM kept WHERE owner = ?');
  const addKept = database.prepare(
    `INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes`,
  );
  /** Of this group. */
  let added = new Map<string, { items: number; bytes: number }>();

  return {
    add(owner: string, items: number, bytes: number): void {
      const sum = added.get(owner);
      if (sum) {
        sum.items += items;
        sum.bytes += bytes;
      } else {
        added.set(owner, { items, bytes });
      }
    },

    /** @throws ToolError too_large, before anything is written. */
    require(owner: string, items: number, bytes: number): void {
      const kept = findKept.get(owner) ?? { items: 0, bytes: 0 };
      const now = added.get(owner) ?? { items: 0, bytes: 0 };
      const held = { items: kept.items + now.items + items, bytes: kept.bytes + now.bytes + bytes };
      if (held.items > quota.items || held.bytes > quota.bytes) throw overQuota(owner, held, quota, remedy);
    },

    /** At the end of the group. */
    flush(): void {
      for (const [owner, { items, bytes }] of added) addKept.run(owner, items, bytes);
      added = new Map();
    },
    /** Of a group that is undone. */
    forget(): void {
      added = new Map();
    },
  };
}
