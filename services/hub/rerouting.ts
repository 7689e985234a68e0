/** Work that was given to one agent for its capability, and that others can do as well. */
import type { AgentName, Stored } from './message.ts';
import { mailboxOf } from './directory.ts';
import type { Mesh } from './mesh.ts';
import { anotherFor } from './routing/route.ts';

/** They share a commit; others are served between two of these. */
const atOnce = 50;

interface Leaving {
  readonly agent: AgentName;
  /** Whether nobody has the name any more. Who takes it meanwhile keeps what comes. */
  readonly hasLeft: boolean;
}

type Parts = Pick<Mesh, 'engine' | 'directory' | 'now'>;

/** For which capability an agent got a message that others could have got as well. What goes to all who have it has gone to the others already. */
function capabilityOf({ envelope, receivers }: Stored, agent: AgentName): string | undefined {
  const { capability, pickedFor = [] } = envelope;
  if (capability?.pick === 'any') return capability.name;
  // One that got it from another agent is not among its receivers.
  const isFirst = receivers.includes(agent);
  return pickedFor.find(([picked]) => picked === agent || !isFirst)?.[1];
}

async function handOverOne(parts: Parts, { agent, hasLeft }: Leaving, seq: number): Promise<boolean> {
  const { engine, directory, now } = parts;
  const stored = await engine.at(seq);
  const capability = stored && capabilityOf(stored, agent);
  if (!stored || capability === undefined || stored.envelope.expiresAtMs <= now()) return false;
  const { source } = stored.envelope;
  const to = await anotherFor(directory, capability, {
    loads: async (names) => engine.loads(names),
    nowMs: now(),
    // Whoever gets it has to be able to read it to its end.
    fits: ({ key, owner }) =>
      key !== source && key !== agent && (owner === stored.owner || stored.readers.includes(owner)),
  });
  return to !== undefined && (await engine.move({ agent, seq, hasLeft }, mailboxOf(to), now())) === 'queued';
}

/** Gives what waits for an agent that is gone or has left, because it could do it, to others who can. @returns how many messages. */
export async function handOver(parts: Parts, leaving: Leaving): Promise<number> {
  let count = 0;
  for (let after = 0; ;) {
    const seqs = await parts.engine.queued(leaving.agent, after, atOnce); // oxlint-disable-line no-await-in-loop -- piece after piece
    const moved = await Promise.all(seqs.map(async (seq) => handOverOne(parts, leaving, seq))); // oxlint-disable-line no-await-in-loop -- piece after piece
    count += moved.filter(Boolean).length;
    if (seqs.length < atOnce) return count;
    after = seqs.at(-1) ?? after;
  }
}
