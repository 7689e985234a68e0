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
import { createLinks, linkMinutes, type Links } from './links.ts';
import { fleetPage, refusalPage, type Page } from './pages.ts';
import { createSessions, readSessionKey, sessionSeconds, type Sessions } from './sessions.ts';
import { cssHash } from './style.ts';

interface Dashboard
  extends Pick<Opening<unknown>, 'authenticate' | 'isAlive' | 'metrics' | 'now'>, Partial<Disposable> {
  readonly sessions: Sessions;
  readonly links: Links;
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
      links: createLinks(now),
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
      path: '/sign-in-link',
      method: 'POST',
      access: 'token',
      handle(request, { authenticate, links }) {
        const secret = bearerOf(request.headers.get('authorization') ?? undefined) ?? '';
        const code = links.create(authenticate(secret)?.hash ?? '');
        return Response.json(
          { path: `/dashboard?code=${code}`, minutes: linkMinutes },
          { headers: { 'cache-control': 'no-store' } },
        );
      },
    },
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

/** What a link carries becomes a cookie, and stays in no address bar: a code that is good once, or a token. */
async function showDashboard(request: Request, dashboard: Dashboard): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const code = searchParams.get('code');
  const secret = searchParams.get('token');
  const fromCode = code === null ? undefined : dashboard.links.take(code);
  if (fromCode !== undefined && dashboard.isAlive(fromCode)) return signedIn(fromCode, dashboard);
  const refusal = refusalOf(request, dashboard, secret);
  if (refusal) {
    const reason =
      code === null ? refusal.reason : `This link was used, or is older than ${linkMinutes} minutes.`;
    return page(refusalPage(reason), refusal.status, refusal.headers);
  }
  // It was opened a second time, by a browser that it had signed in.
  if (code !== null) return redirect();
  const fromToken = secret === null ? undefined : dashboard.authenticate(secret)?.hash;
  if (fromToken !== undefined) return signedIn(fromToken, dashboard);
  return page(fleetPage(await dashboard.readFleet(), version, dashboard.now()));
}

function signedIn(hash: string, { cookieName, sessions }: Dashboard): Response {
  return redirect({
    'set-cookie': serialize(cookieName, sessions.seal(hash), {
      httpOnly: true,
      sameSite: 'Lax',
      path: '/',
      maxAge: sessionSeconds,
    }),
  });
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
