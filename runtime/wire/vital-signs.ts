/**
 * What anybody may ask of a process: whether it lives, and whether it can do its job. It is found out once for all who ask at
 * the same time, and answered without Hono, for which a thousand strangers that ask again and again would have to wait.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';

import type { Account } from '../account/calls.ts';
import type { Readiness } from '../service.ts';
import { atTurnEnd } from '../turns.ts';

export interface Sign {
  readonly status: 200 | 503;
  readonly body: string;
}

export interface Process {
  readonly account: Account;
  readonly version: string;
  readonly readiness: () => Promise<Readiness>;
  readonly describe: () => Readonly<Record<string, unknown>>;
}

export type VitalSigns = ReturnType<typeof vitalSigns>;

export function vitalSigns({ account, version, readiness, describe }: Process) {
  const startedAtMs = performance.now();
  let said: Sign | undefined;
  let asking: Promise<Sign> | undefined;

  function health(): Sign {
    if (said) return said;
    const body = JSON.stringify({
      name: account.service,
      status: 'pass',
      version,
      pid: process.pid,
      uptimeMs: Math.round(performance.now() - startedAtMs),
      // Health remembers it, so that a trail which was cut or changed shows.
      audit: account.audit.head,
      ...describe(),
    });
    atTurnEnd(() => (said = undefined));
    return (said = { status: 200, body });
  }

  async function findReady(): Promise<Sign> {
    const found = await readiness();
    account.metrics.setReady(found.ready);
    return { status: found.ready ? 200 : 503, body: JSON.stringify({ name: account.service, ...found }) };
  }

  return {
    '/health': health,
    '/ready': async () => (asking ??= findReady().finally(() => (asking = undefined))),
  };
}

/** Of a request that asks for no more than the sign. */
export function signOf({ method, url, headers }: IncomingMessage): keyof VitalSigns | undefined {
  if (method !== 'GET' || headers.origin !== undefined) return undefined;
  return url === '/health' || url === '/ready' ? url : undefined;
}

/** @throws what keeps it from being found. */
export async function answerSign(
  response: ServerResponse,
  find: VitalSigns[keyof VitalSigns],
): Promise<void> {
  const finding = find();
  // Within the turn, where it is known.
  const { status, body } = finding instanceof Promise ? await finding : finding;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
