import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { createToken, revokeToken } from '#runtime/access/tokens.ts';

import health from '../health/service.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { serve } from '../tests/support/serve.ts';
import dashboard from './service.ts';

const portOf = (name: string, offset: number) => (entryOf(name)?.port ?? 0) + offset;

async function serveDashboard() {
  const offset = await freePortOffset();
  const settings = { FLOTILLA_PORT_OFFSET: String(offset) };
  const served = await serve(dashboard, settings, portOf('dashboard', offset));
  const get = async (path: string, headers: Record<string, string> = {}) =>
    fetch(served.url + path, { headers, redirect: 'manual' });
  return {
    ...served,
    offset,
    get,
    bearer: { authorization: `Bearer ${served.token}` },
    /** Without memory: what is not started is absent. */
    startHealth: async () =>
      serve(
        health,
        { ...settings, FLOTILLA_DATA: served.dataRoot, FLOTILLA_HEALTH_EXPECT: 'health,dashboard' },
        portOf('health', offset),
      ),
    cookieFor: async (token: string) => {
      const response = await get(`/dashboard?token=${token}`);
      return response.headers.get('set-cookie')?.split(';')[0] ?? '';
    },
  };
}

test('the link becomes a cookie that is not the token, and an address without it', async () => {
  await using served = await serveDashboard();

  const response = await served.get(`/dashboard?token=${served.token}`);

  const cookie = response.headers.get('set-cookie') ?? '';
  expect(response.status).toBe(303);
  expect(response.headers.get('location')).toBe('/dashboard');
  expect(response.headers.get('referrer-policy')).toBe('no-referrer');
  expect(cookie).toMatch(
    new RegExp(
      `^flotilla-${portOf('dashboard', served.offset)}=[^;]+; Max-Age=\\d+; Path=/; HttpOnly; SameSite=Lax$`,
    ),
  );
  expect(cookie).not.toContain(served.token);
});

test('a link that is good once signs a browser in, and is worth nothing afterwards', async () => {
  await using served = await serveDashboard();
  const ask = async (headers: Record<string, string>) =>
    fetch(`${served.url}/sign-in-link`, { method: 'POST', headers });
  const made = await ask(served.bearer);
  const { path, minutes } = (await made.json()) as { path: string; minutes: number };
  expect(made.headers.get('cache-control')).toBe('no-store');
  expect(minutes).toBe(10);
  expect(path).toMatch(/^\/dashboard\?code=[\w-]{22}$/);

  const first = await served.get(path);
  const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? '';
  const again = await served.get(path);

  expect(first.status).toBe(303);
  expect(first.headers.get('location')).toBe('/dashboard');
  expect(cookie).not.toContain(served.token);
  expect((await served.get('/dashboard', { cookie })).status).toBe(200);
  expect(again.status).toBe(401);
  expect(await again.text()).toContain('This link was used, or is older than 10 minutes.');
  // Who is signed in may open it again.
  expect(await served.get(path, { cookie })).toMatchObject({ status: 303 });

  expect((await ask({})).status).toBe(401);
  const narrow = await createToken(served.dataRoot, { name: 'narrow', scope: ['memory'], expiresAt: null });
  await vi.waitFor(async () => expect((await ask({ authorization: `Bearer ${narrow}` })).status).toBe(403));
  expect((await served.get('/sign-in-link', served.bearer)).status).toBe(405);
});

test('a link that is not opened yet ends with its token', async () => {
  await using served = await serveDashboard();
  const guest = await createToken(served.dataRoot, {
    name: 'guest',
    scope: ['dashboard:read'],
    expiresAt: null,
  });
  const headers = { authorization: `Bearer ${guest}` };
  const made = await vi.waitFor(async () => {
    const response = await fetch(`${served.url}/sign-in-link`, { method: 'POST', headers });
    expect(response.status).toBe(200);
    return response;
  });
  const { path } = (await made.json()) as { path: string };

  await revokeToken(served.dataRoot, 'guest');
  await vi.waitFor(async () => expect((await served.get('/dashboard', headers)).status).toBe(401));

  expect((await served.get(path)).status).toBe(401);
});

test('the cookie opens the page and the status, and so does a bearer token', async () => {
  await using served = await serveDashboard();
  const cookie = await served.cookieFor(served.token);

  for (const headers of [{ cookie }, served.bearer]) {
    expect((await served.get('/dashboard', headers)).status).toBe(200);
    expect(await (await served.get('/status', headers)).json()).toHaveProperty('processes');
  }
});

test('without a token the page says how to open it, and the status tells a program', async () => {
  await using served = await serveDashboard();

  const page = await served.get('/dashboard');
  const status = await served.get('/status');

  expect(page.status).toBe(401);
  expect(await page.text()).toContain('flotilla dashboard');
  expect(status.status).toBe(401);
  expect(await status.json()).toEqual({ error: 'You are not signed in.' });
});

