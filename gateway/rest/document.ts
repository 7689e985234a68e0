/** The document and its page, made anew when what stands behind the gateway has changed. */
import { createHash } from 'node:crypto';

import { inputSchemaOf } from '#runtime/account/execute.ts';
import { version } from '#runtime/process/version.ts';
import { z } from 'zod';

import type { Standing } from '../standing.ts';
import { docsPage, docsPolicy, type Document } from './docs-page.ts';
import { openApi, type ToolSchemas } from './openapi.ts';
import type { Operation } from './operation.ts';
import { operations } from './operations.ts';
import { ownTools } from './own-tools.ts';
import type { InputShape } from './reading.ts';

interface Made {
  readonly text: string;
  readonly page: string;
}

const made = new WeakMap<object, Made>();

function madeOf(standing: Standing): Made {
  const { routes } = standing;
  let now = made.get(routes);
  if (!now) {
    const document = openApi(operations, version, (operation) => schemasOf(operation, standing));
    now = { text: JSON.stringify(document), page: docsPage(document as unknown as Document) };
    made.set(routes, now);
  }
  return now;
}

/** Of a tool that is not there, nothing is known but that it takes an object. */
const unknown: ToolSchemas = { input: { type: 'object' }, output: {} };

function schemasOf({ service, tool }: Operation, { routes }: Standing): ToolSchemas {
  const own = service === 'gateway' ? ownTools.get(tool) : undefined;
  if (own) {
    const { $schema: _in, ...input } = inputSchemaOf(own) as InputShape & { $schema?: string };
    const { $schema: _out, ...output } = z.toJSONSchema(own.output as z.ZodObject, { io: 'input' });
    return { input, output: output as InputShape };
  }
  const route = routes.tool(tool);
  const listed =
    route?.behind.name === service
      ? route.behind.surface?.tools.destroy.find(({ name }) => name === tool)
      : undefined;
  if (!listed) return unknown;
  return { input: listed.inputSchema, output: listed['outputSchema'] ?? {} };
}

const answered = (request: Request, body: string, headers: Readonly<Record<string, string>>): Response => {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"`;
  const told = { ...headers, etag, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' };
  return request.headers.get('if-none-match') === etag
    ? new Response(null, { status: 304, headers: told })
    : new Response(body, { headers: told });
};

export async function documentAnswer(request: Request, standing: Standing): Promise<Response> {
  await standing.seen();
  return answered(request, madeOf(standing).text, { 'content-type': 'application/json' });
}

export async function pageAnswer(request: Request, standing: Standing): Promise<Response> {
  await standing.seen();
  return answered(request, madeOf(standing).page, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': docsPolicy,
    'referrer-policy': 'no-referrer',
  });
}
