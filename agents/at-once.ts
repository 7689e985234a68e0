/** Work that an agent does at once for whoever asks: it stands in no ledger, and nobody tries it again. */
import { randomUUID } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';

import { outcomeOf, type Doer, type Doing, type Settled } from './doing.ts';
import type { Step } from './steps.ts';
import type { Counts } from './worker.ts';

export interface Order {
  readonly title: string;
  readonly description?: string | undefined;
  readonly steps?: readonly Step[] | undefined;
  readonly goal?: string | undefined;
  /** To what was asked when the same was ordered before. */
  readonly answer?: string | undefined;
}

export type AtOnce = ReturnType<typeof openAtOnce>;

export function openAtOnce(doer: Doer, most: number, counts: Counts) {
  const atWork = new Map<string, number>();
  /** Of one token: where there is room for several, it leaves some to others. */
  const mostOfOne = Math.max(1, most - 1);
  const count = () => [...atWork.values()].reduce((sum, one) => sum + one, 0);

  function enter(caller: string): Disposable {
    const own = atWork.get(caller) ?? 0;
    if (own >= mostOfOne || count() >= most)
      throw new ToolError('unavailable', `${doer.agent} is at as many tasks as it does at once.`, {
        hint: 'Give it the task later, or make the task at the orchestrator, where it waits for its turn.',
        retryAfterMs: 1_000,
      });
    atWork.set(caller, own + 1);
    return {
      [Symbol.dispose]() {
        const left = (atWork.get(caller) ?? 1) - 1;
        if (left > 0) atWork.set(caller, left);
        else atWork.delete(caller);
      },
    };
  }

  return {
    count,
    /** @throws ToolError unavailable where there is no room; whatever aborted the signal. */
    async execute(
      { answer, ...order }: Order,
      caller: string,
      nowMs: number,
      doing: Doing,
    ): Promise<Settled> {
      using _place = enter(caller);
      const task = {
        ...order,
        steps: order.steps && [...order.steps],
        task_id: randomUUID(),
        project_id: null,
        type: 'at-once',
        owner: caller,
        depends_on: [],
        answers:
          answer === undefined
            ? []
            : [{ answer, answered_by: caller, answered_at: new Date(nowMs).toISOString() }],
      };
      const settled = await outcomeOf(task, doer, doing);
      counts['result' in settled ? 'completed' : 'question' in settled ? 'asked' : 'failed'] += 1;
      return settled;
    },
  };
}
