/** What is done in one go, where there is more. */
import { ToolError } from '#runtime/errors.ts';

import type { Appended, Outgoing, Placed } from './engine.ts';

const mostBytes = 8 * 1_048_576;

/** In order, each with so many mailboxes and bytes at most: a message to very many is one by itself. */
function partsOf(messages: readonly Outgoing[], mostPlaces: number): Outgoing[][] {
  const parts: Outgoing[][] = [];
  let [places, bytes] = [Infinity, Infinity];
  for (const message of messages) {
    const [ownPlaces, ownBytes] = [
      Math.max(1, message.mailboxes.length),
      message.stored.body.bytes.byteLength,
    ];
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

const laneOf = ({ stored }: Outgoing, agent: string) => `${stored.envelope.source}\0${agent}`;

/**
 * Stores messages part by part. What one sender sends to a mailbox comes in order: where a message was refused, what the sender has for
 * that mailbox in later parts is refused as well, though there may be room again by then. Where the store fails after the first part,
 * what was kept before stays told as kept.
 */
export async function inParts(
  messages: readonly Outgoing[],
  mostPlaces: number,
  store: (part: readonly Outgoing[], isFirst: boolean) => Promise<readonly Appended[]>,
): Promise<Appended[]> {
  const all: Appended[] = [];
  const full = new Set<string>();
  let isOverQuota = false;
  let hasFailed = false;
  const failed: Appended = { outcome: 'failed', seq: 0, placed: [] };
  const refusalOf = (message: Outgoing): Appended | undefined => {
    if (hasFailed) return failed;
    if (isOverQuota) return { outcome: 'over_quota', seq: 0, placed: [] };
    if (!message.mailboxes.some(({ agent }) => full.has(laneOf(message, agent)))) return undefined;
    const placed = message.mailboxes.map(({ agent }): Placed => ({ agent, outcome: 'full', dropped: 0 }));
    return { outcome: 'full', seq: 0, placed };
  };
  async function storeSome(part: readonly Outgoing[]): Promise<readonly Appended[]> {
    try {
      return await store(part, all.length === 0);
    } catch (error) {
      if (all.length === 0 || !(error instanceof ToolError) || error.code !== 'unavailable') throw error;
      hasFailed = true;
      return part.map(() => failed);
    }
  }
  for (const part of partsOf(messages, mostPlaces)) {
    const refusals = part.map(refusalOf);
    const accepted = part.filter((_, at) => refusals[at] === undefined);
    const appended = accepted.length > 0 ? await storeSome(accepted) : []; // oxlint-disable-line no-await-in-loop -- in order, and others are served between them
    for (const [at, message] of accepted.entries()) {
      const outcome = appended[at]?.outcome;
      if (outcome === 'full') for (const { agent } of message.mailboxes) full.add(laneOf(message, agent));
      isOverQuota ||= outcome === 'over_quota';
    }
    let next = 0;
    for (const refusal of refusals) all.push(refusal ?? (appended[next++] as Appended));
  }
  return all;
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
