/** Hubs on one Redis, for the tests of that engine. */
import type { Log } from '#runtime/account/log.ts';
import type { Quota } from '#runtime/quotas.ts';

import type { Engine, EntryChange } from './engine.ts';
import type { RedisSettings } from './redis-link.ts';
import { openRedis } from './redis.ts';

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
