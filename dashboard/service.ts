import { hash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

import { z } from 'zod';

import { entryOf } from '#config/catalogue.ts';
import { Assertions, signingKey, signingKeyFile } from '#runtime/access/assertions.ts';
import { metricsType } from '#runtime/account/metrics.ts';
import { standingsSchema } from '#runtime/process/standings.ts';
import { version } from '#runtime/process/version.ts';
import { defineService, type Opening } from '#runtime/service.ts';
import { bearerOf } from '#runtime/wire/foreign.ts';

import { admitted, cookieOf, type Door } from './access.ts';
import { codingFor, readAssets, type Assets } from './assets.ts';
import { Board } from './board.ts';
import { readDocument, readHealth } from './document-client.ts';
import { expositionOf } from './exposition.ts';
import { fleetOf, type Fleet } from './fleet.ts';
import { createLinks, linkMinutes, type Links } from './links.ts';
import { Observers } from './observers.ts';
import { fleetPage } from './pages/fleet-page.ts';
import type { Html, Pieces } from './pages/html.ts';
import { refusalPage } from './pages/layout.ts';
import { processPage } from './pages/process-page.ts';
import { createSessions, readSessionKey } from './sessions.ts';
import { Watch } from './watch.ts';

interface Dashboard extends Door, Pick<Opening<unknown>, 'now'>, Disposable {
  readonly links: Links;
  readonly assets: Assets;
  readonly board: Board;
  /** As it was a moment ago; with details of one process, where its name is given. */
  readonly readFleet: (name?: string) => Promise<Fleet>;
  /** Why health does not answer; `null` when it did a short while ago. */
  readonly failure: () => Promise<string | null>;
}

function portOf(name: 'health' | 'dashboard', offset: number): number {
  return (entryOf(name)?.port ?? 0) + offset;
}

/** The fleet asks the dashboard once a second whether it can do its job, and it must not ask back each time. */
const readyForMs = 5_000;

/** Nothing of note waits for them longer. */
const boundsOfStandings = { deadlineMs: 500, mostBytes: 1024 * 1024 };

const self = 'dashboard';

export default defineService({
  name: self,
  settings: z.object({}),

  open({ dataDir, host, log, now, authenticate, isAlive, metrics }): Dashboard {
    const offset = host.FLOTILLA_PORT_OFFSET;
    const assets = readAssets();
    const assertions = new Assertions(self, signingKey(dataDir));
    const secret = (of = 'health') => assertions.ofSelf('read', of, now());
    const watch = new Watch(async (name) => readHealth(portOf('health', offset), secret(), name), now);
    const observers = new Observers(async ({ name, port }) => {
      const asking = { name, port: port + offset, secret: secret(name), ...boundsOfStandings };
      return (await readDocument('/standings', standingsSchema, asking)).document;
    }, now);
    const readFleet = async (name?: string) => {
      const [known, told] = await Promise.all([watch.known(name), observers.known()]);
      return fleetOf(known, offset, now(), told);
    };
    const board = new Board({
      isAlive,
      now,
      failed: (error) => log.error('page_not_rendered', { error }),
      async render(about) {
        const fleet = await readFleet(about === '' ? undefined : about);
        const rendered = pageOf(about, fleet, { assets, now }, '');
        return { pieces: rendered?.pieces.contents ?? new Map(), polledAt: fleet.health.polledAt };
      },
    });
    metrics.gauge('flotilla_dashboard_streams', 'Pages that are kept up to date now.', () => board.count);
    return {
      authenticate,
      isAlive,
      metrics,
      now,
      sessions: createSessions(readSessionKey(join(dataDir, 'session-key')), now),
      links: createLinks(now),
      cookieName: `flotilla-${portOf('dashboard', offset)}`,
      assets,
      board,
      readFleet,
      failure: async () => (await watch.known(undefined, readyForMs)).failure,
      [Symbol.dispose]: () => board[Symbol.dispose](),
    };
  },

  secretFiles: ['session-key', signingKeyFile],
  openCopy: () => ({ [Symbol.dispose]() {} }), // nothing is left to open

  async check({ failure }) {
    const found = await failure();
    return found === null
      ? { ready: true, reasons: [] }
      : { ready: false, reasons: [`health does not answer: ${found}`] };
  },

  stopping: ({ board }) => board.end(),

  routes: [
    { path: '/', access: 'open', handle: () => redirect() },
    { path: '/dashboard', access: 'open', handle: showFleet },
    { path: '/dashboard/:name', access: 'open', handle: showProcess },
    { path: '/events', access: 'open', handle: follow },
    {
      path: '/assets/:hash/:name',
      access: 'open',
      handle: (request, { assets }) =>
        assets.find(new URL(request.url).pathname, request.headers.get('accept-encoding')) ??
        Response.json({ error: 'There is no such file: reload the page.' }, { status: 404 }),
    },
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
    { path: '/status', access: 'open', handle: tellStatus },
    {
      path: '/metrics',
      access: 'open',
      async handle(_request, { metrics, readFleet, now }) {
        const [own, fleet] = await Promise.all([metrics.text(), readFleet()]);
        return new Response(own + expositionOf(fleet, now()), { headers: { 'content-type': metricsType } });
      },
    },
  ],
});

/** What a link carries becomes a cookie, and stays in no address bar: a code that is good once, or a token. */
async function showFleet(request: Request, dashboard: Dashboard): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const code = searchParams.get('code');
  const secret = searchParams.get('token');
  const fromCode = code === null ? undefined : dashboard.links.take(code);
  if (fromCode !== undefined && dashboard.isAlive(fromCode)) return signedIn(fromCode, dashboard);
  const found = admitted(request, dashboard, secret);
  if ('reason' in found) {
    const reason =
      code === null ? found.reason : `This link was used, or is older than ${linkMinutes} minutes.`;
    return page(request, dashboard, refusalPage(reason, dashboard.assets), found);
  }
  // It was opened a second time, by a browser that it had signed in.
  if (code !== null) return redirect();
  const fromToken = secret === null ? undefined : dashboard.authenticate(secret)?.hash;
  if (fromToken !== undefined) return signedIn(fromToken, dashboard);
  return show(request, dashboard, '');
}

