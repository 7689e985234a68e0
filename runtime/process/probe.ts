/** One look at a process from outside: does it answer as itself, and can it do its job? */
import { get } from 'node:http';
import { performance } from 'node:perf_hooks';

import { z } from 'zod';

import { headSchema, type Head } from '../account/audit-chain.ts';
import { plainText } from '../plain-text.ts';
import { redacted } from '../redaction.ts';

export interface Probe {
  /** `not_ready` answers, but says that it cannot do its job. */
  readonly result: 'up' | 'not_ready' | 'down';
  /** Of `/health`; `null` when that did not answer. */
  readonly latencyMs: number | null;
  /** Why it is not up. */
  readonly reason: string | null;
  /** How far its audit trail has come; not said by a process that is down, or of an older version. */
  readonly audit?: Head | undefined;
  /** What it keeps for its callers; not said by one that counts nothing. */
  readonly kept?: Keeping | undefined;
  /** What a token that reads is to find there by MCP; not said by one that does not speak it. */
  readonly mcp?: Offered | undefined;
  /** Names of those that it stands in front of. */
  readonly upstreams?: readonly string[] | undefined;
}

const offeredSchema = z.object({
  tools: z.number().optional(),
  digest: z.string().optional(),
  canary: z.object({ tool: z.string(), arguments: z.record(z.string(), z.unknown()) }).optional(),
});
export type Offered = z.output<typeof offeredSchema>;

/** Longer than the name of any token. */
const maxOwnerLength = 100;

/** With the token that has used the largest share of its quota: it is the first to be refused. */
export const keepingSchema = z.object({
  bytes: z.number(),
  fullest: z
    .object({ owner: z.string().transform((owner) => plainText(owner, maxOwnerLength)), share: z.number() })
    .optional(),
});
export type Keeping = z.output<typeof keepingSchema>;

const maxBodyBytes = 256 * 1024;
const maxReasonLength = 200;

const healthSchema = z.object({
  name: z.string(),
  audit: headSchema.optional().catch(undefined),
  kept: keepingSchema.optional().catch(undefined),
  mcp: offeredSchema.optional().catch(undefined),
  upstreams: z
    .array(z.object({ name: z.string() }).transform(({ name }) => name))
    .optional()
    .catch(undefined),
});
const readySchema = z.object({ reasons: z.array(z.string()) });

/** Always comes to a result, at the latest when `deadlineMs` has passed or `stop` is aborted. */
export async function probe(
  target: { readonly name: string; readonly port: number },
  deadlineMs: number,
  stop: AbortSignal,
): Promise<Probe> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(deadlineMs)]);
  const ask = async (path: string) => fetchText(target.port, path, signal).catch(failureOf(deadlineMs));
  const [health, ready] = await Promise.all([ask('/health'), ask('/ready')]);

  if ('failure' in health) return down(health.failure);
  const said = read(healthSchema, health.body);
  if (said?.name !== target.name) {
    return down(`another program answers on port ${target.port}`);
  }
  if (health.status !== 200) return down(`/health answers ${health.status}`);

  const { latencyMs } = health;
  const { name: _name, ...rest } = said;
  if ('failure' in ready)
    return { result: 'not_ready', latencyMs, reason: `/ready: ${ready.failure}`, ...rest };
  if (ready.status === 200) return { result: 'up', latencyMs, reason: null, ...rest };
  const reasons = read(readySchema, ready.body)?.reasons.join('; ');
  // Whoever has the port may write what it likes: this goes to terminals, logs and pages.
  const words = plainText(reasons ?? `/ready answers ${ready.status}`, maxBodyBytes);
  const reason = plainText(redacted(words), maxReasonLength);
  return { result: 'not_ready', latencyMs, reason, ...rest };
}

function down(reason: string): Probe {
  return { result: 'down', latencyMs: null, reason };
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly latencyMs: number;
}

/** On a fresh connection each time: a process that accepts no more is down, whatever its old connections say. */
export async function fetchText(port: number, path: string, signal: AbortSignal): Promise<Answer> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false, signal }, (response) => {
      const parts: Buffer[] = [];
      let sizeBytes = 0;
      response.on('data', (part: Buffer) => {
        sizeBytes += part.length;
        if (sizeBytes > maxBodyBytes) response.destroy(new Error('too long an answer'));
        else parts.push(part);
      });
      response.on('error', reject);
      response.on('end', () => {
        const latencyMs = Math.round((performance.now() - startedAt) * 100) / 100;
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(parts).toString('utf8'),
          latencyMs,
        });
      });
    });
    request.on('error', reject);
  });
}

function failureOf(deadlineMs: number): (error: NodeJS.ErrnoException) => { failure: string } {
  return (error) => {
    if (error.name === 'AbortError' || error.name === 'TimeoutError') {
      return { failure: `no answer within ${deadlineMs} ms` };
    }
    if (error.code === 'ECONNREFUSED') return { failure: 'connection refused' };
    return { failure: `no proper answer (${error.code ?? error.message})` };
  };
}

function read<Value>(schema: z.ZodType<Value>, text: string): Value | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  return schema.safeParse(json).data;
}
