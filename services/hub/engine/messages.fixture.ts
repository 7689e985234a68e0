/** Messages and mailboxes as the tests of engines send and receive them. */
import type { Delivered, Engine, Mailbox, Outgoing } from './engine.ts';

export const start = Date.parse('2026-11-29T12:00:00Z');

export const boxOf = (agent: string, overrides: Partial<Mailbox> = {}): Mailbox => ({
  agent,
  owner: `token of ${agent}`,
  most: 1_000_000,
  whenFull: 'reject',
  ...overrides,
});

export function messageOf(
  id: string,
  agents: readonly (string | Mailbox)[],
  envelope: Partial<Outgoing['stored']['envelope']> = {},
  body: unknown = id,
): Outgoing {
  const bytes = Buffer.from(JSON.stringify(body));
  return {
    digest: bytes.toString().slice(0, 100),
    mailboxes: agents.map((agent) => (typeof agent === 'string' ? boxOf(agent) : agent)),
    stored: {
      owner: 'sender',
      readers: [],
      receivers: [],
      body: { encoding: 'json', bytes, sizeBytes: bytes.length },
      envelope: {
        id,
        type: 'request',
        source: 'sender',
        priority: 'normal',
        timeMs: start,
        expiresAtMs: start + 3_600_000,
        correlationId: id,
        ...envelope,
      },
    },
  };
}

export async function leaseOf(
  engine: Pick<Engine, 'lease'>,
  agent: string,
  overrides: object = {},
): Promise<readonly Delivered[]> {
  return engine.lease({
    agent,
    most: 10,
    mostBytes: 1_000_000,
    untilMs: start + 60_000,
    nowMs: start,
    isOrdered: true,
    ...overrides,
  });
}
