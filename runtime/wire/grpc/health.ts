/** `grpc.health.v1.Health`: what `/ready` says, for clients of gRPC. As that, it is for everybody on the host. */
import { setTimeout as pause } from 'node:timers/promises';

import type { DescMethod, Message } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';

import type { Sign } from '../vital-signs.ts';
import { endedWith } from './face.ts';
import type { Statuses } from './status.ts';
import { argumentsOf, messageOf } from './words.ts';

/** How often it is looked whether what those who watch were told still holds. */
const lookMs = 1_000;
/** Of all strangers together. */
const mostWatching = 64;

export interface HealthOptions {
  readonly ready: () => Promise<Sign>;
  /** The names of the services here; that of the process as a whole is empty. */
  readonly services: readonly string[];
  readonly statuses: Statuses;
  readonly stopping: AbortSignal;
}

export function healthOf({ ready, services, statuses, stopping }: HealthOptions) {
  let watching = 0;
  const isKnown = (service: string) => service === '' || services.includes(service);
  const find = async (service: string) => {
    if (!isKnown(service)) return 'service_unknown';
    if (stopping.aborted) return 'not_serving';
    return (await ready()).status === 200 ? 'serving' : 'not_serving';
  };
  const refused = (code: 'not_found' | 'unavailable', message: string, hint: string) =>
    statuses.statusOf({ code, message, hint, retryAfterMs: undefined });

  return {
    check: (method: DescMethod) => async (message: Message) => {
      const service = serviceOf(method, message);
      if (!isKnown(service))
        throw refused('not_found', 'There is no such service here.', `There is: ${services.join(', ')}.`);
      return messageOf(method.output, { status: await find(service) });
    },
    watch:
      (method: DescMethod) =>
      (message: Message, { signal }: HandlerContext) =>
        endedWith(signal, watch(method, message, signal)),
  };

  async function* watch(method: DescMethod, message: Message, signal: AbortSignal): AsyncGenerator<Message> {
    if (watching >= mostWatching)
      throw refused('unavailable', 'Too many watch already.', 'Ask again and again instead: Check.');
    watching += 1;
    try {
      const service = serviceOf(method, message);
      const either = AbortSignal.any([signal, stopping]);
      let told: string | undefined;
      while (!signal.aborted) {
        const status = await find(service);
        if (status !== told) yield messageOf(method.output, { status });
        told = status;
        if (stopping.aborted) throw refused('unavailable', 'The service stops.', 'Connect again.');
        await pause(lookMs, undefined, { signal: either, ref: false }).catch(() => {});
      }
    } finally {
      watching -= 1;
    }
  }
}

function serviceOf({ input }: DescMethod, message: Message): string {
  const { service = '' } = argumentsOf(input, message) as { service?: string };
  return service;
}
