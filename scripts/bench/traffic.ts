/** Puts a server under load and says what came back. */
import { fileURLToPath } from 'node:url';

import { UnavailableError } from '#runtime/errors.ts';

import { Child, loadCpu } from './child.ts';

export interface TrafficRequest {
  readonly headers: Readonly<Record<string, string>>;
  /** Posted to `/mcp`. */
  readonly body: string;
}

/** What is asked for by GET. */
export interface GetRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly path: string;
}

export interface TrafficOrder {
  readonly url: string;
  readonly connections: number;
  /** Either a time or a number of calls. */
  readonly seconds?: number;
  readonly calls?: number;
  /** Each connection sends them in turn. */
  readonly requests: readonly (TrafficRequest | GetRequest)[];
  /** No more than so many are sent; as many as are answered, unless given. */
  readonly perSecond?: number;
  /** Every answer has this text in it, and is no tool's failure; others count as failed. */
  readonly mustSay?: string;
}

export interface Traffic {
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Status other than 2xx, broken connections, timeouts, and answers that are not what was asked for. */
  readonly failed: number;
  /** Of one core: near 100 the load generator is what was measured. */
  readonly cpuPercent: number;
}

const script = fileURLToPath(new URL('traffic-process.ts', import.meta.url));

export async function sendTraffic(order: TrafficOrder): Promise<Traffic> {
  await using generator = new Child([process.execPath, script], { cpu: loadCpu });
  generator.send(order);
  return (await generator.messageWith('calls')) as Traffic;
}

/** @throws UnavailableError when the load generator is not there. */
export function requireAutocannon(): void {
  try {
    import.meta.resolve('autocannon');
  } catch {
    throw new UnavailableError(
      'The bench needs autocannon, a development dependency: run "npm ci" without --omit=dev.',
    );
  }
}
