/** What the processes logged, from the store of the service logging: it reaches far back, is searched, and asks for a token alone. */
import { z } from 'zod';

import type { HostSettings } from '#config/settings.ts';
import { UnavailableError } from '#runtime/errors.ts';

import { connectTo } from '../client.ts';

export interface Wanted {
  /** Of each process, the newest. */
  readonly lines: number;
  readonly level?: string | undefined;
  readonly since?: string | undefined;
  readonly search?: string | undefined;
}

const lineSchema = z.object({
  time: z.string(),
  level: z.string(),
  service: z.string(),
  message: z.string(),
  trace_id: z.string().optional(),
  fields: z.record(z.string(), z.string()).default({}),
});
export type StoredLine = z.output<typeof lineSchema>;

const answerSchema = z.object({ lines: z.array(lineSchema), next_cursor: z.string().optional() });

const timeoutMs = 30_000;
const mostPerCall = 200;

/** In order of time. @throws UnavailableError where the service does not answer or refuses, ConfigError without a token. */
export async function storedLines(
  names: readonly string[],
  wanted: Wanted,
  host: HostSettings,
): Promise<readonly StoredLine[]> {
  await using client = await connectTo('logging', host, timeoutMs);
  const all: StoredLine[] = [];
  for (const name of names) {
    const found: StoredLine[] = [];
    let cursor: string | undefined;
    do {
      const args = {
        source: `fleet:${name}`,
        limit: Math.min(mostPerCall, wanted.lines),
        ...(wanted.search !== undefined && { query: wanted.search }),
        ...(wanted.level !== undefined && { level: wanted.level }),
        ...(wanted.since !== undefined && { since: wanted.since }),
        ...(cursor !== undefined && { cursor }),
      };
      const answer = await client.callTool({ name: 'search_logs', arguments: args }, { timeout: timeoutMs });
      if (answer.isError) {
        const [said] = answer.content;
        throw new UnavailableError(`logging: ${said?.type === 'text' ? said.text : 'no reason given'}`);
      }
      const { lines, next_cursor: next } = answerSchema.parse(answer.structuredContent);
      found.push(...lines);
      cursor = next;
    } while (cursor !== undefined && found.length < wanted.lines);
    all.push(...found.slice(0, wanted.lines));
  }
  return all.toSorted((one, other) => (one.time < other.time ? -1 : Number(one.time > other.time)));
}
