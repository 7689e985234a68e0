/** The hub as one thing: its parts, over one engine. */
import type { Log } from '#runtime/account/log.ts';
import type { Kept } from '#runtime/quotas.ts';

import { openFace, type Face } from './a2a/face.ts';
import { openAgents, type Agents } from './agents.ts';
import { openContexts, type Contexts } from './contexts.ts';
import { Directory } from './directory.ts';
import type { Engine, Listener, Totals } from './engine/engine.ts';
import { openFailures, type FailureOptions, type Failures } from './errors/failures.ts';
import { openHistory, type History } from './history.ts';
import { topics } from './limits.ts';
import type { Mesh, Policy } from './mesh.ts';
import { packingOf } from './packing.ts';
import { openReceiving, type Receiving } from './receiving.ts';
import { openReserving, type Reserving } from './reserving.ts';
import { openSending, type Sending } from './sending.ts';
import { beginTending, type Tending } from './tending.ts';

export interface Hub extends AsyncDisposable {
  readonly mesh: Mesh;
  readonly agents: Agents;
  readonly sending: Sending;
  readonly receiving: Receiving;
  readonly history: History;
  readonly reserving: Reserving;
  readonly contexts: Contexts;
  readonly failures: Failures;
  readonly tending: Tending;
  /** For agents of other makers. */
  readonly a2a: Face;
  /** As last known: asked of the engine every few seconds. */
  readonly totals: () => Totals;
  readonly kept: () => Kept;
  /** What is wrong with the engine; empty when nothing is. */
  readonly obstacle: () => string | undefined;
}

export interface HubOptions {
  readonly openEngine: (listener: Listener) => Engine | Promise<Engine>;
  readonly policy: Policy;
  readonly compressionLevel: number;
  /** Whether cards of agents are shown to those who have no token. */
  readonly areCardsOpen?: boolean;
  readonly failures: Pick<FailureOptions, 'file' | 'scope' | 'windows' | 'metrics'>;
  readonly log: Log;
  readonly now: () => number;
  /** Told when something may be received by an agent. */
  readonly arrived: (agent: string) => void;
}

/** Of an alert. */
const priorityOf = { low: 'low', medium: 'normal', high: 'high', critical: 'critical' } as const;

const countEveryMs = 5_000;

export async function openHub(options: HubOptions): Promise<Hub> {
  const { policy, log, now, compressionLevel } = options;
  const directory = new Directory();
  const waiters = new Map<string, Set<() => void>>();
  const engine = await options.openEngine({
    changed(change) {
      const fault = directory.apply(change);
      if (fault !== undefined) log.warn('entry_unreadable', { fault });
    },
    arrived(agent) {
      for (const act of waiters.get(agent) ?? []) act();
      options.arrived(agent);
    },
  });
  const failures = openFailures({
    ...options.failures,
    engine,
    log,
    publish: async (alert) =>
      sending.say({
        topic: topics.alert,
        type: 'system_status',
        priority: priorityOf[alert.severity],
        body: { event: 'alert', detail: alert.summary, ...alert },
      }),
  });
  const mesh: Mesh = {
    engine,
    failures,
    directory,
    packing: packingOf(compressionLevel),
    policy,
    log,
    now,
    onArrival(agent, act) {
      const others = waiters.get(agent);
      if (others) others.add(act);
      else waiters.set(agent, new Set([act]));
      return () => {
        const all = waiters.get(agent);
        all?.delete(act);
        if (all?.size === 0) waiters.delete(agent);
      };
    },
  };
  const agents = openAgents(mesh);
  const sending = openSending(mesh, agents);
  const tending = beginTending(mesh, agents, sending);
  const a2a = openFace(mesh, agents, sending, options.areCardsOpen ?? false);

  let totals = await engine.totals();
  let obstacle: string | undefined;
  async function count(): Promise<void> {
    try {
      totals = await engine.totals();
      obstacle = undefined;
    } catch (error) {
      obstacle = error instanceof Error ? error.message : 'The engine does not answer.';
    }
  }
  const counting = setInterval(() => {
    void count();
  }, countEveryMs);
  counting.unref();

  return {
    mesh,
    agents,
    sending,
    receiving: openReceiving(mesh, agents, sending),
    history: openHistory(mesh, agents),
    reserving: openReserving(mesh, agents),
    contexts: openContexts(mesh, agents),
    failures,
    tending,
    a2a,
    totals: () => totals,
    kept: () => engine.kept(),
    obstacle: () => obstacle,
    async [Symbol.asyncDispose]() {
      clearInterval(counting);
      await a2a[Symbol.asyncDispose]();
      await tending[Symbol.asyncDispose]();
      await agents.share().catch((error: unknown) => log.warn('heartbeats_not_kept', { error }));
      failures[Symbol.dispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}
