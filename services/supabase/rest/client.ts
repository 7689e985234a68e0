/** supabase-js, one for each call: its requests go through the call's own door. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { Door, type Endpoint } from './door.ts';
import { inHeader } from './place.ts';

export interface Project {
  readonly endpoint: Endpoint;
  readonly schema: string;
}

export type Client = SupabaseClient<any, any, any>; // oxlint-disable-line typescript/no-explicit-any -- tables are known when they are asked for

export interface Answered<Data> {
  readonly data: Data;
  readonly error: unknown;
}

/**
 * Asks the project, by its library.
 *
 * @throws ToolError for whatever the project refuses.
 */
export async function ask<Answer extends Answered<unknown>>(
  { endpoint, schema }: Project,
  { signal }: Pick<Call, 'signal'>,
  request: (client: Client) => PromiseLike<Answer>,
  options: { readonly schema?: string | undefined; readonly maxBytes?: number } = {},
): Promise<Answer & { readonly data: NonNullable<Answer['data']> }> {
  const door = new Door(endpoint, { signal, maxBytes: options.maxBytes });
  const client: Client = createClient(endpoint.base.href.replace(/\/$/, ''), endpoint.key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    // The door asks again where that helps; the library would do so for every refusal.
    db: { schema: inHeader(options.schema ?? schema), retry: false },
    global: { fetch: door.fetch },
  });
  let answer: Answer;
  try {
    answer = await request(client);
  } catch (error) {
    throw door.failure ?? error;
  }
  if (door.failure) throw door.failure;
  if (answer.error !== null && answer.error !== undefined) {
    const { message = '' } = answer.error as { readonly message?: string };
    throw new ToolError('invalid_input', message.slice(0, 300) || 'The project refuses this.');
  }
  return answer as Answer & { readonly data: NonNullable<Answer['data']> };
}
