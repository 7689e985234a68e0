/** What a caller is shown of all that stands behind the gateway. Pure. */
import { isChosen, mayUse, type Choice } from '#runtime/access/choice.ts';
import { allowedEffect } from '#runtime/access/scope.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { metaOf } from '#runtime/account/meta.ts';

import { choosable, type Behind, type Listed, type ListedSkill } from './surface.ts';

export type List = 'tools' | 'resources' | 'resourceTemplates' | 'prompts';

/** What these caller and choice show, sorted by name: the same at each request as long as nothing behind changes. */
export function listOf(
  list: List,
  all: readonly Behind[],
  caller: Pick<Caller, 'scope' | 'tools'>,
  asked: Choice | undefined,
): readonly Listed[] {
  const found = all.flatMap((behind) => {
    const effect = allowedEffect(caller.scope, behind.name);
    const { surface, trouble } = behind;
    if (!effect || !surface) return [];
    const listed =
      list === 'tools'
        ? surface.tools[effect].filter(({ name }) => {
            const tool = choosable(behind, name);
            return mayUse(caller, tool) && (!asked || isChosen(asked, tool));
          })
        : surface[list];
    return trouble === undefined ? listed : listed.map((one) => asUnavailable(one, behind.name, trouble));
  });
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** How to use those services well of which the caller is shown any tool. */
export function skillsOf(
  all: readonly Behind[],
  caller: Pick<Caller, 'scope' | 'tools'>,
): readonly ListedSkill[] {
  return all
    .filter((behind) => listOf('tools', [behind], caller, undefined).length > 0)
    .flatMap(({ surface }) => surface?.skills ?? [])
    .toSorted((a, b) => (a.uri < b.uri ? -1 : 1));
}

/** It stays in the list, so that a client does not think it gone; whoever reads it knows better than to call it. */
export function asUnavailable(one: Listed, service: string, trouble: string): Listed {
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
