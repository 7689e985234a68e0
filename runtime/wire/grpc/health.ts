/** `grpc.health.v1.Health`: what `/ready` says, for clients of gRPC. As that, it is for everybody on the host. */
import { setTimeout as pause } from 'node:timers/promises';

import type { DescMethod } from '@bufbuild/protobuf';

import type { Sign } from '../vital-signs.ts';
import type { Many, One, Words } from './face.ts';
import type { Statuses } from './status.ts';
import { encoded } from './encode.ts';

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
    check: ({ output }: DescMethod): One => ({
      async one(given) {
        const service = serviceOf(given);
        if (!isKnown(service))
          return refused('not_found', 'There is no such service here.', `There is: ${services.join(', ')}.`);
        return encoded(output, { status: await find(service) });
      },
    }),
    watch: { many: (given, { gone }) => watch(serviceOf(given), gone) } satisfies Many,
  };

  async function* watch(service: string, signal: AbortSignal): AsyncGenerator<object> {
    if (watching >= mostWatching)
      throw refused('unavailable', 'Too many watch already.', 'Ask again and again instead: Check.');
    watching += 1;
    try {
      const either = AbortSignal.any([signal, stopping]);
      let told: string | undefined;
      while (!signal.aborted) {
        const status = await find(service);
        if (status !== told) yield { status };
        told = status;
        if (stopping.aborted) throw refused('unavailable', 'The service stops.', 'Connect again.');
        await pause(lookMs, undefined, { signal: either, ref: false }).catch(() => {});
      }
    } finally {
      watching -= 1;
    }
  }
}

const serviceOf = ({ service = '' }: Words) => service as string;