test('a wrong token, and a token in the address of anything but the page, open nothing', async () => {
  await using served = await serveDashboard();

  expect((await served.get('/dashboard?token=flt_wrong')).status).toBe(401);
  expect((await served.get('/status?token=' + served.token)).status).toBe(401);
  expect((await served.get('/dashboard', { cookie: `flotilla=${served.token}` })).status).toBe(401);
});

test('a token without scope for the dashboard gets no cookie', async () => {
  await using served = await serveDashboard();
  const secret = await createToken(served.dataRoot, { name: 'narrow', scope: ['memory'], expiresAt: null });

  await vi.waitFor(async () => {
    const response = await served.get(`/dashboard?token=${secret}`);
    expect(response.status).toBe(403);
    expect(response.headers.get('set-cookie')).toBeNull();
  });
});

test('a cookie dies with its token', async () => {
  await using served = await serveDashboard();
  const secret = await createToken(served.dataRoot, {
    name: 'guest',
    scope: ['dashboard:read'],
    expiresAt: null,
  });
  let cookie = '';
  await vi.waitFor(async () => {
    cookie = await served.cookieFor(secret);
    expect((await served.get('/dashboard', { cookie })).status).toBe(200);
  });

  await revokeToken(served.dataRoot, 'guest');

  await vi.waitFor(async () => expect((await served.get('/dashboard', { cookie })).status).toBe(401));
});

