/** Real receivers on this host, for each kind of webhook and each way of not taking a message. */
import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

import { expect, test, vi } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import type { Alert, News } from './alerts.ts';
import { AlertStore, alertsFile } from './alert-store.ts';
import { webhookKinds, type WebhookKind } from './messages.ts';
import { Webhooks, type Webhook } from './webhooks.ts';

/** Where nobody listens: one that was free a moment ago. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
const closed = `http://127.0.0.1:${await closedPort()}/secret-path`;

interface Received {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Answers as a test says, and keeps what it was sent. */
async function receiver(
  answer: (response: ServerResponse, count: number) => void = (response) => void response.end('ok'),
) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const { url = '', headers } = request;
      received.push({ path: url, headers, body: await text(request) });
      answer(response, received.length);
    })();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    received,
    url: `http://127.0.0.1:${port}/services/T0/B0/secret-path`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const atMs = Date.UTC(2026, 10, 29, 12);
const alert: Alert = {
  id: 7,
  key: 'down memory',
  kind: 'down',
  severity: 'page',
  subject: 'memory',
  summary: 'memory is down: connection refused',
  sinceMs: atMs,
  openedMs: atMs,
  resolvedMs: null,
  toldMs: atMs,
  evidence: [
    {
      process: 'memory',
      probe: 'connection refused',
      manager: 'failed (failed), restarted twice, ended with signal 9',
      lines: ['<!channel> last & words'],
      note: null,
    },
  ],
};
const opened: News = { event: 'opened', alerts: [alert] };

interface Given {
  readonly folder?: string;
  readonly deadlineMs?: number;
  readonly isUnit?: boolean;
  readonly now?: () => number;
}

function sender(
  webhooks: readonly Webhook[],
  { folder, deadlineMs, isUnit = false, now = Date.now }: Given = {},
) {
  const logged: string[] = [];
  const note = (event: string, fields?: object) => void logged.push(JSON.stringify({ event, ...fields }));
  const log = { info: note, warn: note, error: note };
  const store = new AlertStore(folder === undefined ? ':memory:' : alertsFile(folder), log);
  const sending = new Webhooks({
    webhooks,
    store,
    log,
    now,
    host: 'host-1',
    isUnit,
    firstDelayMs: 5,
    ...(deadlineMs !== undefined && { deadlineMs }),
  });
  return {
    sending,
    store,
    logged,
    tell: (news: News = opened) => store.write(...sending.tell(news, now())),
    waiting: () => sending.state().map(({ waiting }) => waiting),
    onDisk: () => store.database.prepare<[], number>('SELECT count(*) FROM outbox').pluck().get(),
    async [Symbol.asyncDispose]() {
      await sending[Symbol.asyncDispose]();
      store[Symbol.dispose]();
    },
  };
}

test.each(webhookKinds)('%s gets what happened, since when and why, in its own form', async (kind) => {
  await using there = await receiver();
  await using it = sender([{ kind, url: there.url, token: 'tk_1', secret: 'shared' }]);
  it.tell();
  await vi.waitFor(() => expect(it.sending.state()).toMatchObject([{ delivered: 1, waiting: 0 }]));

  const [{ headers, body, path } = { headers: {}, body: '', path: '' }] = there.received;
  expect(path).toBe('/services/T0/B0/secret-path');
  expect(headers).toMatchObject({
    'user-agent': 'flotilla',
    authorization: 'Bearer tk_1',
    'flotilla-signature': `sha256=${createHmac('sha256', 'shared').update(body).digest('hex')}`,
  });
  for (const part of ['memory is down: connection refused', '2026-11-29T12:00:00.000Z', 'restarted twice'])
    expect(body).toContain(part);
  const checks: Readonly<Record<WebhookKind, () => void>> = {
    json: () =>
      expect(JSON.parse(body)).toMatchObject({
        version: 1,
        event: 'opened',
        host: 'host-1',
        title: 'Alert on host-1: memory',
        alerts: [
          {
            id: 7,
            severity: 'page',
            subject: 'memory',
            since: '2026-11-29T12:00:00.000Z',
            evidence: [{ process: 'memory' }],
          },
        ],
      }),
    slack: () => {
      const { text: title, blocks } = JSON.parse(body) as {
        text: string;
        blocks: { text: { text: string } }[];
      };
      expect(title).toBe('Alert on host-1: memory');
      // Nobody is called by a log line.
      expect(blocks[1]?.text.text).toContain('&lt;!channel&gt; last &amp; words');
    },
    ntfy: () => {
      expect(headers).toMatchObject({
        title: 'Alert on host-1: memory',
        priority: '5',
        tags: 'rotating_light',
      });
      expect(body).toContain('<!channel> last & words');
    },
  };
  checks[kind]();
});

