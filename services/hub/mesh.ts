/** What the parts of the hub have in common. */
import type { Log } from '#runtime/account/log.ts';

import type { Directory } from './directory.ts';
import type { Engine } from './engine/engine.ts';
import type { Failures } from './errors/failures.ts';
import type { Packing } from './packing.ts';

/** As the operator has set them. */
export interface Policy {
  readonly ttlMs: number;
  readonly leaseMs: number;
  readonly mostAttempts: number;
  /** What stays in the log so long at least. */
  readonly retentionMs: number;
  readonly trimEveryMs: number;
  /** Tokens whose rules apply to the messages of all; the rules of others apply to their own. */
  readonly rulers: readonly string[];
}

export interface Mesh {
  readonly engine: Engine;
  readonly directory: Directory;
  readonly packing: Packing;
  readonly policy: Policy;
  readonly failures: Failures;
  readonly log: Log;
  readonly now: () => number;
  /** Told when something may be received by an agent, until it is unsaid. */
  readonly onArrival: (agent: string, act: () => void) => () => void;
}
