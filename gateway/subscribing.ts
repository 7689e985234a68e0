/** Clients that listen: `subscriptions/listen` and `resources/subscribe` of documents behind the gateway. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Admitted } from '#runtime/wire/gate.ts';

import { recordAnswer } from './admission.ts';
import { answerFailure, type Failure, type Watched } from './hand-on.ts';
import { forbidden, mayCall, tooManyDocuments } from './refusals.ts';
import { urisIn, type AskedFor } from './request.ts';
import type { Routes } from './routes.ts';
import { Watching, type Watched as Told } from './watching.ts';

/** The services are told before the client is: what changes from then on is heard. */
export class Subscribing {
  readonly #watching = new Watching();
  readonly #routes: () => Routes<Told>;

  constructor(routes: () => Routes<Told>) {
    this.#routes = routes;
  }

  take(
    account: Watched,
    { method, params, version, id }: AskedFor,
    request: IncomingMessage,
    response: ServerResponse,
    { exchange }: Admitted,
    otherwise: () => void,
  ): void {
    const errand = {
      method,
      target: null,
      effect: 'read',
      model: undefined,
      protocolVersion: version,
      id,
      origin: request.headers.origin,
    } as const;
    const refuse = (failure: Failure) => {
      const responseBytes = answerFailure(response, exchange, errand, failure);
      recordAnswer(account, exchange, '', errand, failure, { responseBytes, protocolVersion: version });
    };
    const uris = urisIn(method, params);
    const { caller } = exchange;
    const closed = uris
      .map((uri) => this.#routes().document(uri))
      .find((route) => route && !mayCall(route, caller, null));
    if (closed) {
      refuse(forbidden(caller.name, closed, errand));
      return;
    }
    const watch = async (): Promise<boolean> => {
      if (method === 'resources/subscribe')
        return this.#watching.keep(caller.name, uris[0] ?? '', this.#routes());
      const close = await this.#watching.open(caller.name, uris, this.#routes());
      if (!close) return false;
      if (response.closed) close();
      else response.once('close', close);
      return true;
    };
    watch()
      .catch((error: unknown) => {
        account.log.warn('subscription_not_told', { error });
        return true;
      })
      .then((hasRoom) => {
        if (response.destroyed) return undefined;
        return hasRoom ? otherwise() : refuse(tooManyDocuments);
      })
      .catch((error: unknown) => account.log.error('relay_broke', { error }));
  }
}
