/** The hub as agents of other makers see it: A2A 1.0. */
import type { Log } from '#runtime/account/log.ts';

import type { Agents } from '../agents.ts';
import type { Directory } from '../directory.ts';
import type { Mesh } from '../mesh.ts';
import type { Sending } from '../sending.ts';
import { openGuests } from './guests.ts';
import type { Tasks } from './tasks.ts';

export interface Face extends AsyncDisposable {
  /** Loaded when they are first asked for. */
  tasks(): Promise<Tasks>;
  /** Requests and streams that wait for an agent. */
  waiting(): number;
  /** Ends streams, and answers those who wait with how their task stands. */
  stop(): void;
  readonly directory: Directory;
  readonly areCardsOpen: boolean;
  readonly log: Log;
  readonly now: () => number;
}

export function openFace(mesh: Mesh, agents: Agents, sending: Sending, areCardsOpen: boolean): Face {
  const guests = openGuests(mesh, agents);
  const closing = new AbortController();
  const { directory, log, now } = mesh;
  let tasks: Tasks | undefined;
  return {
    async tasks() {
      const { openTasks } = await import('./tasks.ts');
      return (tasks ??= openTasks(mesh, sending, guests, closing.signal));
    },
    waiting: () => tasks?.waiting() ?? 0,
    stop: () => closing.abort(),
    directory,
    areCardsOpen,
    log,
    now,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await guests[Symbol.asyncDispose]();
    },
  };
}
