/** `_meta` between the gateway and a foreign server: what is reserved is said by the one who may say it. */
import { metaOf } from '#runtime/account/meta.ts';

type Json = Readonly<Record<string, unknown>>;

/** The protocol keeps every prefix whose second label is `mcp` or `modelcontextprotocol` for itself; the rest is ours. */
const reserved = /^(?:[a-z0-9-]+\.(?:mcp|modelcontextprotocol)(?:\.[a-z0-9.-]+)?|dev\.flotilla|flotilla)\//i;

/** Of one `_meta`: what is not reserved; `undefined` where nothing is left. */
export function plainMeta(meta: unknown): Json | undefined {
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return undefined;
  const kept = Object.entries(meta).filter(([key]) => !reserved.test(key) && key !== 'progressToken');
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** A value with each `_meta` in it stripped, however deep: of content, of contents, of messages. */
export function strippedDeep(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > 8) return value;
  if (Array.isArray(value)) return value.map((item) => strippedDeep(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]): (readonly [string, unknown])[] => {
      if (key !== '_meta') return [[key, keepsAsIs.has(key) ? inner : strippedDeep(inner, depth + 1)]];
      const meta = plainMeta(inner);
      return meta ? [[key, meta]] : [];
    }),
  );
}

/** Their own data, in which `_meta` is a word like any other. */
const keepsAsIs: ReadonlySet<string> = new Set(['structuredContent', 'inputSchema', 'outputSchema']);

/** A result as the gateway answers it: marked as text of others, with the server that it came from. */
export function stamped(result: Json, upstream: string): Record<string, unknown> {
  const stripped = strippedDeep(result) as Json;
  return {
    ...stripped,
    _meta: {
      ...(stripped['_meta'] as Json | undefined),
      ...metaOf({ untrusted: true }),
      'dev.flotilla/upstream': upstream,
    },
  };
}