test('many alerts make one message that every kind can take, the first of them in full', async () => {
  await using there = await receiver();
  await using it = sender(webhookKinds.map((kind) => ({ kind, url: there.url })));
  it.tell({
    event: 'opened',
    alerts: Array.from({ length: 40 }, (_, id) => ({
      ...alert,
      id,
      subject: `process-${id}`,
      summary: `${'ü'.repeat(400)} ${id}`,
    })),
  });
  await vi.waitFor(() => expect(there.received).toHaveLength(3));

  const of = (isOne: (one: Received) => boolean) => there.received.find(isOne)?.body ?? '';
  const ntfy = of(({ headers }) => headers['title'] !== undefined);
  const slack = of(({ body }) => body.includes('"blocks"'));
  const json = of(({ body }) => body.includes('"alerts"'));
  expect(Buffer.byteLength(ntfy)).toBeLessThanOrEqual(4_000);
  expect(ntfy.isWellFormed()).toBe(true);
  const { blocks } = JSON.parse(slack) as { blocks: { text: { text: string } }[] };
  expect(blocks[1]?.text.text.length).toBeLessThanOrEqual(3_000);
  expect((JSON.parse(json) as { alerts: unknown[] }).alerts).toHaveLength(40);
});

test('a receiver that fails is tried again until it takes it, in order, and one that works waits for nobody', async () => {
  await using there = await receiver((response, count) => {
    response.statusCode = count <= 2 ? 500 : 200;
    response.end();
  });
  await using well = await receiver();
  await using it = sender([
    { kind: 'json', url: there.url },
    { kind: 'json', url: well.url },
  ]);
  it.tell();
  it.tell({ event: 'resolved', alerts: [{ ...alert, resolvedMs: atMs + 1_000 }] });
  await vi.waitFor(() => expect(it.waiting()).toEqual([0, 0]));

  const events = (received: readonly Received[]) =>
    received.map(({ body }) => (JSON.parse(body) as { event: string }).event);
  expect(events(there.received)).toEqual(['opened', 'opened', 'opened', 'resolved']);
  expect(events(well.received)).toEqual(['opened', 'resolved']);
  // The same message each time: who takes one twice can tell.
  expect(
    new Set(there.received.slice(0, 3).map(({ body }) => (JSON.parse(body) as { id: string }).id)).size,
  ).toBe(1);
  expect(it.onDisk()).toBe(0);
  expect(it.store.isKept).toBe(true);
  expect(it.sending.state()[0]).toMatchObject({ delivered: 2, dropped: 0, lastFailure: null });
});

test('Retry-After is kept', async () => {
  await using there = await receiver((response) => {
    response.writeHead(429, { 'retry-after': '120' }).end('slow down');
  });
  await using it = sender([{ kind: 'slack', url: there.url }], { now: () => atMs });
  it.tell();
  await vi.waitFor(() =>
    expect(it.sending.state()).toMatchObject([{ lastFailure: 'answers 429: slow down' }]),
  );

  const nextMs = it.store.database.prepare<[], number>('SELECT next_ms FROM outbox').pluck().get();
  expect(nextMs).toBe(atMs + 120_000);
});

