/** W3C Trace Context (https://www.w3.org/TR/trace-context/, level 1): one id follows a call through the fleet. */
import { randomFillSync } from 'node:crypto';

export interface Trace {
  /** 32 hex digits, the same for everything that one call caused. */
  readonly traceId: string;
  /** What this process answers with and hands on: the caller's trace, this process's span. */
  readonly traceparent: string;
}

const pattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;

const pool = Buffer.alloc(4_096);
let used = pool.length;

/** Hex digits of random bytes, drawn from the system by the page: one system call serves many requests. */
export function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

/** Continues the caller's trace with a span of our own, or begins a new one. A malformed parent is ignored, as the standard asks. */
export function continueTrace(parent: unknown): Trace {
  const match = typeof parent === 'string' ? pattern.exec(parent) : null;
  if (match) return { traceId: match[1] ?? '', traceparent: `00-${match[1]}-${randomHex(8)}-${match[2]}` };
  const ids = randomHex(24);
  const traceId = ids.slice(0, 32);
  return { traceId, traceparent: `00-${traceId}-${ids.slice(32)}-01` };
}
