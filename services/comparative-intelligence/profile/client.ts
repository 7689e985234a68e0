/** Asks model-profile through its tools, as any client does. The only importer of the MCP client here. */
import { createHash } from 'node:crypto';

import type { Client } from '@modelcontextprotocol/client';
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

import { sources } from '../vocabulary.ts';
import type { CopiedDecision, Mark } from '../store/copied.ts';
import type { Kind } from '../subject.ts';

const timeoutMs = 20_000;

/** What is read of a decision; what else it has is not needed. */
const recordSchema = z.object({
  change: z.int(),
  uid: z.string(),
  model: z.string(),
  task_type: z.string(),
  time: z.iso.datetime(),
  confidence: z.number().min(0).max(1).optional(),
  outcome: z.number().min(0).max(1).optional(),
  source: z.enum(sources).optional(),
  cost_usd: z.number().optional(),
  latency_ms: z.number().optional(),
  item_id: z.string().optional(),
  cluster_id: z.string().optional(),
  propensity: z.number().optional(),
  token: z.int().default(0),
  said: z.object({ time: z.string(), outcome: z.number(), source: z.string() }).optional(),
});
const historySchema = z.object({
  decisions: z.array(recordSchema),
  last_change: z.int(),
  complete: z.boolean(),
  missed_before: z.int().optional(),
});

export interface Changes {
  readonly decisions: readonly CopiedDecision[];
  /** By which the first and the last of them are known again; absent where there is none. */
  readonly first: Mark | undefined;
  readonly newest: Mark | undefined;
  readonly last: number;
  readonly isComplete: boolean;
  /** Some changes before this number are no longer kept there. */
  readonly missedBefore: number | undefined;
}

export interface ProfileClient extends AsyncDisposable {
  /** @throws ToolError `unavailable`. */
  changes(kind: Kind, after: number, limit: number): Promise<Changes>;
  /** The number of its last change. @throws ToolError `unavailable`. */
  lastChange(): Promise<number>;
}

export interface ProfileSettings {
  readonly url: string;
  /** A secret that may read there; asked for anew when it is refused. */
  readonly secret: () => Promise<string>;
}

export function profileClient({ url, secret }: ProfileSettings): ProfileClient {
  let connected: Promise<Client> | undefined;

  async function connect(): Promise<Client> {
    const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
    const client = new Client(
      { name: 'comparative-intelligence', version: '1' },
      { versionNegotiation: { mode: 'auto' } },
    );
    const headers = { authorization: `Bearer ${await secret()}` };
    const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
      requestInit: { headers, redirect: 'error' },
    });
    await client.connect(transport, { timeout: timeoutMs });
    return client;
  }

  async function history(args: Readonly<Record<string, unknown>>) {
    try {
      connected ??= connect();
      const client = await connected;
      const result = await client.callTool(
        { name: 'get_decision_history', arguments: { ...args } },
        { timeout: timeoutMs },
      );
      if (result.isError) throw new Error(JSON.stringify(result.content).slice(0, 300));
      return historySchema.parse(result.structuredContent);
    } catch (cause) {
      // The next one connects anew: it may have been started again, or the token made anew.
      const gone = connected;
      connected = undefined;
      void gone?.then(async (client) => client.close()).catch(() => {});
      throw unreadable(url, cause);
    }
  }

  return {
    async changes(kind, after, limit) {
      const {
        decisions,
        last_change: last,
        complete,
        missed_before: missed,
      } = await history({
        kind,
        after_change: after,
        limit,
      });
      return {
        decisions: decisions.map(copied),
        first: markOf(decisions[0]),
        newest: markOf(decisions.at(-1)),
        last,
        isComplete: complete,
        missedBefore: missed,
      };
    },
    lastChange: async () => (await history({ limit: 1 })).last_change,
    async [Symbol.asyncDispose]() {
      const client = await connected?.catch(() => {});
      await client?.close();
    },
  };
}

/** It does not run, or does not let us. */
function unreadable(url: string, cause: unknown): ToolError {
  const { name = '', message = '' } = cause as Partial<Error>;
  const isRefused = /scope|unauthori[sz]ed/i.test(`${name} ${message}`);
  const remedy = isRefused
    ? 'The operator looks at the token comparative-intelligence: it needs model-profile:read.'
    : 'Start the fleet with it: flotilla start.';
  return new ToolError(
    'unavailable',
    `model-profile ${isRefused ? 'refuses the token of this service' : 'cannot be read'} at ${url}.`,
    {
      hint: `${remedy} Until then, source: "battles" needs nothing of it.`,
      cause,
    },
  );
}

/** What stays the same of a change, whatever is learned of its decision later. */
function markOf(record: z.output<typeof recordSchema> | undefined): Mark | undefined {
  if (!record) return undefined;
  const { change, uid, model, time, said } = record;
  const lasting = JSON.stringify([uid, model, time, said?.time, said?.outcome, said?.source]);
  return { change, identity: createHash('sha256').update(lasting).digest().readUIntBE(0, 6) };
}

function copied(record: z.output<typeof recordSchema>): CopiedDecision {
  return {
    uid: record.uid,
    token: record.token,
    subject: record.model,
    taskType: record.task_type,
    item: record.item_id ?? null,
    cluster: record.cluster_id ?? null,
    outcome: record.outcome ?? null,
    source: record.source === undefined ? null : sources.indexOf(record.source),
    confidence: record.confidence ?? null,
    costUsd: record.cost_usd ?? null,
    latencyMs: record.latency_ms ?? null,
    propensity: record.propensity ?? null,
    atMs: Date.parse(record.time),
  };
}
