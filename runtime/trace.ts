/** W3C Trace Context (https://www.w3.org/TR/trace-context/, level 1): one id follows a call through the fleet. */
import { randomBytes } from 'node:crypto';

export interface Trace {
  /** 32 hex digits, the same for everything that one call caused. */
  readonly traceId: string;
  /** What this process answers with and hands on: the caller's trace, this process's span. */
  readonly traceparent: string;
}

const pattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;

/** Continues the caller's trace with a span of our own, or begins a new one. A malformed parent is ignored, as the standard asks. */
export function continueTrace(parent: unknown): Trace {
  const match = typeof parent === 'string' ? pattern.exec(parent) : null;
  const traceId = match?.[1] ?? randomBytes(16).toString('hex');
  return { traceId, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-${match?.[2] ?? '01'}` };
}
