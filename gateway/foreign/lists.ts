/** The lists of a foreign server, read to their end, within limits. */
import type { Connection, Json } from './client.ts';
import { ForeignError } from './foreign-error.ts';

/** As it says it. */
export interface Lists {
  readonly tools: readonly Json[];
  readonly prompts: readonly Json[];
  readonly resources: readonly Json[];
  readonly resourceTemplates: readonly Json[];
  readonly instructions: string;
}

export const nothing: Lists = {
  tools: [],
  prompts: [],
  resources: [],
  resourceTemplates: [],
  instructions: '',
};

const mostPages = 100;
const mostItems = 2_000;
const mostBytes = 4 * 1024 * 1024;

/** Every page of every list that it says it has. */
export async function readLists(connection: Connection, timeoutMs: number): Promise<Lists> {
  const { capabilities, instructions } = connection;
  const room = { bytes: mostBytes };
  const read = async (method: string, key: string) => readAll(connection, method, key, { timeoutMs, room });
  return {
    ...nothing,
    instructions,
    ...('tools' in capabilities && { tools: await read('tools/list', 'tools') }),
    ...('prompts' in capabilities && { prompts: await read('prompts/list', 'prompts') }),
    ...('resources' in capabilities && {
      resources: await read('resources/list', 'resources'),
      resourceTemplates: await read('resources/templates/list', 'resourceTemplates'),
    }),
  };
}

async function readAll(
  connection: Connection,
  method: string,
  key: string,
  { timeoutMs, room }: { readonly timeoutMs: number; readonly room: { bytes: number } },
): Promise<readonly Json[]> {
  const items: Json[] = [];
  const seen = new Set<unknown>();
  let cursor: unknown;
  for (let page = 0; page < mostPages; page += 1) {
    let answer: Json;
    try {
      answer = await connection.request(method, cursor === undefined ? {} : { cursor }, { timeoutMs });
    } catch (error) {
      const unknownMethod = -32_601;
      if (error instanceof ForeignError && error.code === unknownMethod) return [];
      throw error;
    }
    const listed = answer[key];
    if (!Array.isArray(listed)) throw new Error(`its ${method} has no list "${key}"`);
    room.bytes -= JSON.stringify(listed).length;
    items.push(...listed.filter((item): item is Json => typeof item === 'object' && item !== null));
    if (room.bytes < 0 || items.length > mostItems)
      throw new Error(`it lists more than ${mostItems} things or ${mostBytes / 1024 / 1024} MiB`);
    cursor = answer['nextCursor'];
    if (cursor === undefined || cursor === null || cursor === '') return items;
    if (seen.has(cursor)) throw new Error(`the pages of its ${method} go in a circle`);
    seen.add(cursor);
  }
  throw new Error(`its ${method} has more than ${mostPages} pages`);
}
