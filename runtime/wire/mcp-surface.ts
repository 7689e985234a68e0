/** What a service offers, as the protocol's lists show it: converted once, sorted, the same at every request. */
import type {
  ListPromptsResult,
  ListResourcesResult,
  ListResourceTemplatesResult,
  ListToolsResult,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

import { inputSchemaOf } from '../account/execute.ts';
import { metaOf } from '../account/meta.ts';
import { covers } from '../access/scope.ts';
import type { OfferedNames } from '../account/offered-names.ts';
import { resourcesOf, type AnyService, type Prompt, type Resource } from '../service.ts';
import { effects, type AnyTool, type Effect } from '../tool.ts';
import { plainInput, plainOutput, type Schema } from './plain-schema.ts';

/** Lists change only with a deployment, but differ by token, so that no shared cache may keep them. */
const listCacheMs = 5 * 60_000;
export const forCaller = { ttlMs: listCacheMs, cacheScope: 'private' } as const;

/** Everything that a service offers, as the lists show it to a client that may use all of it. */
export interface Surface {
  readonly tools: ListToolsResult['tools'];
  readonly resources: ListResourcesResult['resources'];
  readonly resourceTemplates: ListResourceTemplatesResult['resourceTemplates'];
  readonly prompts: ListPromptsResult['prompts'];
}

/** Sorted as clients get it: the order must not depend on how the code is arranged. */
export function listSurface(service: AnyService, tools: readonly AnyTool<unknown>[]): Surface {
  const resources = resourcesOf(service);
  const prompts: readonly Prompt<unknown>[] = service.prompts ?? [];
  return {
    tools: sorted(tools).map((tool) => listedTool(tool, service.fleetNames?.[tool.name])),
    resources: sorted(resources.filter((one) => !isTemplate(one))).map(listedResource),
    resourceTemplates: sorted(resources.filter(isTemplate)).map(listedTemplate),
    prompts: sorted(prompts).map(listedPrompt),
  };
}

function sorted<Named extends { readonly name: string }>(all: readonly Named[]): Named[] {
  return all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What `tools/list` answers to a token that may go as far as each effect; descriptions name only what it may use. */
export function listsByEffect(
  tools: readonly AnyTool<unknown>[],
  { tools: listed }: Surface,
  named: OfferedNames,
): Record<Effect, ListToolsResult> {
  const effectOf = new Map(tools.map(({ name, effect }) => [name, effect]));
  const upTo = (allowed: Effect): ListToolsResult => ({
    tools: listed
      .filter(({ name }) => effectOf.has(name) && covers(allowed, effectOf.get(name) ?? 'destroy'))
      .map((tool) => withDescriptions(tool, (text) => named(text, allowed) || text)),
  });
  return Object.fromEntries(effects.map((effect) => [effect, upTo(effect)])) as Record<
    Effect,
    ListToolsResult
  >;
}

/** The same, at every depth. */
function withDescriptions<Value>(value: Value, change: (text: string) => string): Value {
  if (Array.isArray(value)) return value.map((item: unknown) => withDescriptions(item, change)) as Value;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      key,
      key === 'description' && typeof inner === 'string' ? change(inner) : withDescriptions(inner, change),
    ]),
  ) as Value;
}

function listedTool(tool: AnyTool<unknown>, fleetName: string | undefined): ListToolsResult['tools'][number] {
  const { readOnly, destructive, idempotent, openWorld } = tool.hints;
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: plainInput(inputSchemaOf(tool)) as ListToolsResult['tools'][number]['inputSchema'],
    outputSchema: plainOutput(z.toJSONSchema(tool.output, { io: 'output' }) as Schema) as { type: 'object' },
    annotations: {
      title: tool.title,
      readOnlyHint: readOnly,
      destructiveHint: destructive,
      idempotentHint: idempotent,
      openWorldHint: openWorld,
    },
    ...(fleetName !== undefined && { _meta: metaOf({ fleetName }) }),
  };
}

function listedResource({
  uri,
  name,
  title,
  description,
  mimeType,
}: Resource<unknown>): ListResourcesResult['resources'][number] {
  return { uri, name, title, description, mimeType };
}

function listedTemplate(
  resource: Resource<unknown>,
): ListResourceTemplatesResult['resourceTemplates'][number] {
  const { uri, ...rest } = listedResource(resource);
  return { uriTemplate: uri, ...rest };
}

function isTemplate(resource: Resource<unknown>): boolean {
  return resource.uri.includes('{');
}

function listedPrompt(prompt: Prompt<unknown>): ListPromptsResult['prompts'][number] {
  return {
    name: prompt.name,
    title: prompt.title,
    description: prompt.description,
    arguments: Object.entries(prompt.arguments).map(([name, { description, required }]) => ({
      name,
      description,
      required,
    })),
  };
}