test.each<[string, string | ((response: ServerResponse) => void), RegExp]>([
  ['refuses connections', closed, /^refuses the connection$/],
  ['has no address', 'http://no-such-host.invalid/secret-path', /^has no address/],
  [
    'is on a port that is not for the web',
    'http://127.0.0.1:6000/secret-path',
    /^has a port that no web request goes to$/,
  ],
  ['answers late', () => {}, /^gives no answer within 0\.2 s$/],
  [
    'redirects',
    (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    /^answers 302, which leads elsewhere/,
  ],
  [
    'says no, with our address in it',
    (response) => void response.writeHead(404).end('no such hook: /services/T0/B0/secret-path'),
    /^answers 404: no such hook: …$/,
  ],
  ['breaks off', (response) => void response.destroy(), /^cannot be reached \(UND_ERR_SOCKET\)$/],
])('a receiver that %s is told of in plain words, without its address', async (_, answer, words) => {
  await using there = await receiver(typeof answer === 'string' ? undefined : answer);
  const url = typeof answer === 'string' ? answer : there.url;
  await using it = sender([{ kind: 'json', url }], { deadlineMs: answer.length === 0 ? 200 : 5_000 });
  it.tell();

  const [tested] = await it.sending.test();
  await vi.waitFor(() => expect(it.sending.state()[0]?.lastFailure).toMatch(words));

  expect(tested).toMatchObject({
    name: 'json 1',
    isTaken: false,
    answer: expect.stringMatching(words) as string,
  });
  expect(it.waiting()).toEqual([1]);
  const seen = JSON.stringify([
    it.logged,
    it.sending.state(),
    tested,
    it.store.database.prepare('SELECT * FROM outbox').all(),
  ]);
  expect(seen).not.toContain('secret-path');
  expect(it.logged.filter((line) => line.includes('alert_not_delivered'))).toHaveLength(1);
});

test('an answer without end is not read to its end', async () => {
  await using there = await receiver((response) => {
    const more = () => {
      while (response.write('x'.repeat(65_536)));
      response.once('drain', more);
    };
    more();
  });
  await using it = sender([{ kind: 'ntfy', url: there.url }]);
  it.tell();
  await vi.waitFor(() => expect(it.sending.state()).toMatchObject([{ delivered: 1, waiting: 0 }]));
});

test('what waits is on disk, and the next process sends it', async () => {
  using folder = temporaryFolder();
  let isUp = false;
  await using there = await receiver((response) => {
    response.statusCode = isUp ? 200 : 503;
    response.end();
  });
  const webhooks: readonly Webhook[] = [{ kind: 'json', url: there.url }];
  {
    await using before = sender(webhooks, { folder: folder.path });
    for (let count = 1; count <= 6; count += 1) before.tell();
    before.tell({ event: 'resolved', alerts: [alert] });
    await vi.waitFor(() => expect(there.received.length).toBeGreaterThan(0));
  }
  isUp = true;
  await using it = sender(webhooks, { folder: folder.path });
  await vi.waitFor(() => expect(it.waiting()).toEqual([0]));

  // An attempt that was under way at the end may have come too.
  const ids = there.received.map(({ body }) => (JSON.parse(body) as { id: string }).id);
  const events = there.received.map(({ body }) => (JSON.parse(body) as { event: string }).event);
  expect(new Set(ids).size).toBe(7);
  expect([events[0], events.at(-1)]).toEqual(['opened', 'resolved']);
});

test('the queue is bounded, old news is given up, and what was dropped is counted over restarts', async () => {
  using folder = temporaryFolder();
  const webhooks: readonly Webhook[] = [{ kind: 'json', url: closed }];
  let nowMs = atMs;
  {
    await using it = sender(webhooks, { folder: folder.path, now: () => nowMs });
    it.store.write(...Array.from({ length: 510 }, () => it.sending.tell(opened, nowMs)).flat());
    expect(it.sending.state()).toMatchObject([{ waiting: 500, dropped: 10 }]);
    expect(it.onDisk()).toBe(500);
    nowMs += 25 * 3_600_000;
    // One after the other is tried once more, and given up.
    await vi.waitFor(() => expect(it.sending.state()[0]?.dropped).toBeGreaterThan(12));
    expect(it.logged.some((line) => line.includes('nobody took it for a day'))).toBe(true);
  }
  {
    await using again = sender(webhooks, { folder: folder.path, now: () => atMs });
    expect(again.sending.state()[0]?.dropped).toBeGreaterThan(12);
    expect(again.onDisk()).toBeGreaterThan(100);
  }
  await using without = sender([], { folder: folder.path });
  expect(without.onDisk()).toBe(0);
  expect(without.logged.some((line) => line.includes('not set any more'))).toBe(true);
});

test('a unit whose network is closed says how it is opened; this host is always in reach', async () => {
  await using it = sender(
    [
      { kind: 'json', url: 'http://no-such-host.invalid/' },
      { kind: 'json', url: closed },
    ],
    { isUnit: true },
  );
  const [outside, here] = await it.sending.test();

  expect(outside?.answer).toMatch(/flotilla install --egress health$/);
  expect(here?.answer).toBe('refuses the connection');
});

test('a test message says that it is one', async () => {
  await using there = await receiver();
  await using it = sender(webhookKinds.map((kind) => ({ kind, url: there.url })));

  const answers = await it.sending.test();

  expect(answers).toHaveLength(3);
  for (const answer of answers) expect(answer).toMatchObject({ isTaken: true, answer: 'answers 200: ok' });
  expect(answers.map(({ name }) => name)).toEqual(['json 1', 'slack 1', 'ntfy 1']);
  for (const { body, headers } of there.received)
    expect(body + JSON.stringify(headers)).toMatch(/test message/);
});
