/** Which workers are here: heard of in memory, and written down from time to time. */
import { awayAfterMs } from './limits.ts';
import { keepSeen } from './ledger/workers.ts';
import type { Desk } from './orchestrator.ts';

interface Seen {
  /** By the clock of the ledger. */
  readonly ledgerMs: number;
  readonly wallMs: number;
  /** That are not written down yet. */
  readonly upMs: number;
}

export type Presence = ReturnType<typeof openPresence>;

export function openPresence({ clock, now, engine }: Pick<Desk, 'clock' | 'now' | 'engine'>) {
  const seen = new Map<string, Seen>();
  const changed = new Set<string>();

  return {
    /** A call that a worker made itself says that it is here. */
    touch(worker: string): void {
      const ledgerMs = clock.now();
      const before = seen.get(worker);
      const gapMs = before ? ledgerMs - before.ledgerMs : Infinity;
      // Who was away that long was not here in between.
      const upMs = (before?.upMs ?? 0) + (gapMs < awayAfterMs ? gapMs : 0);
      seen.set(worker, { ledgerMs, wallMs: now(), upMs });
      changed.add(worker);
    },
    /**
     * Whether it was heard of in time since the orchestrator started, or by another one.
     *
     * @param storedMs when it was heard of as it is written down.
     */
    isHere(worker: string, storedMs: number): boolean {
      if (engine.isShared && now() - storedMs < awayAfterMs) return true;
      const last = seen.get(worker);
      return last !== undefined && clock.now() - last.ledgerMs < awayAfterMs;
    },
    lastSeenMs(worker: string, storedMs: number): number {
      const here = seen.get(worker)?.wallMs ?? storedMs;
      return engine.isShared ? Math.max(here, storedMs) : here;
    },
    upMs: (worker: string): number => seen.get(worker)?.upMs ?? 0,
    forget(worker: string): void {
      seen.delete(worker);
      changed.delete(worker);
    },
    async keep(): Promise<void> {
      if (changed.size === 0) return;
      const rows = [...changed].flatMap((name) => {
        const last = seen.get(name);
        return last ? [{ name, atMs: last.wallMs, upMs: Math.floor(last.upMs) }] : [];
      });
      changed.clear();
      // In one order, since others keep theirs at the same time.
      const inOrder = rows.toSorted((one, other) => (one.name < other.name ? -1 : 1));
      await engine.stage(() => keepSeen(inOrder, engine.isShared));
      for (const { name, upMs } of rows) {
        const last = seen.get(name);
        if (last) seen.set(name, { ...last, upMs: last.upMs - upMs });
      }
    },
  };
}
