/** What happens, for those who listen: `GET /events?after=0` and `listen` over `/socket`. */
import { z } from 'zod';

import type { Listened, ListenedEvent } from '#runtime/service.ts';

import { projectIdField, taskIdField } from './fields.ts';
import { eventsAfter, filterOf, newestSeq, type EventFilter } from './ledger/events.ts';
import type { Orchestrator } from './orchestrator.ts';
import { listTaskEvents } from './tools/events.ts';

const parameters = z.object({
  /** seq of the last event that is known; without it, what happens from now on. */
  after: z.coerce.number().int().min(0).optional(),
  project_id: projectIdField.optional(),
  task_id: taskIdField.optional(),
});

const readAtOnce = 100;

/** Each event is named by its type; its id is its place, with which a client goes on after a break. */
export const listened: Listened<Orchestrator> = {
  effect: 'read',
  tool: listTaskEvents,
  parameters,
  async listen(given, orchestrator, { signal }) {
    const { after, ...wish } = given as z.output<typeof parameters>;
    const begin = await orchestrator.desk.look(function* () {
      return { filter: yield* filterOf(wish), after: after ?? (yield* newestSeq()) };
    });
    return follow(orchestrator, begin.filter, begin.after, signal);
  },
};

async function* follow(
  orchestrator: Orchestrator,
  filter: EventFilter,
  begin: number,
  signal: AbortSignal,
): AsyncGenerator<ListenedEvent> {
  const { desk } = orchestrator;
  let after = begin;
  while (!signal.aborted) {
    const news = Promise.withResolvers<void>();
    // Listening before looking: nothing comes in between unheard.
    const unsay = orchestrator.onEvents(news.resolve);
    const wake = () => news.resolve();
    signal.addEventListener('abort', wake);
    try {
      const from = after;
      const { events, newest } = await desk.look(function* () {
        return { newest: yield* newestSeq(), events: yield* eventsAfter(filter, from, readAtOnce) };
      });
      for (const event of events) {
        yield { id: String(event.seq), event: event.type, data: event };
        after = event.seq;
      }
      if (events.length === readAtOnce) continue;
      // What came in between and does not fit the filter is not looked at again.
      after = Math.max(after, newest);
      await news.promise;
    } finally {
      unsay();
      signal.removeEventListener('abort', wake);
    }
  }
}
