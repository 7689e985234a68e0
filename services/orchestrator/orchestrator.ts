/** The orchestrator as one thing: the ledger, those who wait for it, and what it does by itself. */
import type { Log } from '#runtime/account/log.ts';
import type { Kept, Quota } from '#runtime/quotas.ts';

import { startClock, type LedgerClock } from './ledger/clock.ts';
import { closeChange, newChange, noNews, type Change, type News } from './ledger/change.ts';
import { countProjects, countTasks } from './ledger/counting.ts';
import type { Engine } from './ledger/engine.ts';
import { ProjectIds } from './ledger/naming.ts';
import type { Ledger } from './ledger/query.ts';
import type { View } from './ledger/reading.ts';
import { SkillSets } from './ledger/skill-sets.ts';
import { loadClock } from './ledger/sweeping.ts';
import { openPresence, type Presence } from './presence.ts';
import { noticesOf, newsIn } from './notices.ts';
import { noCounts, type Counts } from './states.ts';
import { beginTending, isAway, type Tending } from './tending.ts';
import { openWaiting, type Waiting } from './waiting.ts';

export const taskUri = (id: string): string => `orchestrator://task/${id}`;
export const projectUri = (id: string): string => `orchestrator://project/${id}`;

/** What operations run in. */
export interface Desk {
  readonly engine: Engine;
  readonly clock: LedgerClock;
  readonly sets: SkillSets;
  readonly log: Log;
  /** By the clock of the host. */
  now(): number;
  view(): View;
  /**
   * Changes the ledger; who waits for what it brings about is served in the same commit.
   *
   * @param then as of the engine.
   */
  change<Value>(operation: (change: Change) => Ledger<Value>, then?: (value: Value) => void): Promise<Value>;
  /** The same for a piece that nobody sees yet. */
  stage<Value>(operation: (change: Change) => Ledger<Value>): Promise<Value>;
  look<Value>(operation: (view: View) => Ledger<Value>): Promise<Value>;
}

export interface Orchestrator extends AsyncDisposable {
  readonly desk: Desk;
  readonly waiting: Waiting;
  readonly presence: Presence;
  readonly tending: Tending;
  /** Resolves when there are events that were not there when it was called. */
  onEvents(act: () => void): () => void;
  readonly kept: () => Kept;
  /** As last known: asked of the engine every few seconds. */
  readonly counts: () => { readonly tasks: Counts; readonly projects: Counts };
}

const countEveryMs = 5_000;
const lookEveryMs = 1_000;

export interface OrchestratorOptions {
  readonly engine: Engine;
  readonly quota: Quota;
  readonly retentionMs: number;
  readonly log: Log;
  readonly now: () => number;
  /** Milliseconds that nobody sets. */
  readonly uptimeMs: () => number;
  readonly resourceUpdated: (uri: string) => void;
}

export async function openOrchestrator(options: OrchestratorOptions): Promise<Orchestrator> {
  const { engine, quota, log, now } = options;
  const clock = startClock(await engine.look(loadClock), options.uptimeMs);
  const sets = new SkillSets();
  const ids = new ProjectIds();
  const listeners = new Set<() => void>();

  function announce({ hasEvents, tasks, projects }: Pick<News, 'hasEvents' | 'tasks' | 'projects'>): void {
    if (hasEvents) for (const act of listeners) act();
    for (const id of tasks) options.resourceUpdated(taskUri(id));
    for (const id of projects) options.resourceUpdated(projectUri(id));
  }

  const desk: Desk = {
    engine,
    clock,
    sets,
    log,
    now,
    view: () => ({ sets, ids, clock, wallMs: now() }),
    async change(operation, then) {
      let news = noNews();
      // Anew each time that it is run.
      function* whole() {
        const change = newChange(now(), clock.now(), quota);
        ({ news } = change);
        const value = yield* operation(change);
        yield* closeChange(change);
        return value;
      }
      try {
        const value = await engine.change(
          whole,
          (made) => {
            then?.(made);
            if (news.isReady) waiting.serve();
          },
          () => noticesOf(news),
        );
        announce(news);
        if (news.hasChores) tending.hurry();
        return value;
      } catch (error) {
        if (!engine.isShared) {
          sets.forget();
          ids.forget();
        }
        throw error;
      }
    },
    stage: async (operation) => engine.stage(() => operation(newChange(now(), clock.now(), quota))),
    look: async (operation) => engine.look(() => operation(desk.view())),
  };
  const presence = openPresence(desk);
  const waiting = openWaiting(desk, presence);
  const tending = beginTending(desk, presence, options.retentionMs);
  await tending.recover();
  engine.hear({
    told(text) {
      const news = newsIn(text);
      announce(news);
      for (const worker of news.workers) waiting.release(worker);
      if (news.isReady) waiting.serve();
    },
    missed() {
      announce({ ...noNews(), hasEvents: true });
      waiting.serve();
    },
  });

  let counts = { tasks: noCounts, projects: noCounts };
  async function countAll(): Promise<void> {
    try {
      counts = await desk.look(function* () {
        return { tasks: yield* countTasks(), projects: yield* countProjects() };
      });
    } catch (error) {
      if (!isAway(error)) log.warn('counting_failed', { error });
    }
  }
  await countAll();
  // A wake-up that was not heard costs a moment, and no task.
  const looking = engine.isShared ? setInterval(() => waiting.serve(), lookEveryMs) : undefined;
  looking?.unref();
  const counting = setInterval(() => void countAll(), countEveryMs);
  counting.unref();

  return {
    desk,
    waiting,
    presence,
    tending,
    onEvents(act) {
      listeners.add(act);
      return () => listeners.delete(act);
    },
    kept: () => engine.kept(),
    counts: () => counts,
    async [Symbol.asyncDispose]() {
      clearInterval(counting);
      clearInterval(looking);
      await tending[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}
