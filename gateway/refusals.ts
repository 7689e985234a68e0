/** Why a call is not handed on. Pure. */
import { mayUse } from '#runtime/access/choice.ts';
import { allowedEffect, covers } from '#runtime/access/scope.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import type { Effect } from '#runtime/tool.ts';

import type { Errand, Failure } from './hand-on.ts';
import type { Route } from './routes.ts';
import { choosable, type Behind } from './surface.ts';

/** An answer in place of the service's. */
export type Refusal = Failure;

export function overRate({ name, rate }: Caller, retryAfterMs: number): Refusal {
  return {
    code: 'unavailable',
    message: `The token "${name}" may make ${rate} calls here, and has made them.`,
    hint: `Nothing was done. Try again in ${Math.ceil(retryAfterMs / 1_000)} s, and call less often.`,
    retryAfterMs,
    isOverRate: true,
  };
}

export function forbidden(
  caller: string,
  { behind: { name }, effect }: { readonly behind: Pick<Behind, 'name'>; readonly effect: Effect },
  { target, method }: Pick<Errand, 'method' | 'target'>,
): Refusal {
  return {
    code: 'forbidden',
    message: `The token "${caller}" may not use ${target ?? method}.`,
    hint: `It needs the scope ${name}:${effect}, and no choice of tools that leaves it out. See: flotilla token create --help`,
  };
}

/** Whether scope and choice of tools reach so far. */
export function mayCall(
  { behind, effect }: Route<Behind>,
  caller: Pick<Caller, 'scope' | 'tools'>,
  target: string | null,
): boolean {
  if (!covers(allowedEffect(caller.scope, behind.name), effect)) return false;
  return target === null || mayUse(caller, choosable(behind, target));
}

/** Of what is written anew on its way: it would become null. */
export const endlessNumber = (tool: string): Refusal => ({
  code: 'invalid_input',
  message: `The arguments of ${tool} have a number that is too large to be one, such as 1e999.`,
  hint: 'Send numbers below 1.8e308, or send it as a text.',
});

/** What to do after a call whose answer was lost. */
export const againAfter = (effect: Effect): string =>
  effect === 'read'
    ? 'Try again in a moment.'
    : 'Whether the call was done is not known: look before you call it again.';

export const tooManyDocuments: Failure = {
  code: 'too_large',
  message: 'This token listens for as many documents as it may: 1,000, of 200,000 characters together.',
  hint: 'End a stream, or listen for fewer.',
};

/** As at every service: nothing runs of which there would be no record. */
export const unrecorded: Refusal = {
  code: 'unavailable',
  message: 'The audit trail of the gateway cannot be written, so it hands no calls on.',
  hint: 'Free space on the disk of the data folder.',
};
