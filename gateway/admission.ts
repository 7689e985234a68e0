/** Whether a call is handed on, as the caller and the moment allow; and the record of what was answered here. */
import type { Caller } from '#runtime/access/tokens.ts';
import type { Account, Exchange } from '#runtime/account/calls.ts';
import type { ErrorCode } from '#runtime/errors.ts';

import { ended, type Accounted, type Watched } from './hand-on.ts';
import { Rates } from './rate.ts';
import { forbidden, mayCall, overRate, unrecorded, type Refusal } from './refusals.ts';
import type { Route } from './routes.ts';
import type { Behind } from './surface.ts';

export class Admission {
  readonly #rates = new Rates();
  /** Whose one call has been counted, and is answered elsewhere. */
  readonly #counted = new WeakSet<Exchange>();

  /** Why no call of the caller's is made at this time. */
  refusalNow({ audit: { full: isUnrecorded } }: Account, caller: Caller): Refusal | undefined {
    if (isUnrecorded) return unrecorded;
    const waitMs = this.#rates.take(caller, performance.now());
    return waitMs > 0 ? overRate(caller, waitMs) : undefined;
  }

  /** Why the call is not handed on. */
  refusalOf(
    account: Account,
    exchange: Exchange,
    route: Route<Behind>,
    errand: Accounted,
  ): Refusal | undefined {
    const { caller } = exchange;
    const refused = this.#counted.delete(exchange) ? undefined : this.refusalNow(account, caller);
    if (refused) return refused;
    return mayCall(route, caller, errand.target) ? undefined : forbidden(caller.name, route, errand);
  }

  /** The call of this exchange goes through here once more, as the same one. */
  goesOn(exchange: Exchange): void {
    this.#counted.add(exchange);
  }
}

interface Told {
  readonly responseBytes: number;
  readonly protocolVersion: string;
  readonly startedAtMs?: number;
}

/** Where the answer is put together elsewhere. */
export const unsaid: Told = { responseBytes: 0, protocolVersion: 'other' };

/** The account of what was answered here. */
export function recordAnswer(
  account: Watched,
  exchange: Exchange,
  service: string,
  errand: Accounted,
  { code: outcome, isOverRate }: { readonly code: 'ok' | ErrorCode; readonly isOverRate?: true },
  { responseBytes, protocolVersion, startedAtMs }: Told = unsaid,
): void {
  if (outcome === 'forbidden') account.metrics.countRefusal('forbidden');
  if (isOverRate) account.metrics.countRefusal('rate');
  const how = { outcome, startedAtMs, responseBytes, protocolVersion, isOverRate };
  ended(account, exchange, service, errand, how);
}