test('the policy allows the style sheet by its hash and scripts by a word that is new each time, and nothing else', async () => {
  await using served = await serveDashboard();

  const [first, second] = [
    await served.get('/dashboard', served.bearer),
    await served.get('/dashboard/memory', served.bearer),
  ];

  const policies = [];
  for (const response of [first, second]) {
    const text = await response.text();
    const css = /<style>([^]*)<\/style>/.exec(text)?.[1] ?? '';
    const nonces = new Set([...text.matchAll(/<script nonce="([^"]+)"/g)].map(([, nonce]) => nonce));
    const hash = createHash('sha256').update(css).digest('base64');
    expect(nonces.size).toBe(1);
    expect(response.headers.get('content-security-policy')).toBe(
      `default-src 'none'; script-src 'nonce-${[...nonces].join('')}'; connect-src 'self'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(response.headers.get('x-frame-options')).toBe('DENY');
    expect(response.headers.get('cache-control')).toBe('no-store');
    policies.push(response.headers.get('content-security-policy'));
  }
  expect(policies[0]).not.toBe(policies[1]);
  const refused = await served.get('/dashboard');
  expect(refused.headers.get('content-security-policy')).not.toContain('script-src');
});

test('scripts have addresses that change with them, are kept for good, and come compressed', async () => {
  await using served = await serveDashboard();
  const text = await (await served.get('/dashboard/memory', served.bearer)).text();
  const paths = [...text.matchAll(/ src="([^"]+)"/g)].map(([, path = '']) => path);

  expect(paths.map((path) => path.split('/').at(-1))).toEqual(['uplot.js', 'charts.js', 'live.js']);
  for (const path of paths) {
    const response = await served.get(path, { 'accept-encoding': 'gzip, br' });
    expect(response.headers.get('content-encoding')).toBe('br');
    expect(response.headers.get('cache-control')).toContain('immutable');
    expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect((await response.text()).length).toBeGreaterThan(1_000);
  }
  expect((await served.get('/assets/x/uplot.js')).status).toBe(404);
});

test('page, scripts and style take less than 100 KB on the way', async () => {
  await using served = await serveDashboard();
  const accepting = { 'accept-encoding': 'br' };
  // Node undoes the compression; the length that was sent is in no header of a stream.
  const sizeOf = async (path: string) =>
    new Promise<number>((resolve, reject) => {
      get(served.url + path, { headers: { ...accepting, ...served.bearer } }, (response) => {
        let bytes = 0;
        response.on('data', (part: Buffer) => (bytes += part.length));
        response.on('end', () => resolve(bytes));
      }).on('error', reject);
    });
  const text = await (await served.get('/dashboard/memory', served.bearer)).text();
  const scripts = [...text.matchAll(/ src="([^"]+)"/g)].map(([, path = '']) => path);

  const sizes = await Promise.all(['/dashboard', '/dashboard/memory', ...scripts].map(sizeOf));

  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(100_000);
});

test('the page, the status and the metrics show what health sees', async () => {
  await using served = await serveDashboard();
  await using _health = await served.startHealth();

  await vi.waitFor(
    async () => {
      const status: unknown = await (await served.get('/status', served.bearer)).json();
      expect(status).toMatchObject({ status: 'up', up: 2, total: 2, health: { answers: true } });
    },
    { timeout: 20_000 },
  );

  const page = await (await served.get('/dashboard', served.bearer)).text();
  expect(page).toContain('All 2 are up');
  expect(page).toContain('absent');
  expect(await (await served.get('/dashboard/dashboard', served.bearer)).text()).toContain(
    '<h1 class="summary">dashboard ',
  );
  const metrics = await (await served.get('/metrics')).text();
  expect(metrics).toContain('flotilla_health_answers 1\n');
  expect(metrics).toContain('flotilla_process_up{name="dashboard",tier="platform",type="platform"} 1\n');
  expect(metrics).toContain('flotilla_fleet_processes{tier="platform",type="platform",status="up"} 2\n');
  expect(metrics).toContain('flotilla_build_info{');
  expect(metrics).not.toContain('name="memory"');
  expect((await served.get('/ready')).status).toBe(200);
});

test('who asks for the status again hears when nothing of note has changed', async () => {
  await using served = await serveDashboard();
  await using _health = await served.startHealth();
  const ask = async (etag: string) => served.get('/status', { ...served.bearer, 'if-none-match': etag });

  // Health counts its own polls and reads its own memory: what it says comes to rest between two looks.
  await vi.waitFor(
    async () => {
      const etag = (await ask('')).headers.get('etag') ?? '';
      expect(etag).toMatch(/^W\/"[\w-]{22}"$/);
      expect((await ask(etag)).status).toBe(304);
    },
    { timeout: 20_000 },
  );
  expect((await ask('W/"other"')).status).toBe(200);
});

test('a page is followed with a cookie or token, within the streams that there are, to the end of the token', async () => {
  await using served = await serveDashboard();
  const guest = await createToken(served.dataRoot, {
    name: 'guest',
    scope: ['dashboard:read'],
    expiresAt: null,
  });
  const headers = { authorization: `Bearer ${guest}` };
  const stream = await vi.waitFor(async () => {
    const response = await served.get('/events?about=memory', headers);
    expect(response.status).toBe(200);
    return response;
  });

  expect(stream.headers.get('content-type')).toBe('text/event-stream');
  expect((await served.get('/events')).status).toBe(401);
  expect((await served.get('/events?about=nobody', headers)).status).toBe(404);
  await revokeToken(served.dataRoot, 'guest');
  // It ends by itself.
  expect(await stream.text()).toMatch(/^retry: 2000\n\nevent: pieces\nid: [0-9a-f]{12}\.1\ndata: \{"/);
});

test('the process stops at once, whoever looks', async () => {
  await using served = await serveDashboard();
  const stream = await served.get('/events', served.bearer);

  await Promise.all([served.stop(), stream.text()]);

  await expect(served.get('/dashboard')).rejects.toThrow('fetch failed');
});

test('a process that the catalogue lacks has no page', async () => {
  await using served = await serveDashboard();

  for (const name of ['nobody', '..%2Ftoken', '%00', '__proto__']) {
    expect(await served.get(`/dashboard/${name}`, served.bearer)).toMatchObject({ status: 303 });
  }
  expect((await served.get('/dashboard/memory')).status).toBe(401);
});

test('without health everything is still shown, as unknown', async () => {
  await using served = await serveDashboard();

  const page = await served.get('/dashboard', served.bearer);
  const status = await served.get('/status', served.bearer);

  expect(page.status).toBe(200);
  expect(await page.text()).toContain('Health does not answer');
  expect(status.status).toBe(503);
  expect(await (await served.get('/metrics')).text()).toContain('flotilla_health_answers 0\n');
  expect((await served.get('/ready')).status).toBe(503);
});

test.each([
  ['hangs', () => {}, /no answer within/],
  [
    'is another program',
    (response: { end(text: string): void }) => response.end('<h1>Hi</h1>'),
    /another program/,
  ],
])('a health that %s is told apart', async (_how, answer, failure) => {
  await using served = await serveDashboard();
  const foreign = createServer((_request, response) => answer(response));
  await new Promise<void>((done) => {
    foreign.listen(portOf('health', served.offset), '127.0.0.1', done);
  });
  using _closed = { [Symbol.dispose]: () => (foreign.close(), foreign.closeAllConnections()) };

  const status: unknown = await (await served.get('/status', served.bearer)).json();

  expect(status).toMatchObject({
    status: 'unknown',
    health: { failure: expect.stringMatching(failure) as string },
  });
});

test('the root leads to the page, and the key lies in the folder of the dashboard', async () => {
  await using served = await serveDashboard();

  expect((await served.get('/')).headers.get('location')).toBe('/dashboard');
  expect(readFileSync(join(served.dataRoot, 'dashboard', 'session-key'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
});
