/** Who may look: by a link, a bearer token or a cookie. */
import { parse, serialize } from 'hono/utils/cookie';

import { allowedEffect } from '#runtime/access/scope.ts';
import type { Opening } from '#runtime/service.ts';
import { bearerOf } from '#runtime/wire/foreign.ts';

import { sessionSeconds, type Sessions } from './sessions.ts';

export interface Door extends Pick<Opening<unknown>, 'authenticate' | 'isAlive' | 'metrics'> {
  readonly sessions: Sessions;
  /** Tells the port, for two fleets on one host share their cookies. */
  readonly cookieName: string;
}

export interface Refusal {
  readonly status: 401 | 403;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Whoever may look, by the hash of their token; or why not. By the link's token, a bearer token or a cookie, in this order. */
export function admitted(
  request: Request,
  { authenticate, isAlive, sessions, cookieName, metrics }: Door,
  linkSecret: string | null = null,
): { readonly tokenHash: string } | Refusal {
  const secret = linkSecret ?? bearerOf(request.headers.get('authorization') ?? undefined);
  if (secret === undefined) {
    // The scope was looked at when the cookie was given, and no token's scope ever changes.
    const cookie = parse(request.headers.get('cookie') ?? '', cookieName)[cookieName];
    const hash = cookie === undefined ? undefined : sessions.open(cookie);
    if (hash !== undefined && isAlive(hash)) return { tokenHash: hash };
  }
  const caller = secret === undefined ? undefined : authenticate(secret);
  if (caller && allowedEffect(caller.scope, 'dashboard')) return { tokenHash: caller.hash };

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

export function cookieOf(tokenHash: string, { cookieName, sessions }: Door): string {
  return serialize(cookieName, sessions.seal(tokenHash), {
    httpOnly: true,
    sameSite: 'Lax',
    path: '/',
    maxAge: sessionSeconds,
  });
}
