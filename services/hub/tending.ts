/** What the hub does by itself: ends leases, finds out who has gone, lets go of what is old. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';

import type { Agents, Gone } from './agents.ts';
import { sweepMs, topics } from './limits.ts';
import type { Mesh } from './mesh.ts';
import { handOver } from './rerouting.ts';
import type { Sending } from './sending.ts';

const shareEveryMs = 5_000;
const trimmedAtOnce = 500;
/** How many of a sweep's dead letters are told one by one. */
const mostAnnounced = 50;

export type Tending = ReturnType<typeof beginTending>;

/** Goes on until it is disposed. A round that fails is logged, and tried again in the next. */
export function beginTending(mesh: Mesh, agents: Agents, sending: Sending) {
  const { engine, policy, failures, log, now } = mesh;
  let sharedAtMs = 0;
  let trimmedAtMs = 0;
  let round: Promise<void> = Promise.resolve();
  const stopping = new AbortController();
  const counts = { expired: 0, lapsed: 0, gone: 0, trimmed: 0 };

  async function sweep(): Promise<void> {
    for (let isMore = true; isMore && !stopping.signal.aborted;) {
      const result = await engine.sweep(now(), policy.mostAttempts); // oxlint-disable-line no-await-in-loop -- piece after piece
      for (const dead of result.dead) {
        if (dead.reason === 'expired') counts.expired += 1;
        else counts.lapsed += 1;
      }
      for (const dead of result.dead.slice(0, mostAnnounced)) await sending.announceDead(dead); // oxlint-disable-line no-await-in-loop -- one after the other is gentle
      ({ isMore } = result);
    }
  }

  /** For whom it fails, it is done in a later round; the others wait only while the store is away. */
  async function forEach<Item>(items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
    for (const item of items) {
      try {
        await act(item); // oxlint-disable-line no-await-in-loop -- one after the other is gentle
      } catch (error) {
        if (error instanceof ToolError && error.code === 'unavailable') throw error;
        log.warn('tending_failed', { error });
      }
    }
  }

  async function lookAfter(gone: Gone): Promise<void> {
    const { agent, seenMs } = gone;
    for (let isMore = true; isMore;) {
      const back = await engine.release(agent.key, now(), policy.mostAttempts); // oxlint-disable-line no-await-in-loop -- piece after piece
      gone.returned += back.returned;
      gone.dead.push(...back.dead);
      ({ isMore } = back);
    }
    const handedOver = await handOver(mesh, { agent: agent.key, hasLeft: false });
    const released = await engine.unreserve(agent.key, undefined);
    agents.attended(gone);
    const { returned, dead } = gone;
    counts.gone += 1;
    for (const one of dead) await sending.announceDead(one); // oxlint-disable-line no-await-in-loop -- one after the other is gentle
    if (returned + dead.length > 0)
      failures.record(
        [
          {
            agent: agent.key,
            owner: agent.owner,
            code: 'agent_gone',
            message: 'The agent was gone while it had messages at work.',
            lostAttempts: returned + dead.length,
            delayedMessages: returned,
          },
        ],
        now(),
      );
    log.info('agent_gone', { agent: agent.key, returned, handedOver, released: released.length });
    await sending.announce({
      // The same at every hub that finds it out, so that it is said once.
      id: `gone:${agent.key}:${seenMs}`,
      topic: topics.agents,
      type: 'system_status',
      body: {
        event: 'agent_gone',
        agent: agent.key,
        last_seen: new Date(seenMs).toISOString(),
      },
    });
  }

  async function findGone(): Promise<void> {
    await agents.share();
    await forEach(agents.leaving(), async (name) => agents.finishLeaving(name, now()));
    await forEach(agents.gone(now()), lookAfter);
  }

  async function trim(): Promise<void> {
    for (let count = trimmedAtOnce; count === trimmedAtOnce && !stopping.signal.aborted;) {
      count = await engine.trim(now() - policy.retentionMs, trimmedAtOnce); // oxlint-disable-line no-await-in-loop -- piece after piece
      counts.trimmed += count;
    }
    while (failures.sweep(now()) && !stopping.signal.aborted) await nextTurn(); // oxlint-disable-line no-await-in-loop -- piece after piece
  }

  async function tend(): Promise<void> {
    try {
      await sweep();
      if (now() - sharedAtMs >= shareEveryMs || now() < sharedAtMs) {
        await findGone();
        sharedAtMs = now();
      }
      if (now() - trimmedAtMs >= policy.trimEveryMs || now() < trimmedAtMs) {
        await trim();
        trimmedAtMs = now();
      }
    } catch (error) {
      if (!stopping.signal.aborted) log.warn('tending_failed', { error });
    }
  }

  /** One round after the other: two at once would look after the same agents. */
  async function tendNext(): Promise<void> {
    round = round.then(tend);
    return round;
  }

  let isTending = false;
  const timer = setInterval(() => {
    if (isTending) return;
    isTending = true;
    void tendNext().finally(() => {
      isTending = false;
    });
  }, sweepMs);
  timer.unref();

  return {
    counts,
    /** One round now: for tests, and at the start. */
    tend: tendNext,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      clearInterval(timer);
      await round;
    },
  };
}
