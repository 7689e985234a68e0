/**
 * Who has an interpreter. There are only so many, and only so much memory for all of them together: the token that takes
 * most gives way first, so that none can push out the others.
 */
import { ToolError } from '#runtime/errors.ts';

import type { Program } from './program.ts';

export interface Place {
  readonly owner: string;
  /** `undefined` when it is for one run alone. */
  readonly session: number | undefined;
  program: Pick<Program, 'end' | 'expel' | 'heldBytes'> | undefined;
  isBusy: boolean;
  usedAtMs: number;
}

/** @param leave gives an idle place back. */
export function openPlaces(most: number, mostBytes: number, leave: (place: Place) => void) {
  const taken = new Set<Place>();
  /** At work at once, of one token: some places are left to the others. */
  const mostBusy = Math.max(1, most - Math.max(1, Math.floor(most / 4)));

  function makeRoom(owner: string): void {
    const holders = holdersOf(taken, () => 1);
    const own = holders.find((one) => one.owner === owner);
    if ((own?.busy ?? 0) >= mostBusy) throw full(`${mostBusy} interpreters of this token are at work`);
    if (taken.size < most) return;
    const held = own?.held ?? 0;
    const idle = holders.find((one) => one.idle && (one === own || one.held > held))?.idle;
    if (!idle) throw full(`All ${most} interpreters are taken, and no other token has more than this one`);
    leave(idle);
  }

  return {
    /** @throws ToolError `unavailable`. */
    take(owner: string, session?: number): Place {
      makeRoom(owner);
      const place = { owner, session, program: undefined, isBusy: true, usedAtMs: performance.now() };
      taken.add(place);
      return place;
    },

    /** Its program ends. */
    async giveBack(place: Place): Promise<void> {
      taken.delete(place);
      await place.program?.end();
    },

    /** Those that take most memory give way until there is room: idle ones fall asleep, then one at work ends. */
    holdMemory(): void {
      for (;;) {
        const [first, ...others] = holdersOf(taken, bytesOf);
        if (!first || first.held + others.reduce((sum, { held }) => sum + held, 0) <= mostBytes) return;
        if (!first.idle) {
          // Its end takes a moment, in which it still counts: nobody else is to make up for it.
          first.largest.program?.expel();
          return;
        }
        leave(first.idle);
      }
    },
  };
}

const full = (why: string) =>
  new ToolError('unavailable', `${why}.`, {
    hint: 'Try again when a run has ended, or end one with interrupt_python.',
    retryAfterMs: 1_000,
  });

const bytesOf = ({ program }: Place) => program?.heldBytes() ?? 0;

interface Holder {
  readonly owner: string;
  readonly held: number;
  readonly busy: number;
  /** The one that was used longest ago. */
  readonly idle: Place | undefined;
  readonly largest: Place;
}

/** Whoever holds most first. */
function holdersOf(places: Iterable<Place>, weightOf: (place: Place) => number): Holder[] {
  const holders = [...Map.groupBy(places, ({ owner }) => owner)].map(([owner, own]): Holder => {
    const byUse = own.toSorted((one, other) => one.usedAtMs - other.usedAtMs);
    return {
      owner,
      held: own.reduce((sum, place) => sum + weightOf(place), 0),
      busy: own.filter(({ isBusy }) => isBusy).length,
      idle: byUse.find(({ isBusy }) => !isBusy),
      largest: own.reduce((one, other) => (weightOf(other) > weightOf(one) ? other : one)),
    };
  });
  const oldest = ({ idle }: Holder) => idle?.usedAtMs ?? Infinity;
  return holders.toSorted((one, other) => other.held - one.held || (oldest(one) < oldest(other) ? -1 : 1));
}
