/** What a token may use: a list of grants, each a service and the strongest effect allowed there. */
import { catalogue } from '#config/catalogue.ts';

import { UsageError } from '../errors.ts';
import { effects, type Effect } from '../tool.ts';

/** `git:read` allows what only reads in git; `git` everything in git; `*:read` what only reads, everywhere; `*` everything. */
export type Scope = readonly string[];

/** What is no service, but something that every process lets do: more than reading, for it passes by all tools. */
const wideGrants = ['backup', 'audit'] as const;
export type WideGrant = (typeof wideGrants)[number];

/** @throws UsageError that names the part which is not a grant. */
export function parseScope(text: string, upstreams: readonly string[] = []): Scope {
  const grants = text.split(',').map((part) => part.trim());
  const services = ['*', ...catalogue.map((entry) => entry.name), ...upstreams];
  for (const grant of grants) {
    if (isWide(grant)) continue;
    const [service = '', effect = 'destroy', ...rest] = grant.split(':');
    if (!services.includes(service) || !isEffect(effect) || rest.length > 0) {
      throw new UsageError(
        `"${grant}" is not a grant. Write SERVICE or SERVICE:EFFECT, where SERVICE is one of ${services.join(', ')} and EFFECT one of ${effects.join(', ')}; or backup, to copy what all of them keep; or audit, to read who called what.`,
      );
    }
  }
  return grants;
}

/** The strongest effect that the scope allows at a service; `undefined` when it allows nothing there. */
export function allowedEffect(scope: Scope, service: string): Effect | undefined {
  let strongest = -1;
  for (const grant of scope) {
    const [name, effect = 'destroy'] = grant.split(':');
    if ((name === '*' || name === service) && isEffect(effect))
      strongest = Math.max(strongest, effects.indexOf(effect));
  }
  return effects[strongest];
}

/** Whether the scope has a wide grant: `backup` copies what every process keeps, `audit` reads its records of calls. `*` has both. */
export function hasWide(scope: Scope, grant: WideGrant): boolean {
  return scope.includes(grant) || allowedEffect(scope, '*') === 'destroy';
}

/** Whether something with effect `needed` may be used by one who is allowed up to `allowed`. */
export function covers(allowed: Effect | undefined, needed: Effect): boolean {
  return allowed !== undefined && effects.indexOf(needed) <= effects.indexOf(allowed);
}

function isWide(text: string): text is WideGrant {
  return (wideGrants as readonly string[]).includes(text);
}

function isEffect(text: string): text is Effect {
  return (effects as readonly string[]).includes(text);
}
