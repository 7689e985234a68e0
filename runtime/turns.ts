/** Long reads, cut into steps between which the process serves others. */
import { setImmediate } from 'node:timers/promises';

import type { Call } from './tool.ts';

/** Work that yields where a turn may end, and holds nothing open there: each step may see another state. */
export type Steps<Value> = Generator<void, Value>;

type Snapshot = <Value>(read: () => Value) => Value;

/** @throws the reason for which the call was stopped meanwhile. */
export async function inTurns<Value>(
  snapshot: Snapshot,
  { signal }: Pick<Call, 'signal'>,
  steps: Steps<Value>,
): Promise<Value> {
  for (;;) {
    const step = snapshot(() => steps.next());
    if (step.done) return step.value;
    await setImmediate();
    signal.throwIfAborted();
  }
}
