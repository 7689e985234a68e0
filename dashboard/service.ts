import { join } from 'node:path';

import { parse, serialize } from 'hono/utils/cookie';
import { z } from 'zod';

import { entryOf } from '#config/catalogue.ts';
import { bearerOf } from '#runtime/wire/foreign.ts';
import { metricsType } from '#runtime/account/metrics.ts';
import { allowedEffect } from '#runtime/access/scope.ts';
import { defineService, type Opening } from '#runtime/service.ts';
import { version } from '#runtime/process/version.ts';

import { expositionOf } from './exposition.ts';
import { fleetOf, type Fleet } from './fleet.ts';
import { readHealth } from './health-client.ts';
import { fleetPage, refusalPage, type Page } from './pages.ts';
import { createSessions, readSessionKey, sessionSeconds, type Sessions } from './sessions.ts';
import { cssHash } from './style.ts';

interface Dashboard
  extends Pick<Opening<unknown>, 'authenticate' | 'isAlive' | 'metrics' | 'now'>, Partial<Disposable> {
  readonly sessions: Sessions;
  /** Tells the port, for two fleets on one host share their cookies. */
  readonly cookieName: string;
  readonly readFleet: () => Promise<Fleet>;
}

function portOf(name: 'health' | 'dashboard', offset: number): number {
  return (entryOf(name)?.port ?? 0) + offset;
}

export default defineService({
  name: 'dashboard',
  settings: z.object({}),

  open({ dataDir, host, now, authenticate, isAlive, metrics }): Dashboard {
    const offset = host.FLOTILLA_PORT_OFFSET;
    return {
      authenticate,
      isAlive,
      metrics,
      now,
      sessions: createSessions(readSessionKey(join(dataDir, 'session-key')), now),
      cookieName: `flotilla-${portOf('dashboard', offset)}`,
      readFleet: async () => fleetOf(await readHealth(portOf('health', offset)), offset, now()),
    };
  },

  secretFiles: ['session-key'],
  openCopy: () => ({ [Symbol.dispose]() {} }), // nothing is left to open

  async check({ readFleet }) {
    const { failure } = (await readFleet()).health;
    return failure === null
      ? { ready: true, reasons: [] }
      : { ready: false, reasons: [`health does not answer: ${failure}`] };
  },

  routes: [
    { path: '/', access: 'open', handle: () => redirect() },
    { path: '/dashboard', access: 'open', handle: showDashboard },
    {
      path: '/status',
      access: 'open',
      async handle(request, dashboard) {
        const refusal = refusalOf(request, dashboard);
        if (refusal) {
          return Response.json(
            { error: refusal.reason },
            { status: refusal.status, headers: refusal.headers },
          );
        }
        const fleet = await dashboard.readFleet();
        return Response.json(
          { version, ...fleet },
          { status: fleet.health.answers ? 200 : 503, headers: { 'cache-control': 'no-store' } },
        );
      },
    },
    {
      path: '/metrics',
      access: 'open',
      async handle(_request, { metrics, readFleet }) {
        const [own, fleet] = await Promise.all([metrics.text(), readFleet()]);
        return new Response(own + expositionOf(fleet), { headers: { 'content-type': metricsType } });
      },
    },
  ],
});

/** The link carries the token once: a cookie takes its place, so that it stays in no address bar. */
async function showDashboard(request: Request, dashboard: Dashboard): Promise<Response> {
  const secret = new URL(request.url).searchParams.get('token');
  const refusal = refusalOf(request, dashboard, secret);
  if (refusal) {
    return page(refusalPage(refusal.reason), refusal.status, refusal.headers);
  }
  const hash = secret === null ? undefined : dashboard.authenticate(secret)?.hash;
  if (hash !== undefined) {
    return redirect({
      'set-cookie': serialize(dashboard.cookieName, dashboard.sessions.seal(hash), {
        httpOnly: true,
        sameSite: 'Lax',
        path: '/',
        maxAge: sessionSeconds,
      }),
    });
  }
  return page(fleetPage(await dashboard.readFleet(), version, dashboard.now()));
}

interface Refusal {
  readonly status: 401 | 403;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** `undefined` for whoever may look: by the link's token, a bearer token or a cookie, in this order. */
function refusalOf(
  request: Request,
  { authenticate, isAlive, sessions, cookieName, metrics }: Dashboard,
  linkSecret: string | null = null,
): Refusal | undefined {
  const secret = linkSecret ?? bearerOf(request.headers.get('authorization') ?? undefined);
  if (secret === undefined) {
    // The scope was looked at when the cookie was given, and no token's scope ever changes.
    const cookie = parse(request.headers.get('cookie') ?? '', cookieName)[cookieName];
    const hash = cookie === undefined ? undefined : sessions.open(cookie);
    if (hash !== undefined && isAlive(hash)) return undefined;
  }
  const caller = secret === undefined ? undefined : authenticate(secret);
  if (caller && allowedEffect(caller.scope, 'dashboard')) return undefined;

  metrics.countRefusal(caller ? 'forbidden' : 'unauthenticated');
  if (caller) {
    return { status: 403, reason: `The token "${caller.name}" may not read the dashboard.`, headers: {} };
  }
  return {
    status: 401,
    reason: secret === undefined ? 'You are not signed in.' : 'The token is unknown, revoked or expired.',
    headers: { 'www-authenticate': 'Bearer' },
  };
}

function redirect(headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, { status: 303, headers: { ...guards, location: '/dashboard', ...headers } });
}

const guards = {
  'cache-control': 'no-store',
  'content-security-policy': `default-src 'none'; style-src '${cssHash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
} as const;

async function page(
  contents: Page,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return new Response(String(await contents), {
    status,
    headers: { ...guards, 'content-type': 'text/html; charset=utf-8', ...headers },
  });
}
