/** Hubs on one Redis, and messages between them, for the tests of that engine. */
import type { Log } from '#runtime/account/log.ts';
import type { Quota } from '#runtime/quotas.ts';

import type { Engine, EntryChange, Mailbox, Outgoing } from './engine.ts';
import type { RedisSettings } from './redis-link.ts';
import { openRedis } from './redis.ts';

export const start = Date.parse('2026-11-29T12:00:00Z');
const plenty: Quota = { items: 1_000_000, bytes: 1_000_000_000 };

export interface Hub extends AsyncDisposable {
  readonly engine: Engine;
  readonly changes: EntryChange[];
  readonly arrived: string[];
  /** What was logged. */
  readonly events: string[];
}

export async function openHub(
  url: string,
  settings: Partial<RedisSettings> = {},
  quota = plenty,
): Promise<Hub> {
  const changes: EntryChange[] = [];
  const arrived: string[] = [];
  const events: string[] = [];
  const say = (event: string, fields = {}) => void events.push(`${event} ${JSON.stringify(fields)}`);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const engine = await openRedis({ url, isCluster: false, prefix: 'hub', ...settings }, quota, log, {
    changed: (change) => void changes.push(change),
    arrived: (agent) => void arrived.push(agent),
  });
  return {
    engine,
    changes,
    arrived,
    events,
    [Symbol.asyncDispose]: async () => engine[Symbol.asyncDispose](),
  };
}

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
