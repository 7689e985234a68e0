/**
 * The clock of leases and retries. It runs with the machine's uptime, goes on where it was when the process starts again, and stands still
 * in between: so no jump of the host's clock ends a lease early or keeps it for ever, and a lease has as much time left after
 * a restart as it had before. Where several orchestrators share a ledger, its clock is the one of theirs that is furthest: each writes its own
 * down every second, and catches up with what is there.
 */
export interface LedgerClock {
  /** Milliseconds of the ledger. */
  now(): number;
  /** Another orchestrator on the same ledger has seen as much time go by: it goes on from there, and never back. */
  catchUp(ms: number): void;
  /** What the host's clock will show when this one shows `ms`: for people. */
  wallOf(ms: number, wallMs: number): number;
}

/** @param begunMs what it showed last. @param uptimeMs milliseconds that nobody sets, from any beginning. */
export function startClock(begunMs: number, uptimeMs: () => number): LedgerClock {
  let aheadMs = begunMs - uptimeMs();
  const now = () => Math.floor(aheadMs + uptimeMs());
  return {
    now,
    catchUp(ms) {
      if (ms > now()) aheadMs = ms - uptimeMs();
    },
    wallOf: (ms, wallMs) => wallMs + ms - now(),
  };
}
