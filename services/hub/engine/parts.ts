/** What is done in one go, where there is more. */
import type { Outgoing } from './engine.ts';

const mostBytes = 8 * 1_048_576;

/** In order, each with so many mailboxes and bytes at most: a message to very many is one by itself. */
export function partsOf(messages: readonly Outgoing[], mostPlaces: number): Outgoing[][] {
  const parts: Outgoing[][] = [];
  let [places, bytes] = [Infinity, Infinity];
  for (const message of messages) {
    const [ownPlaces, ownBytes] = [1 + message.mailboxes.length, message.stored.body.bytes.byteLength];
    if (places + ownPlaces > mostPlaces || bytes + ownBytes > mostBytes) {
      parts.push([]);
      [places, bytes] = [0, 0];
    }
    parts.at(-1)?.push(message);
    places += ownPlaces;
    bytes += ownBytes;
  }
  return parts;
}

/** In order; at least one, which may be empty. */
export function slicesOf<Item>(items: readonly Item[], most: number): readonly (readonly Item[])[] {
  const count = Math.max(1, Math.ceil(items.length / most));
  return Array.from({ length: count }, (_, at) => items.slice(at * most, (at + 1) * most));
}

interface DeadPlace {
  readonly at: number;
  readonly seq: number;
  readonly agent: string;
}

/** The newest of the dead letters of several lanes, each once. */
export function newestDead<Dead extends DeadPlace>(all: readonly Dead[], most: number): Dead[] {
  const sorted = all.toSorted(
    (one, other) => other.at - one.at || other.seq - one.seq || (other.agent < one.agent ? -1 : 1),
  );
  return sorted
    .filter(({ seq, agent }, at) => seq !== sorted[at - 1]?.seq || agent !== sorted[at - 1]?.agent)
    .slice(0, most);
}
