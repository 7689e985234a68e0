/** What a caller is shown of all that stands behind the gateway. Pure. */
import { allowedEffect, type Scope } from '#runtime/access/scope.ts';
import { metaOf } from '#runtime/account/meta.ts';

import type { Behind, Listed, ListedTool, Surface } from './surface.ts';

/** Which tools a client wants to see. */
export type Choice =
  | { readonly kind: 'all' | 'core' }
  | { readonly kind: 'some'; readonly names: readonly string[] };

export type List = 'tools' | 'resources' | 'resourceTemplates' | 'prompts';

/** What these scope and choice show, sorted by name: the same at each request as long as nothing behind changes. */
export function listOf(list: List, all: readonly Behind[], scope: Scope, choice: Choice): readonly Listed[] {
  const found = all.flatMap((behind) => {
    const effect = allowedEffect(scope, behind.name);
    const { surface, trouble } = behind;
    if (!effect || !surface) return [];
    const listed = list === 'tools' ? chosen(surface, surface.tools[effect], choice) : surface[list];
    return trouble === undefined ? listed : listed.map((one) => asUnavailable(one, behind.name, trouble));
  });
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function chosen(surface: Surface, tools: readonly ListedTool[], choice: Choice): readonly ListedTool[] {
  if (choice.kind === 'all') return tools;
  const names = new Set(choice.kind === 'some' ? choice.names : surface.core);
  return tools.filter(({ name }) => names.has(name));
}

/** It stays in the list, so that a client does not think it gone; whoever reads it knows better than to call it. */
function asUnavailable(one: Listed, service: string, trouble: string): Listed {
  return {
    ...one,
    description: `[Unavailable now: ${service} cannot be called, as ${trouble}.] ${one.description ?? ''}`,
    _meta: { ...(one['_meta'] as object | undefined), ...metaOf({ unavailable: trouble }) },
  };
}

/** What the callers of the gateway are told first: what there is, and what of it cannot be called. */
export function instructionsOf(all: readonly Behind[]): string {
  const lines = all.map(({ name, description, surface, trouble }) => {
    const state = trouble === undefined ? '' : surface ? ' (unavailable now)' : ' (not running)';
    return `- ${name}${state}: ${description}`;
  });
  return `One endpoint for the services of this host. Tools are called by the names in the list:\n${lines.join('\n')}`;
}
