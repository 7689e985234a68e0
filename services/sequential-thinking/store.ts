/** All that the tools of this service depend on, over one database. */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, telling, type Steps } from '#runtime/turns.ts';

import { removedPerStep } from './limits.ts';
import { openSearch } from './search.ts';
import { openSessions, type Session } from './sessions.ts';
import { openThoughts } from './thoughts.ts';

export type Store = ReturnType<typeof openStore>;

export const sessionUri = (handle: string) => `thinking://session/${handle}`;

/** What was begun is taken away, also where the caller has gone. */
const never = new AbortController().signal;

const removedPerProgress = 5_000;

/**
 * @param quota what one token may keep.
 * @param maxBytes of the database in use, above which nothing is added.
 */
export function openStore(file: string, quota: Quota, maxBytes = Infinity) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const sessions = openSessions(database);
  const usedBytes = database
    .prepare<[], number>(
      `SELECT (page_count - freelist_count) * page_size
       FROM pragma_page_count, pragma_freelist_count, pragma_page_size`,
    )
    .pluck();
  const { read: snapshot, write: change, stage, probe } = transactionsOf(database);
  const quotas = openQuotas(
    database,
    quota,
    'Delete sessions that are no longer needed with delete_session. list_sessions shows them.',
  );

  const removeLeftovers = () => change(() => sessions.removeLeftovers());
  // Of a deletion or an import that was interrupted.
  change(() => sessions.discard());
  while (removeLeftovers());

  /** One change, all or nothing, on disk when this returns. @throws ToolError too_large when there is no room. */
  const add = <Value>({ caller }: Pick<Call, 'caller'>, work: () => Value, transaction = change): Value =>
    transaction(() => {
      if ((usedBytes.get() ?? 0) >= maxBytes) {
        throw new ToolError('too_large', 'The store of thoughts is full; nothing was added.', {
          hint: 'Delete sessions that are no longer needed with delete_session. Or ask the operator for more room.',
        });
      }
      const value = work();
      quotas.requireWithin(caller);
      return value;
    });

  function* leftovers(): Steps<void> {
    while (sessions.removeLeftovers()) yield;
  }

  return {
    sessions,
    thoughts: openThoughts(database),
    search: openSearch(database),

    /** Takes the write lock and gives it back. @throws when the database cannot be written. */
    probe,

    /** Several reads that see one state, whatever another process writes meanwhile. */
    snapshot,
    /** A read that others are served in between: no state of the store holds for all of it. */
    inTurns: <Value>(call: Call, steps: Steps<Value>) => inTurns(snapshot, call, telling(call, steps)),

    add,

    /** A new session, which nobody finds before all that `fill` adds is there. @throws as `add`. */
    async addSession<Value>(
      call: Call,
      title: string | undefined,
      fill: (session: Session) => Steps<Value>,
    ): Promise<Value> {
      let staged: Session | undefined;
      const steps = function* () {
        const session = sessions.stage(call, title);
        staged = session;
        return { session, value: yield* fill(session) };
      };
      try {
        const staging = telling(call, steps());
        const { session, value } = await inTurns((work) => add(call, work, stage), call, staging);
        return add(call, () => {
          sessions.publish(session, call);
          return value;
        });
      } catch (error) {
        change(() => staged && sessions.discard(staged));
        await inTurns(change, { ...call, signal: never }, leftovers());
        throw error;
      }
    },

    /** Gone when the first turn ends; the rest frees the room that it took, also where the caller has gone. */
    remove: (call: Call, handle: string) =>
      inTurns(
        change,
        { ...call, signal: never },
        (function* () {
          const session = sessions.get(handle);
          sessions.remove(session);
          yield;
          for (let removed = 0; sessions.removeLeftovers(); removed += removedPerStep) {
            if (removed % removedPerProgress === 0) call.progress(removed, session.thoughts, 'Deleting');
            yield;
          }
          return session.thoughts;
        })(),
      ),

    kept: quotas.kept,

    [Symbol.dispose]: () => database.close(),
  };
}
