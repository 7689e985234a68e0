/** Messages that are stored in one go. */
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
