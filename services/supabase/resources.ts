import { ToolError } from '#runtime/errors.ts';
import { pageBytes } from '#runtime/page.ts';
import type { Resource } from '#runtime/service.ts';

import { Door } from './rest/door.ts';
import type { Supabase } from './supabase.ts';

/** A resource is read as a whole, and a client shows it to a model as a whole. */
const maxSpecLength = 8 * pageBytes;

export const resources: readonly Resource<Supabase>[] = [
  {
    uri: 'postgrest:///spec',
    name: 'spec',
    title: 'OpenAPI description',
    description: "PostgREST's own description of all tables, views and functions that the key may use.",
    mimeType: 'application/openapi+json',
    untrusted: 'as-is',
    async read(_variables, supabase, call) {
      const { endpoint, schema } = supabase.project();
      const door = new Door(endpoint, { signal: call.signal });
      const response = await door.fetch(new URL('rest/v1/', endpoint.base), {
        headers: {
          apikey: endpoint.key,
          authorization: `Bearer ${endpoint.key}`,
          'accept-profile': schema,
          accept: 'application/openapi+json',
        },
      });
      const text = await response.text();
      if (text.length > maxSpecLength) {
        throw new ToolError('too_large', `The description has ${text.length} characters.`, {
          hint: 'list_tables and list_functions give it in pages.',
        });
      }
      return { text };
    },
  },
];
