/**
 * What a process of the fleet may ask that may only look, in its own name: what there is, and the canary as it is defined; and
 * what every process says of itself, so that what is seen can be compared. Pure.
 */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

import type { AnyService, Canary } from '../service.ts';
import type { AnyTool } from '../tool.ts';

const lists = new Set([
  'server/discover',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
  'skills/list',
]);

/** Other arguments may read anything: only those of the definition are a canary's. */
export function isOnlyLooking(message: unknown, canary: Canary | undefined): boolean {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return false;
  const { method, params } = message as { readonly method?: unknown; readonly params?: unknown };
  if (typeof method !== 'string') return false;
  if (lists.has(method)) return true;
  if (method !== 'tools/call' || typeof params !== 'object' || params === null || !canary) return false;
  const { name, arguments: given = {} } = params as { readonly name?: unknown; readonly arguments?: unknown };
  return name === canary.tool && isDeepStrictEqual(given, canary.arguments);
}

/** Stands for the names of tools, in any order. */
export function digestOf(names: readonly string[]): string {
  return hash('sha256', names.toSorted().join('\n'), 'hex').slice(0, 16);
}

/** What a token that reads is to find here, by the definition of the service, whatever is listed in the end. */
export interface Offering {
  /** What stands in front of others has no tools of its own. */
  readonly tools?: number;
  readonly digest?: string;
  readonly canary?: Canary;
}

export function offeringOf(
  { canary, relay }: Pick<AnyService, 'canary' | 'relay'>,
  tools: readonly AnyTool<unknown>[],
): Offering | undefined {
  if (relay) return canary ? { canary } : {};
  if (tools.length === 0) return undefined;
  const names = tools.filter(({ effect }) => effect === 'read').map(({ name }) => name);
  return {
    tools: names.length,
    digest: digestOf(names),
    ...(canary && names.includes(canary.tool) && { canary }),
  };
}
