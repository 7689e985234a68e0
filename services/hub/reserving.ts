/** Names that agents reserve before they change what has them: files, branches, tickets. */
import { ToolError } from '#runtime/errors.ts';

import type { Agents } from './agents.ts';
import type { Reservation } from './engine/engine.ts';
import { mostReservationsPerToken } from './limits.ts';
import type { AgentName } from './message.ts';
import type { Mesh } from './mesh.ts';

export type Reserving = ReturnType<typeof openReserving>;

export interface ReservationWish {
  readonly agent: AgentName;
  readonly names: readonly string[];
  readonly isShared: boolean;
  readonly reason: string;
  readonly ttlMs: number;
}

export function openReserving({ engine, directory, now }: Mesh, agents: Agents) {
  const told = ({ name, agent, reason, untilMs }: Reservation) => {
    const why = reason === '' ? '' : ` (${reason})`;
    const gone = directory.isGone(agent) ? ', which has not been heard of for a while,' : '';
    return `${name} is reserved by ${agent}${gone} until ${new Date(untilMs).toISOString()}${why}`;
  };

  return {
    /** @throws ToolError conflict with who has what; nothing is reserved then. */
    async reserve({ agent, names, isShared, reason, ttlMs }: ReservationWish, caller: string) {
      const nowMs = now();
      await agents.acting(agent, caller, nowMs);
      const own = (await engine.reservations(nowMs)).filter(({ owner }) => owner === caller);
      const others = own.filter((one) => one.agent !== agent || !names.includes(one.name));
      if (others.length + names.length > mostReservationsPerToken)
        throw new ToolError(
          'too_large',
          `Your token would have more than ${mostReservationsPerToken} reservations.`,
          {
            hint: 'Release some, or reserve a folder with /** at its end.',
          },
        );
      const wanted = [...new Set(names)].map((name) => ({
        name,
        agent,
        owner: caller,
        isShared,
        reason,
        sinceMs: nowMs,
        untilMs: nowMs + ttlMs,
      }));
      const result = await engine.reserve(wanted, nowMs);
      if ('made' in result) return result.made;
      const [first] = result.held;
      const more = result.held.length > 1 ? ` ${result.held.length - 1} more are in the way.` : '';
      throw new ToolError(
        'conflict',
        `${first ? told(first) : 'It is reserved'}. Nothing was reserved.${more}`,
        {
          hint: 'Ask its holder with send_message, wait until then, or work on something else.',
          isUntrusted: true,
        },
      );
    },

    async release(agent: AgentName, names: readonly string[] | undefined, caller: string) {
      await agents.acting(agent, caller, now());
      return engine.unreserve(agent, names);
    },

    list: async () => engine.reservations(now()),
  };
}
