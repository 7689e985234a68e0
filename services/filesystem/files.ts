/** All that the tools of this service depend on. */
import { Lane } from '#runtime/lanes.ts';
import { contains, trashName } from '#runtime/roots.ts';
import type { Call } from '#runtime/tool.ts';

import { leadsTo, type Territory, type Way } from './beneath.ts';
import { changesAtOnce, longWorkAtOnce } from './limits.ts';
import { PathQueue } from './queues.ts';

export interface Settings extends Territory {
  /** How long deleted files can be restored; 0 for ever. */
  readonly trashDays: number;
  /** Of roots that were named and are left out. */
  readonly warnings: readonly string[];
}

/** A path, and whether it is that of a link itself. */
export type Touched = readonly [path: string, way?: Pick<Way, 'follow'>];

/** How often a change leaves its paths to others while it waits for those of its own caller: not for ever. */
const mostRounds = 5;

type Waiter = Pick<Call, 'signal' | 'caller'>;

export interface Files extends Settings, AsyncDisposable {
  /**
   * Changes of the same paths one after the other, so that what a change has looked at is still so when it is made; others
   * beside it. A call that was stopped while it waited does nothing.
   *
   * @param ways what the change touches, as the caller names it.
   * @param trashed what it touches in the trash.
   */
  change<Value>(
    call: Waiter,
    ways: readonly Touched[],
    work: () => Promise<Value>,
    trashed?: readonly string[],
  ): Promise<Value>;
  /** Walks, searches and copies, some at a time: they hold descriptors, processors and the threads that read files. */
  takeLong<Value>(call: Waiter, work: () => Promise<Value>): Promise<Value>;
  /** Work that no call waits for, one of a name at a time, and then the last of those that wait. It reports its own failures. */
  later(name: string, work: (signal: AbortSignal) => Promise<void>): void;
  /** By root: what the last time could not be removed from its trash, though its time is over. */
  readonly notExpired: Map<string, number>;
}

export function openFiles(settings: Settings): Files {
  const paths = new PathQueue();
  /** By caller: its changes of the same paths are made in the order in which they came. */
  const ownPaths = new Map<string, PathQueue>();
  const changes = new Lane(changesAtOnce);
  const long = new Lane(longWorkAtOnce);
  const stop = new AbortController();
  const running = new Map<string, Promise<void>>();
  const waiting = new Map<string, (signal: AbortSignal) => Promise<void>>();
  const begin = async (name: string) => {
    for (let work = waiting.get(name); work && !stop.signal.aborted; work = waiting.get(name)) {
      waiting.delete(name);
      await work(stop.signal).catch(() => {});
    }
    running.delete(name);
  };
  return {
    ...settings,
    async change<Value>(
      call: Waiter,
      ways: readonly Touched[],
      work: () => Promise<Value>,
      trashed: readonly string[] = [],
    ) {
      const lead = async () => Promise.all(ways.map(async ([path, way]) => leadsTo(settings, path, way)));
      const inTrash = trashed.map((id) => `/${trashName}/${id}`);
      const touched = async () => [...(await lead()), ...inTrash];
      const first = await touched();
      const own = ownPaths.get(call.caller) ?? new PathQueue();
      ownPaths.set(call.caller, own);
      try {
        return await own.run(first, call, async () => {
          for (let round = 1; ; round += 1) {
            const claimed = round === 1 ? first : await touched();
            const claim = async (go: () => Promise<Value>, isReady = () => true) =>
              paths.run(claimed, call, async () => {
                const now = await touched();
                // What was changed while it waited may lead elsewhere: then it waits again, for others.
                const isSame = now.every((path) => claimed.some((one) => contains(one, path)));
                return isSame && isReady() ? { value: await go() } : undefined;
              });
            const isReady = () => round >= mostRounds || changes.hasPlace(call.caller);
            const done = isReady()
              ? await claim(async () => changes.run(call, work), isReady)
              : await changes.run(call, async () => (paths.isFree(claimed) ? claim(work) : undefined));
            if (done) return done.value;
          }
        });
      } finally {
        if (own.isEmpty) ownPaths.delete(call.caller);
      }
    },
    takeLong: async (call, work) => long.run(call, work),
    later(name, work) {
      waiting.set(name, work);
      if (!running.has(name)) running.set(name, begin(name));
    },
    notExpired: new Map(),
    // What was begun is finished: a change is whole before the process ends.
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running.values());
      await Promise.all([...ownPaths.values()].map(async (own) => own.settled()));
    },
  };
}
