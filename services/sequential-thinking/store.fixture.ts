/** Stores for tests, and the few calls that most tests begin with. */
import { quotaOf } from '#runtime/quotas.ts';
import { invoke, testCall } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { openStore, type Store } from './store.ts';
import { thoughtOf } from './thoughts.ts';
import { sequentialthinking } from './tools/sequentialthinking.ts';

export const quota = quotaOf(256, 500_000);

export const memoryStore = (maxBytes?: number) => openStore(':memory:', quota, maxBytes);

/** One thought, of which a test gives what it is about. */
export const think = async (store: Store, said: object = {}, call: Partial<Call> = {}) =>
  invoke(
    sequentialthinking,
    { thought: 'A thought.', nextThoughtNeeded: true, thoughtNumber: 1, totalThoughts: 5, ...said },
    store,
    call,
  );

/** A session with these thoughts in order, numbered from 1 unless they say otherwise. */
export async function sessionWith(store: Store, ...thoughts: readonly object[]): Promise<string> {
  const call = testCall();
  const { handle } = store.add(call, () => store.sessions.begin(call, undefined, false));
  for (const [index, said] of thoughts.entries())
    await think(store, { thoughtNumber: index + 1, session_id: handle, ...said });
  return handle;
}

/** Everything that a caller's sessions hold. */
export const contentOf = (store: Store, caller = 'test') =>
  store.sessions
    .list(caller, ['~', 0], 1_000)
    .map((session) => ({ ...session, thoughts: store.thoughts.after(session, 0, -1).map(thoughtOf) }));

/** A long session, written at once. */
export function longSession(
  store: Store,
  count: number,
  said: (number: number) => object = () => ({}),
): string {
  const call = testCall();
  return store.add(call, () => {
    const session = store.sessions.begin(call, undefined, false);
    const thoughts = store.thoughts.appendTo(session);
    for (let number = 1; number <= count; number += 1) {
      const plain = {
        thought: `Thought ${number} of many.`,
        nextThoughtNeeded: true,
        thoughtNumber: number,
        totalThoughts: count,
      };
      thoughts.add({ ...plain, ...said(number) }, '2026-11-20T12:00:00.000Z', call.caller);
    }
    store.sessions.save(session, call);
    return session.handle;
  });
}
