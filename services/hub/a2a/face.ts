/** The hub as agents of other makers see it: A2A 1.0. */
import type { Log } from '#runtime/account/log.ts';

import type { Agents } from '../agents.ts';
import type { Directory } from '../directory.ts';
import type { Mesh } from '../mesh.ts';
import type { Sending } from '../sending.ts';
import { openGuests } from './guests.ts';
import { openTasks, type Tasks } from './tasks.ts';

export interface Face extends AsyncDisposable {
  readonly tasks: Tasks;
  readonly directory: Directory;
  readonly areCardsOpen: boolean;
  readonly log: Log;
  readonly now: () => number;
}

export function openFace(mesh: Mesh, agents: Agents, sending: Sending, areCardsOpen: boolean): Face {
  const guests = openGuests(mesh, agents);
  const { directory, log, now } = mesh;
  return {
    tasks: openTasks(mesh, sending, guests),
    directory,
    areCardsOpen,
    log,
    now,
    [Symbol.asyncDispose]: async () => guests[Symbol.asyncDispose](),
  };
}
