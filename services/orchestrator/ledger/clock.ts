/**
 * The clock of leases and retries. It runs with the machine's uptime, goes on where it was when the process starts again, and stands still
 * in between: so no jump of the host's clock ends a lease early or keeps it for ever, and a lease has as much time left after
 * a restart as it had before.
 */
export interface LedgerClock {
  /** Milliseconds of the ledger. */
  now(): number;
  /** What the host's clock will show when this one shows `ms`: for people. */
  wallOf(ms: number, wallMs: number): number;
}

/** @param begunMs what it showed last. @param uptimeMs milliseconds that nobody sets, from any beginning. */
export function startClock(begunMs: number, uptimeMs: () => number): LedgerClock {
  const startedMs = uptimeMs();
  const now = () => Math.floor(begunMs + uptimeMs() - startedMs);
  return { now, wallOf: (ms, wallMs) => wallMs + ms - now() };
}