async function showProcess(request: Request, dashboard: Dashboard): Promise<Response> {
  const found = admitted(request, dashboard);
  if ('reason' in found) return page(request, dashboard, refusalPage(found.reason, dashboard.assets), found);
  const name = nameIn(new URL(request.url).pathname.slice('/dashboard/'.length));
  if (name === undefined) return redirect();
  return show(request, dashboard, name);
}

/** Of the catalogue, and nothing else. */
function nameIn(text: string): string | undefined {
  return entryOf(text)?.name;
}

function pageOf(
  about: string,
  fleet: Fleet,
  { assets, now }: Pick<Dashboard, 'assets' | 'now'>,
  nonce: string,
): { page: Html; pieces: Pieces } | undefined {
  const shown = { fleet, version, nowMs: now(), assets, nonce };
  if (about === '') return fleetPage(shown);
  const row = fleet.processes.find(({ name }) => name === about);
  return row && processPage(row, shown);
}

async function show(request: Request, dashboard: Dashboard, about: string): Promise<Response> {
  const nonce = randomBytes(16).toString('base64');
  const fleet = await dashboard.readFleet(about === '' ? undefined : about);
  const rendered = pageOf(about, fleet, dashboard, nonce);
  if (!rendered) return redirect();
  const mark = dashboard.board.take(about, rendered.pieces.contents);
  const text = rendered.page.replace('data-mark=""', `data-mark="${mark}"`);
  return page(request, dashboard, text, { status: 200, headers: {} }, nonce);
}

/** The pieces of a page that change, as they change. */
async function follow(request: Request, dashboard: Dashboard): Promise<Response> {
  const found = admitted(request, dashboard);
  if ('reason' in found)
    return Response.json({ error: found.reason }, { status: found.status, headers: found.headers });
  const { searchParams } = new URL(request.url);
  const about = searchParams.get('about') ?? '';
  if (about !== '' && nameIn(about) === undefined) {
    return Response.json({ error: 'There is no process of this name.' }, { status: 404 });
  }
  const mark = request.headers.get('last-event-id') ?? searchParams.get('mark') ?? '';
  const stream = await dashboard.board.open(about, mark, found.tokenHash);
  if (stream) return stream;
  dashboard.metrics.countRefusal('busy');
  return Response.json(
    { error: 'Too many pages are open already: close one.' },
    { status: 503, headers: { 'retry-after': '10' } },
  );
}

/** What is new each second though nothing has happened. */
const passing = new Set(['at', 'polledAt', 'ageMs', 'latencyMs', 'recoveryPointAgeMs']);

async function tellStatus(request: Request, dashboard: Dashboard): Promise<Response> {
  const found = admitted(request, dashboard);
  if ('reason' in found)
    return Response.json({ error: found.reason }, { status: found.status, headers: found.headers });
  const { overview, ...fleet } = await dashboard.readFleet();
  const { processes: _processes, ...rest } = overview ?? {};
  const body = { ...rest, version, ...fleet };
  const meaning = JSON.stringify(body, (key, value: unknown) => (passing.has(key) ? undefined : value));
  const headers = {
    etag: `W/"${hash('sha256', meaning, 'base64url').slice(0, 22)}"`,
    'cache-control': 'no-cache',
  };
  if (fleet.health.answers && request.headers.get('if-none-match') === headers.etag) {
    return new Response(null, { status: 304, headers });
  }
  return Response.json(body, { status: fleet.health.answers ? 200 : 503, headers });
}

function signedIn(tokenHash: string, dashboard: Dashboard): Response {
  return redirect({ 'set-cookie': cookieOf(tokenHash, dashboard) });
}

function redirect(headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, { status: 303, headers: { ...guards, location: '/dashboard', ...headers } });
}

const guards = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
} as const;

const compress = { br: promisify(brotliCompress), gzip: promisify(gzip) };

async function page(
  request: Request,
  { assets }: Dashboard,
  contents: Html | string,
  { status, headers }: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  nonce?: string,
): Promise<Response> {
  const scripts = nonce === undefined ? '' : ` script-src 'nonce-${nonce}'; connect-src 'self';`;
  const policy = `default-src 'none';${scripts} style-src '${assets.cssHash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  const coding = codingFor(request.headers.get('accept-encoding'));
  const plain = Buffer.from(contents.toString());
  const body =
    coding === 'br'
      ? await compress.br(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } })
      : coding === 'gzip'
        ? await compress.gzip(plain)
        : plain;
  return new Response(new Uint8Array(body), {
    status,
    headers: {
      ...guards,
      'content-security-policy': policy,
      'content-type': 'text/html; charset=utf-8',
      vary: 'accept-encoding',
      ...(coding && { 'content-encoding': coding }),
      ...headers,
    },
  });
}
