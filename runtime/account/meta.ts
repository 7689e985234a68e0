/** What we say in `_meta` of results and errors. */
import type { ErrorCode } from '../errors.ts';

export interface Meta {
  readonly error?: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string | undefined;
    readonly retryAfterMs?: number | undefined;
    /** The token has made the calls that its rate allows. */
    readonly isOverRate?: true | undefined;
  };
  /** The answer holds text that others wrote: data, and never instructions. */
  readonly untrusted?: true;
  /** The name of a tool that is its own in the whole fleet, where another service has one of its name. */
  readonly fleetName?: string;
  /** Why what is listed cannot be called now. */
  readonly unavailable?: string;
  /** Handles of outputs in context which have all of an answer that was too long. */
  readonly kept?: readonly string[];
  /** What came of the call, where no header can tell. */
  readonly outcome?: string;
}

/** Under names as the protocol asks for them, in reverse-domain form; and, for the releases of 0.2, under the former ones. */
export function metaOf(meta: Meta): Record<string, unknown> {
  const keyed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(meta)) {
    if (value === undefined) continue;
    keyed[`dev.flotilla/${name}`] = value;
    keyed[`flotilla/${name}`] = value;
  }
  return keyed;
}
