/**
 * What anybody may ask of a process: whether it lives, and whether it can do its job. It is found out once for all who ask at
 * the same time, and answered without Hono, for which a thousand strangers that ask again and again would have to wait.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';

import { entryOf } from '#config/catalogue.ts';

import type { Account } from '../account/calls.ts';
import { atTurnEnd } from '../turns.ts';

export interface Sign {
  readonly status: 200 | 503;
  readonly body: string;
}

/** One thing that a process looks at in itself. */
export interface Check {
  readonly name: string;
  /** Why it is not well; empty when it is. */
  readonly reasons: readonly string[];
  readonly warnings?: readonly string[] | undefined;
}

export interface Process {
  readonly account: Account;
  readonly version: string;
  /** Whether it can do its job: all that keeps it from that, by name. */
  readonly readiness: () => Promise<readonly Check[]>;
  /** Whether it is stuck, as the watchdog sees it. */
  readonly liveness: () => Promise<readonly Check[]>;
  readonly describe: () => Readonly<Record<string, unknown>>;
}

export type VitalSigns = ReturnType<typeof vitalSigns>;

export function vitalSigns({ account, version, readiness, liveness, describe }: Process) {
  const startedAtMs = performance.now();
  let said: Sign | undefined;
  const uptimeMs = () => Math.round(performance.now() - startedAtMs);

  function health(): Sign {
    if (said) return said;
    const body = JSON.stringify({
      name: account.service,
      status: 'pass',
      version,
      pid: process.pid,
      uptimeMs: uptimeMs(),
      // Health remembers it, so that a trail which was cut or changed shows.
      audit: account.audit.head,
      ...describe(),
    });
    atTurnEnd(() => (said = undefined));
    return (said = { status: 200, body });
  }

  const findReady = async () => {
    const checks = await readiness();
    account.metrics.setReady(reasonsOf(checks).length === 0);
    return checks;
  };
  const ready = shared(findReady);

  return {
    signs: {
      '/health': health,
      '/ready': async (): Promise<Sign> => {
        const checks = await ready();
        const reasons = reasonsOf(checks);
        const warnings = checks.flatMap((check) => check.warnings ?? []);
        const body = {
          name: account.service,
          ready: reasons.length === 0,
          reasons,
          ...(warnings.length > 0 && { warnings }),
        };
        return { status: statusOf(checks), body: JSON.stringify(body) };
      },
    },
    /** In the way of Kubernetes. */
    probes: { '/livez': shared(liveness), '/readyz': ready },
    /** As `application/health+json` has it. */
    documents: {
      '/health': async () =>
        healthDocument(account.service, version, [{ name: 'process', reasons: [] }], uptimeMs()),
      '/ready': async () => healthDocument(account.service, version, await ready(), uptimeMs()),
    },
  };
}

/** Found out once for all who ask at the same time. */
function shared<Value>(find: () => Promise<Value>): () => Promise<Value> {
  let asking: Promise<Value> | undefined;
  return async () => (asking ??= find().finally(() => (asking = undefined)));
}

const reasonsOf = (checks: readonly Check[]) => checks.flatMap(({ reasons }) => reasons);
const statusOf = (checks: readonly Check[]) => (reasonsOf(checks).length === 0 ? 200 : 503);

export const healthType = 'application/health+json';

/** The draft of a standard: https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06 */
function healthDocument(name: string, version: string, checks: readonly Check[], uptimeMs: number): Sign {
  const time = new Date().toISOString();
  const levelOf = ({ reasons, warnings = [] }: Check) =>
    reasons.length > 0 ? 'fail' : warnings.length > 0 ? 'warn' : 'pass';
  const levels = checks.map((check) => levelOf(check));
  const all = [...reasonsOf(checks), ...checks.flatMap(({ warnings = [] }) => warnings)];
  const body = {
    status: (['fail', 'warn'] as const).find((level) => levels.includes(level)) ?? 'pass',
    version: version.split('.')[0],
    releaseId: version,
    serviceId: name,
    description: entryOf(name)?.description,
    ...(all.length > 0 && { output: all.join('; ') }),
    checks: {
      uptime: [
        { componentType: 'system', observedValue: uptimeMs / 1_000, observedUnit: 's', status: 'pass', time },
      ],
      ...Object.fromEntries(
        checks.map((check) => [
          `${name}:${check.name}`,
          [
            {
              componentId: check.name,
              componentType: 'component',
              status: levelOf(check),
              time,
              ...(levelOf(check) !== 'pass' && {
                output: [...check.reasons, ...(check.warnings ?? [])].join('; '),
              }),
            },
          ],
        ]),
      ),
    },
  };
  return { status: statusOf(checks), body: JSON.stringify(body) };
}

/** Whether a client asks for the document of the draft. */
export const wantsDocument = (accept: string | undefined): boolean => accept?.includes(healthType) ?? false;

/**
 * An answer in the way of Kubernetes: the status decides, the lines are for people.
 *
 * @param only one of the checks, from the path. @returns `undefined` where there is no such check.
 */
export function probeAnswer(
  path: string,
  checks: readonly Check[],
  { only, query }: { readonly only: string | undefined; readonly query: URLSearchParams },
): Sign | undefined {
  const excluded = new Set(query.getAll('exclude'));
  const known = new Set(checks.map(({ name }) => name));
  const asked = checks.filter(({ name }) => (only === undefined ? !excluded.has(name) : name === only));
  if (only !== undefined && asked.length === 0) return undefined;
  const status = statusOf(asked);
  const name = path.slice(1);
  if (status === 200 && !query.has('verbose')) return { status, body: 'ok\n' };
  const lines = checks.flatMap((check) => {
    if (only !== undefined && check.name !== only) return [];
    if (!asked.includes(check)) return [`[+]${check.name} excluded: ok`];
    return check.reasons.length === 0
      ? [`[+]${check.name} ok`, ...(check.warnings ?? []).map((warning) => `   warning: ${warning}`)]
      : [`[-]${check.name} failed: ${check.reasons.join('; ')}`];
  });
  const unmatched = [...excluded].filter((one) => !known.has(one));
  const warnings =
    unmatched.length > 0 ? [`warn: no check to exclude: ${unmatched.map(printable).join(', ')}`] : [];
  const verdict = status === 200 ? 'passed' : 'failed';
  return { status, body: `${[...lines, ...warnings, `${name} check ${verdict}`].join('\n')}\n` };
}

const printable = (text: string) => JSON.stringify(text.slice(0, 50));

/** Of a request that asks for no more than the sign. */
export function signOf({ method, url, headers }: IncomingMessage): keyof VitalSigns['signs'] | undefined {
  if (method !== 'GET' || headers.origin !== undefined || wantsDocument(headers.accept)) return undefined;
  return url === '/health' || url === '/ready' ? url : undefined;
}

/** @throws what keeps it from being found. */
export async function answerSign(
  response: ServerResponse,
  find: VitalSigns['signs'][keyof VitalSigns['signs']],
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
