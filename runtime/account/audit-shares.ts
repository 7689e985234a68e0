/**
 * What one token takes of an audit trail. All tokens share its room: so one that calls without end would push out what is
 * kept of the others. Each has a store of records, which fills up again slowly; calls beyond it are counted, and their
 * sums are recorded. Calls that may have changed something have a store of their own.
 */
import { performance } from 'node:perf_hooks';

import type { AuditEvent } from './audit-chain.ts';

/** Of one record for each call: at once, and again each second. By day, some 44 MB of reads and 110 MB of changes. */
const stores = {
  change: { most: 100_000, perSecond: 5 },
  other: { most: 20_000, perSecond: 2 },
} as const;

interface Store {
  left: number;
  atMs: number;
}

export class AuditShares {
  readonly #stores = { change: new Map<string, Store>(), other: new Map<string, Store>() };
  #sums = new Map<string, Required<AuditEvent>>();
  readonly #summed = new Set<string>();

  /** Whether the call has a record of its own; else it is counted. `first` says that it is the first of its token. */
  take(event: AuditEvent, isChange: boolean): 'recorded' | 'counted' | 'first counted' {
    const kind = isChange ? 'change' : 'other';
    const { most, perSecond } = stores[kind];
    const nowMs = performance.now();
    let store = this.#stores[kind].get(event.caller);
    if (!store) {
      store = { left: most, atMs: nowMs };
      this.#stores[kind].set(event.caller, store);
    }
    store.left = Math.min(store.left + ((nowMs - store.atMs) / 1_000) * perSecond, most);
    store.atMs = nowMs;
    if (store.left >= 1) {
      store.left -= 1;
      return 'recorded';
    }
    this.#count(event);
    if (this.#summed.has(event.caller)) return 'counted';
    this.#summed.add(event.caller);
    return 'first counted';
  }

  #count(event: AuditEvent): void {
    const { caller, method, target, outcome } = event;
    const key = JSON.stringify([caller, method, target, outcome]);
    const sum = this.#sums.get(key);
    if (!sum) {
      this.#sums.set(key, { ...event, traceId: '', calls: 1, since: event.time });
      return;
    }
    this.#sums.set(key, {
      ...sum,
      time: event.time,
      durationMs: sum.durationMs + event.durationMs,
      requestBytes: sum.requestBytes + event.requestBytes,
      responseBytes: sum.responseBytes + event.responseBytes,
      calls: sum.calls + 1,
    });
  }

  /** What was counted since this was last asked: one event for all calls of a token with one target and one outcome. */
  sums(): readonly AuditEvent[] {
    const sums = [...this.#sums.values()].map((sum) => ({
      ...sum,
      durationMs: Math.round(sum.durationMs * 1_000) / 1_000,
    }));
    this.#sums = new Map();
    this.#summed.clear();
    return sums;
  }
}
