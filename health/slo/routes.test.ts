/** One health for all: its pages, what administrators do, and the commands that ask it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import health from '../service.ts';

let served: Served;
let reader: string;
let closedPort: number;
const hook = createServer((_request, response) => void response.writeHead(500).end('no'));
const until = () => new Date(Date.now() + 600_000).toISOString();

beforeAll(async () => {
  await new Promise<void>((done) => hook.listen(0, '127.0.0.1', done));
  const { port } = hook.address() as AddressInfo;
  closedPort = 4321 + (await freePortOffset());
  served = await serve(health, {
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
    FLOTILLA_HEALTH_EXPECT: 'health',
    FLOTILLA_HEALTH_SLACK_URL: `http://127.0.0.1:${port}/services/secret-path  http://127.0.0.1:${closedPort}/other-secret`,
    FLOTILLA_LOG_LEVEL: 'error',
  });
  reader = await createToken(served.dataRoot, { name: 'reader', scope: ['health:read'], expiresAt: null });
});

afterAll(async () => {
  await served[Symbol.asyncDispose]();
  hook.close();
});

async function ask(path: string, token: string | null = served.token, body?: string) {
  const response = await fetch(`${served.url}${path}`, {
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(body !== undefined && { method: 'POST', body }),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  return { status: response.status, answer };
}

test('budgets, alerts and windows are for who may read health, and nobody else', async () => {
  for (const path of ['/slo', '/alerts', '/maintenance']) {
    expect((await ask(path, null)).status, path).toBe(401);
    expect((await ask(path, reader)).status, path).toBe(200);
  }
  const { answer } = await ask('/slo', reader);
  const objectives = answer['objectives'] as { id: string; budget: { allowedMs: number } }[];
  // What is not meant to run has no objective.
  expect(objectives.map(({ id }) => id)).toEqual(['health']);
  expect(Math.round((objectives[0]?.budget.allowedMs ?? 0) / 100)).toBe(2_592);
});

test('only an administrator begins and ends windows, or sends tests', async () => {
  for (const path of ['/maintenance', '/alerts/test']) {
    expect((await ask(path, null, '{}')).status).toBe(401);
    expect((await ask(path, reader, '{}')).status).toBe(403);
  }
});

test('a window is begun, shown and ended', async () => {
  const begun = await ask(
    '/maintenance',
    served.token,
    JSON.stringify({
      do: 'start',
      processes: ['health', 'health'],
      until: until(),
      reason: ' di\u001b[31msk\n\u202e ',
    }),
  );
  expect(begun).toMatchObject({
    status: 200,
    answer: { started: { id: 1, processes: ['health'], isOpen: true, reason: 'disk', recurring: null } },
  });
  expect((await ask('/alerts')).answer).toMatchObject({ maintenance: [{ id: 1 }], isKept: true });
  expect(await (await fetch(`${served.url}/metrics`)).text()).toContain(
    'flotilla_maintenance{name="health"} 1',
  );

  expect(await ask('/maintenance', served.token, '{"do":"end","id":1}')).toMatchObject({
    status: 200,
    answer: { ended: [{ id: 1, isOpen: false }] },
  });
  expect(await ask('/maintenance', served.token, '{"do":"end","id":1}')).toMatchObject({
    status: 404,
    answer: { error: 'No window 1 is open.' },
  });
  expect(await ask('/maintenance', served.token, '{"do":"end"}')).toMatchObject({
    status: 200,
    answer: { ended: [] },
  });
  expect((await ask('/maintenance?days=1&limit=1')).answer).toMatchObject({
    windows: [{ id: 1, isOpen: false }],
  });
});

test.each<[string, string, number, RegExp]>([
  ['no JSON', '{', 400, /must be|Invalid/],
  ['nothing', '', 400, /must be|Invalid/],
  ['neither', '{"do":"stop"}', 400, /^do: must be start or end$/],
  ['an unknown field', '{"do":"end","force":true}', 400, /^force: there is no such field here$/],
  [
    'a process that is none',
    '{"do":"start","processes":["memroy"],"until":"2999-01-01T00:00:00Z","reason":"x"}',
    400,
    /processes: must be all, or a list of memory/,
  ],
  ['nobody', '{"do":"start","processes":[],"until":"2999-01-01T00:00:00Z","reason":"x"}', 400, /processes: /],
  ['no time', '{"do":"start","processes":"all","reason":"x"}', 400, /until: must be a time/],
  [
    'words for a time',
    '{"do":"start","processes":"all","until":"tomorrow","reason":"x"}',
    400,
    /until: must be a time/,
  ],
  [
    'a time that has passed',
    '{"do":"start","processes":"all","until":"2020-01-01T00:00:00Z","reason":"x"}',
    400,
    /has passed already/,
  ],
  [
    'for ever',
    '{"do":"start","processes":"all","until":"2999-01-01T00:00:00Z","reason":"x"}',
    400,
    /14 days at most/,
  ],
  [
    'no reason',
    '{"do":"start","processes":"all","until":"2999-01-01T00:00:00Z","reason":" "}',
    400,
    /reason: must say why/,
  ],
  ['a number that is none', '{"do":"end","id":"1"}', 400, /id: must be a whole number/],
  ['a book', `{"do":"start","reason":"${'x'.repeat(30_000)}"}`, 413, /more than 20000 bytes/],
])('a change of windows with %s is refused', async (_, body, status, complaint) => {
  const before = (await ask('/maintenance')).answer['windows'];
  const { answer, ...refused } = await ask('/maintenance', served.token, body);

  expect(refused.status).toBe(status);
  expect(answer['error']).toMatch(complaint);
  expect((await ask('/maintenance')).answer['windows']).toEqual(before);
});

test.each(['/slo?x=1', '/alerts?days=0', '/alerts?days=91', '/alerts?limit=x', '/maintenance?limit=5000'])(
  '%s is refused',
  async (path) => {
    expect(await ask(path)).toMatchObject({ status: 400, answer: { error: expect.any(String) as string } });
  },
);

test('a test says how each webhook answered, and neither it nor anything else tells an address', async () => {
  const { answer } = await ask('/alerts/test', served.token, '{}');

  expect(answer['webhooks']).toMatchObject([
    { name: 'slack 1', isTaken: false, answer: 'answers 500: no' },
    { name: 'slack 2', isTaken: false, answer: 'refuses the connection' },
  ]);
  const said = [
    answer,
    (await ask('/alerts')).answer,
    await (await fetch(`${served.url}/metrics`)).text(),
    await (await fetch(`${served.url}/health`)).text(),
  ];
  expect(JSON.stringify(said)).not.toMatch(/secret/);
});

test.each([
  ['FLOTILLA_HEALTH_SLACK_URL', 'hooks.slack.com/services/secret'],
  ['FLOTILLA_HEALTH_WEBHOOK_URL', 'ftp://example.org/secret'],
  ['FLOTILLA_HEALTH_NTFY_URL', 'https://user:secret@ntfy.sh/topic'],
  ['FLOTILLA_HEALTH_NTFY_TOKEN', 'two secret words'],
  ['FLOTILLA_HEALTH_REMIND_MINUTES', '3'],
])('the setting %s is checked, and not repeated', async (name, value) => {
  const start = serve(health, { [name]: value });

  await expect(start).rejects.toThrow(new RegExp(`${name}: must be`));
  await expect(start).rejects.not.toThrow(/secret/);
});
