/** One client, however it behaves, leaves room and time for the others. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';

import { createToken } from '#runtime/access/tokens.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, takeTurn, type Steps } from '#runtime/turns.ts';

import { headersOf, messageOf } from '../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

async function another(served: Served): Promise<string> {
  const token = await createToken(served.dataRoot, { name: 'other', scope: ['*'], expiresAt: null });
  await vi.waitFor(async () => expect((await send(served, 'tools/list', {}, { token })).status).toBe(200));
  return token;
}

const hints = { readOnly: true, destructive: false, idempotent: true, openWorld: false };

let spun = 0;

function* spinning(steps: number): Steps<number> {
  for (let step = 0; step < steps; step += 1) {
    spun += 1;
    const endMs = performance.now() + 1;
    while (performance.now() < endMs);
    yield;
  }
  return steps;
}

/** Computes for so long, in turns. */
const compute = defineTool({
  name: 'compute',
  title: 'compute',
  description: 'Computes.',
  effect: 'read',
  hints,
  input: z.object({ ms: z.int() }),
  output: z.object({ steps: z.int() }),
  handler: async ({ ms }, _deps: object, call) => ({
    steps: await inTurns((read) => read(), call, spinning(ms)),
  }),
});

/** Computes for so long, and lets nobody else. */
const hog = defineTool({
  name: 'hog',
  title: 'hog',
  description: 'Holds the event loop.',
  effect: 'read',
  hints,
  input: z.object({ ms: z.int(), later: z.boolean() }),
  output: z.object({}),
  async handler({ ms, later }) {
    if (later) await sleep(1);
    const startedAt = process.threadCpuUsage();
    for (;;) {
      const { user, system } = process.threadCpuUsage(startedAt);
      if (user + system > ms * 1_000) return {};
    }
  },
});

const withMore = (more: Parameters<typeof wireService>[0] = {}) => {
  const { service, moments } = wireService(more);
  const tools = [...(service.tools as readonly never[]), compute, hog];
  return { service: { ...service, tools }, moments };
};

/** Connections that the kernel has made and the process has not let in. */
function waitingAt(port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  const listening = lines
    .map((line) => line.trim().split(/\s+/))
    .find(([, at, , state]) => at === local && state === '0A');
  return Number.parseInt(listening?.[4]?.split(':')[1] ?? '', 16);
}

describe('While one token computes all it may', () => {
  test('small calls of another are answered between the pieces', async () => {
    await using served = await serve(withMore().service);
    const token = await another(served);
    const over = new AbortController();
    let heavyDone = 0;
    const heavy = Array.from({ length: 30 }, async () => {
      while (!over.signal.aborted) {
        await callTool(served, 'compute', { ms: 100 });
        heavyDone += 1;
      }
    });
    await vi.waitFor(() => expect(heavyDone).toBeGreaterThan(0));

    const waited: number[] = [];
    for (let count = 0; count < 21; count += 1) {
      const before = spun;
      expect(codeOf(await callTool(served, 'echo', { nonce: 'x' }, { token }))).toBeUndefined();
      waited.push(spun - before);
    }
    over.abort();
    await Promise.all(heavy);

    // In one line with the others, each would wait for a piece, of four steps, of each of eight calls.
    expect(waited.toSorted((a, b) => a - b)[10]).toBeLessThan(16);
  });

  test('calls beyond those that may wait are told when to try again, and another token works', async () => {
    const { service, moments } = withMore();
    await using served = await serve(service);
    const token = await another(served);
    const held = Array.from({ length: 8 + 128 }, async (_, id) => callTool(served, 'hold', { id: `${id}` }));
    for (let id = 0; id < 8; id += 1) await moments.seen(`${id} started`);
    await vi.waitFor(async () =>
      expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(/flotilla_calls_waiting\S* 128/),
    );
    // Those at work may end soon: only when none does, no more may wait.
    await sleep(2_200);

    const refused = await callTool(served, 'echo', { nonce: 'x' });
    const other = await callTool(served, 'echo', { nonce: 'x' }, { token });
    for (let id = 0; id < held.length; id += 1) moments.happen(`${id} released`);
    const answers = await Promise.all(held);

    expect(codeOf(refused)).toBe('unavailable');
    expect(refused.result?.['_meta']).toMatchObject({
      'flotilla/error': {
        hint: expect.stringMatching(/^Try again in \d+ s/) as string,
        retryAfterMs: expect.any(Number) as number,
      },
    });
    expect(codeOf(other)).toBeUndefined();
    expect(answers.map(codeOf)).toEqual(held.map(() => undefined));
    expect(codeOf(await callTool(served, 'echo', { nonce: 'x' }))).toBeUndefined();
  });

  test('requests without a token, and for figures, keep nobody from seeing that the process lives', async () => {
    await using served = await serve(withMore().service);
    await fetch(`${served.url}/health`);
    let left = 200;
    for (const line of ['', '/metrics']) {
      for (let count = 0; count < 100; count += 1) {
        takeTurn(line, () => {
          for (const endMs = performance.now() + 2; performance.now() < endMs;);
          left -= 1;
        });
      }
    }

    const { status } = await fetch(`${served.url}/health`);

    expect(status).toBe(200);
    expect(left).toBeGreaterThan(0);
    await vi.waitFor(() => expect(left).toBe(0), { timeout: 30_000 });
  });

  test('a thousand strangers who ask at once whether it lives are answered from few looks', async () => {
    let looks = 0;
    const { service } = withMore();
    const look = () => {
      looks += 1;
      return {};
    };
    const check = async () => {
      looks += 1;
      return sleep(20, { ready: true, reasons: [] });
    };
    await using served = await serve({ ...service, describe: look, check });
    const { port } = new URL(served.url);
    const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;

    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const client = connect(Number(port), '127.0.0.1');
        client.write(ask('/health').repeat(25) + ask('/ready').repeat(25));
        let said = '';
        for await (const chunk of client) {
          said += String(chunk);
          if (said.split('HTTP/1.1 200 OK').length > 50) break;
        }
        return said.split('HTTP/1.1 200 OK').length - 1;
      }),
    );

    expect(answers).toEqual(answers.map(() => 50));
    expect(looks).toBeLessThan(200);
  });

  test('who asks once whether it lives does not wait behind those who ask again and again', async () => {
    let looks = 0;
    const describe = () => {
      looks += 1;
      // Longer than a turn of the loop: so each of them is looked for.
      for (const endMs = performance.now() + 3; performance.now() < endMs;);
      return {};
    };
    await using served = await serve({ ...withMore().service, describe });
    const { port } = new URL(served.url);
    const strangers = Array.from({ length: 10 }, () => connect(Number(port), '127.0.0.1'));
    for (const one of strangers) {
      one.resume().write('GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(60));
    }
    await vi.waitFor(() => expect(looks).toBeGreaterThan(10), { interval: 1 });

    const { status } = await fetch(`${served.url}/health`);
    const looksBefore = looks;
    for (const one of strangers) one.destroy();

    expect(status).toBe(200);
    // Of some 600.
    expect(looksBefore).toBeLessThan(300);
  });

  test('two thousand who connect at once are let in, as many as the host lets wait', async () => {
    await using served = await serve(withMore().service);
    const port = Number(new URL(served.url).port);
    const most = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));

    const clients = Array.from({ length: 2_000 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    // They have called when this comes, and nobody has been let in.
    await new Promise<void>((done) => process.nextTick(done));
    const waiting = waitingAt(port);
    for (const client of clients) client.destroy();

    expect(waiting).toBeGreaterThanOrEqual(Math.min(2_000, most));
  });

  test('calls that fail at once after they waited give their places back', async () => {
    const { service, moments } = withMore();
    await using served = await serve(service);
    const held = Array.from({ length: 8 }, async (_, id) => callTool(served, 'hold', { id: `${id}` }));
    for (let id = 0; id < 8; id += 1) await moments.seen(`${id} started`);
    const bad = Array.from({ length: 10 }, async () => callTool(served, 'hold', { id: 7.5 }));
    await vi.waitFor(async () =>
      expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(/flotilla_calls_waiting\S* 10/),
    );
    for (let id = 0; id < 8; id += 1) moments.happen(`${id} released`);

    expect((await Promise.all(bad)).map(codeOf)).toEqual(bad.map(() => 'invalid_input'));
    expect((await Promise.all(held)).map(codeOf)).toEqual(held.map(() => undefined));
    expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(/flotilla_calls_waiting\S* 0/);
    expect(codeOf(await callTool(served, 'echo', { nonce: 'x' }))).toBeUndefined();
  });

  test('a call that waits and whose client goes is forgotten', async () => {
    const { service, moments } = withMore();
    await using served = await serve(service);
    const held = Array.from({ length: 8 }, async (_, id) => callTool(served, 'hold', { id: `${id}` }));
    for (let id = 0; id < 8; id += 1) await moments.seen(`${id} started`);
    const waiting = async (count: number) =>
      vi.waitFor(async () =>
        expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(
          new RegExp(`flotilla_calls_waiting\\S* ${count}\n`),
        ),
      );
    const gone = new AbortController();
    const call = callTool(served, 'hold', { id: 'gone' }, { signal: gone.signal }).catch(() => 'gone');
    await waiting(1);

    gone.abort();
    expect(await call).toBe('gone');
    await waiting(0);
    for (let id = 0; id < 8; id += 1) moments.happen(`${id} released`);
    await Promise.all(held);
  });
});

/** In a thread of its own, as the loop of the service is watched. What it sends is no JSON. */
const sendMany = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { url, headers, count, bytes } = workerData;
  const body = Buffer.alloc(bytes, 'x');
  const send = () => fetch(url, { method: 'POST', headers, body }).then(({ status }) => status);
  Promise.all(Array.from({ length: count }, send)).then((statuses) => parentPort.postMessage(statuses));
`;

/** Calls back in every turn of the event loop. */
function countTurns(tick: () => void): Disposable {
  let immediate = setImmediate(function again() {
    tick();
    immediate = setImmediate(again);
  });
  return { [Symbol.dispose]: () => clearImmediate(immediate) };
}

describe('A body', () => {
  const post = async (served: Served, body: string | Uint8Array<ArrayBuffer>, headers = {}) =>
    fetch(`${served.url}/mcp`, {
      method: 'POST',
      headers: { ...headersOf(served, messageOf('tools/call', { name: 'echo' })), ...headers },
      body,
    });
  const echo = (nonce: string) =>
    JSON.stringify(messageOf('tools/call', { name: 'echo', arguments: { nonce } }));

  test('whose bytes are no UTF-8 is answered 400, and nothing runs', async () => {
    await using served = await serve(wireService().service);

    const response = await post(served, new Uint8Array(Buffer.from(echo('caf\xe9'), 'latin1')));

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: -32_700, message: expect.stringContaining('UTF-8') as string },
    });
  });

  test.each(['application/json; charset=iso-8859-1', 'application/json;charset="utf-16"'])(
    'in another charset is answered 415: %s',
    async (type) => {
      await using served = await serve(wireService().service);

      expect((await post(served, echo('x'), { 'content-type': type })).status).toBe(415);
    },
  );

  test('in UTF-8 is taken however the charset is written', async () => {
    await using served = await serve(wireService().service);

    for (const charset of ['utf-8', 'UTF-8', '"utf-8"', 'utf8']) {
      const response = await post(served, echo('caf\u{e9}'), {
        'content-type': `application/json; charset=${charset}`,
      });
      expect(await response.json(), charset).toMatchObject({
        result: { structuredContent: { nonce: 'caf\u{e9}' } },
      });
    }
  });

  test('that is compressed is answered 415', async () => {
    await using served = await serve(wireService().service);

    expect((await post(served, echo('x'), { 'content-encoding': 'gzip' })).status).toBe(415);
  });

  test('of a quarter of a million keys is refused before it is parsed', async () => {
    await using served = await serve(wireService().service);
    const keys = Array.from({ length: 250_000 }, (_, key) => `"k${key}":1`).join(',');

    const response = await post(served, echo('@').replace('"@"', `{${keys}}`));

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringContaining('split it') as string },
    });
  });

  test.each([
    { framing: 'content-length: 4000000', how: 'that says its length' },
    { framing: 'transfer-encoding: chunked', how: 'of unknown length' },
  ])('$how has its room before it is read, of the room of its token', async ({ framing }) => {
    await using served = await serve(wireService().service);
    const token = await another(served);
    const sockets = Array.from({ length: 16 }, () => connect(Number(new URL(served.url).port), '127.0.0.1'));
    const head = Object.entries(headersOf(served, messageOf('tools/call', { name: 'echo' })));
    for (const socket of sockets) {
      socket.on('error', () => {});
      socket.write(
        `POST /mcp HTTP/1.1\r\nhost: localhost\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}${framing}\r\n\r\n`,
      );
    }

    await vi.waitFor(async () => {
      const refused = await post(served, echo('x'.repeat(4_000_000)));
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    });
    expect((await post({ ...served, token }, echo('x'))).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(async () => expect((await post(served, echo('x'.repeat(4_000_000)))).status).toBe(200));
  });

  test('beside many others, all as long as may be, leaves turns of the event loop to others', async () => {
    // A busy machine may take longer for so many bytes than a request may.
    const surroundings = { limits: { requestMs: 240_000 } };
    await using served = await serve(wireService().service, {}, 0, surroundings);
    let turn = 0;
    const turnsOfBodies: number[] = [];
    const parse = JSON.parse;
    using _ = vi.spyOn(JSON, 'parse').mockImplementation((text: string) => {
      if (text.length === 4_000_000) turnsOfBodies.push(turn);
      return parse(text) as unknown;
    });
    using _counter = countTurns(() => (turn += 1));
    const message = messageOf('tools/call', { name: 'echo' });
    await using sender = new Worker(sendMany, {
      eval: true,
      workerData: {
        url: `${served.url}/mcp`,
        headers: headersOf(served, message),
        count: 24,
        bytes: 4_000_000,
      },
    });
    const [statuses] = (await once(sender, 'message')) as [number[]];

    expect([...new Set(statuses)].toSorted((a, b) => a - b)).toEqual([400, 503]);
    expect(new Set(turnsOfBodies).size).toBe(turnsOfBodies.length);
  });

  test('of a long text full of commas and quotes is taken', async () => {
    await using served = await serve(wireService().service);
    const nonce = '"a",{[\\'.repeat(200_000);

    expect((await callTool(served, 'echo', { nonce })).result?.['structuredContent']).toEqual({ nonce });
  });
});

describe('A message whose client has gone before its turn', () => {
  test.each([
    ['short', {}],
    ['long', { progressToken: 'p' }],
  ])('does not run, on the %s way', async (_, meta) => {
    let ran: string[] = [];
    const note = defineTool({
      name: 'note',
      title: 'note',
      description: 'Notes that it ran.',
      effect: 'write',
      hints,
      input: z.object({ id: z.string() }),
      output: z.object({}),
      handler({ id }) {
        ran.push(id);
        return {};
      },
    });
    const { service } = wireService();
    await using served = await serve({ ...service, tools: [...(service.tools as readonly never[]), note] });
    const token = await another(served);
    const bodyOf = (id: string) => messageOf('tools/call', { name: 'note', arguments: { id } }, { meta });
    await callTool(served, 'note', { id: 'warm' }, { token, meta });
    ran = [];

    // Each has a turn of the loop: the message waits behind them all, unless they are told that it may come.
    let left = 20_000;
    let mayCome = false;
    const hold = () => {
      left -= 1;
      if (mayCome) return;
      for (const endMs = performance.now() + 0.1; performance.now() < endMs;);
    };
    const ahead = left;
    for (let piece = 0; piece < ahead; piece += 1) takeTurn('other', hold, true);
    const message = JSON.stringify(bodyOf('gone'));
    const head = Object.entries(headersOf({ token }, bodyOf('gone')));
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1').on('error', () => {});
    using spy = vi.spyOn(ServerResponse.prototype, 'emit');
    socket.write(
      `POST /mcp HTTP/1.1\r\nhost: localhost\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}content-length: ${message.length}\r\n\r\n${message}`,
    );
    await vi.waitFor(() => expect(socket.bytesWritten).toBeGreaterThan(message.length));
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate);
    socket.destroy();
    await vi.waitFor(() => expect(spy.mock.calls.map(([event]) => event)).toContain('close'));
    expect(left).toBeGreaterThan(0);
    mayCome = true;
    await vi.waitFor(() => expect(left).toBe(0), { timeout: 30_000 });
    await callTool(served, 'note', { id: 'after' }, { token, meta });

    expect(ran).toEqual(['after']);
  });
});

describe('Connections', () => {
  async function openSocket(served: Served): Promise<Socket> {
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }
  /** Each token, and strangers together, have a quarter of them. */
  const few = { limits: { connections: 20 } };
  const listening = async (served: Served, token?: string) =>
    send(
      served,
      'subscriptions/listen',
      { notifications: { toolsListChanged: true } },
      token === undefined ? {} : { token },
    );
  const cutOff = async (served: Served) =>
    Number(
      /^flotilla_connections_cut_off\S* (\d+)/m.exec(
        await (await fetch(`${served.url}/metrics`)).text(),
      )?.[1],
    );

  test('with more requests than anybody waits for are ended, and others are served', async () => {
    await using served = await serve(wireService().service);
    const socket = await openSocket(served);

    socket.write('GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(20_000));

    await vi.waitFor(() => expect(socket.closed).toBe(true));
    expect(await rpc(served, 'tools/list')).toHaveProperty('result');
  });

  test('with a few requests at once have all of them answered', async () => {
    await using served = await serve(wireService().service);
    const socket = await openSocket(served);
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));

    socket.write('GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(64));

    await vi.waitFor(() => expect(said.match(/HTTP\/1\.1 404/g)?.length).toBe(64));
    socket.write('GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(64));
    await vi.waitFor(() => expect(said.match(/HTTP\/1\.1 404/g)?.length).toBe(128));
    socket.destroy();
  });

  test.each(['a good token', 'none'])(
    'with %s that cut a body into very many small chunks are ended before it is read',
    async (whose) => {
      await using served = await serve(wireService().service);
      const socket = await openSocket(served);
      socket.resume();
      const head = Object.entries(headersOf(served, messageOf('tools/call', { name: 'echo' })))
        .filter(([name]) => whose === 'a good token' || name !== 'authorization')
        .map(([name, value]) => `${name}: ${value}\r\n`);

      socket.write(
        `POST /mcp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n${head.join('')}\r\n`,
      );
      socket.write('1\r\nx\r\n'.repeat(100_000));

      await vi.waitFor(() => expect(socket.closed).toBe(true));
      expect(await rpc(served, 'tools/list')).toHaveProperty('result');
    },
  );

  test('of strangers who say nothing make room for whoever comes', async () => {
    await using served = await serve(wireService().service, {}, 0, few);
    const idle: Socket[] = [];
    for (let count = 0; count < 60; count += 1) idle.push(await openSocket(served));

    expect(await rpc(served, 'tools/list')).toHaveProperty('result');
    await vi.waitFor(() => expect(idle.filter(({ closed }) => closed).length).toBeGreaterThan(54));
    expect(idle[0]?.closed).toBe(true);
    expect(idle.at(-1)?.closed).toBe(false);
    for (const socket of idle) socket.destroy();
  });

  test('of one token beyond its share are taken from itself, and others keep theirs', async () => {
    await using served = await serve(wireService().service, {}, 0, few);
    const stranger = await openSocket(served);
    const token = await another(served);
    const kept = await listening(served, token);
    const before = await cutOff(served);
    const streams: Response[] = [];
    for (let count = 0; count < 30; count += 1) streams.push(await listening(served));

    expect((await cutOff(served)) - before).toBeGreaterThan(20);
    expect(await rpc(served, 'tools/list', {}, { token })).toHaveProperty('result');
    expect(stranger.closed).toBe(false);
    const reader = kept.body?.getReader();
    expect(await reader?.read()).toMatchObject({ done: false });
    stranger.destroy();
    await reader?.cancel();
    await Promise.all(streams.map(async ({ body }) => body?.cancel().catch(() => {})));
  });

  test('that are all taken make room at the cost of whoever holds the most', async () => {
    await using served = await serve(wireService().service, {}, 0, few);
    const streams: Response[] = [];
    for (const name of ['second', 'third', 'fourth', 'fifth']) {
      const token = await createToken(served.dataRoot, { name, scope: ['*'], expiresAt: null });
      await vi.waitFor(async () =>
        expect((await send(served, 'tools/list', {}, { token })).status).toBe(200),
      );
      for (let count = 0; count < 5; count += 1) streams.push(await listening(served, token));
    }
    const before = await cutOff(served);
    const newcomers: Socket[] = [];
    for (let count = 0; count < 2; count += 1) newcomers.push(await openSocket(served));

    expect(await rpc(served, 'tools/list')).toHaveProperty('result');
    expect(await cutOff(served)).toBeGreaterThan(before);
    expect(newcomers.map(({ closed }) => closed)).toEqual([false, false]);
    for (const socket of newcomers) socket.destroy();
    await Promise.all(streams.map(async ({ body }) => body?.cancel().catch(() => {})));
  });

  test('on which one token listens are bounded, for this token alone', async () => {
    await using served = await serve(wireService().service);
    const token = await another(served);
    const streams = await Promise.all(Array.from({ length: 128 }, async () => listening(served)));

    const beyond = await listening(served);
    const other = await listening(served, token);

    expect(streams.every(({ status }) => status === 200)).toBe(true);
    expect([beyond.status, beyond.headers.get('retry-after')]).toEqual([503, '1']);
    expect(other.status).toBe(200);
    await Promise.all([...streams, other].map(async ({ body }) => body?.cancel()));
  });
});

describe('A loop that is held', () => {
  test.each([
    { later: false, how: 'at once' },
    { later: true, how: 'after a wait' },
  ])('$how is counted and logged with the tool that held it', async ({ later }) => {
    const lines: string[] = [];
    const surroundings = { writeLog: (line: string) => lines.push(line) };
    await using served = await serve(withMore().service, { FLOTILLA_LOG_LEVEL: 'warn' }, 0, surroundings);

    await callTool(served, 'hog', { ms: 150, later });

    await vi.waitFor(() =>
      expect(lines.filter((line) => line.includes('"event":"loop_held"')).join('\n')).toContain(
        '"target":"hog"',
      ),
    );
    expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(
      /flotilla_event_loop_held_total\{gen_ai_tool_name="hog",service="wire"\} 1/,
    );
  });

  test('is told of a process that rested', async () => {
    const lines: string[] = [];
    const surroundings = { writeLog: (line: string) => lines.push(line) };
    await using served = await serve(withMore().service, { FLOTILLA_LOG_LEVEL: 'warn' }, 0, surroundings);
    const metrics = async () => (await fetch(`${served.url}/metrics`)).text();
    const looks = async () => Number(/event_loop_lag_seconds_count\{.*?\} (\d+)/.exec(await metrics())?.[1]);
    await vi.waitFor(async () => {
      const before = await looks();
      // Asking wakes it for a moment.
      await sleep(3_000);
      expect((await looks()) - before).toBeLessThan(40);
    });

    await callTool(served, 'hog', { ms: 150, later: false });

    await vi.waitFor(() => expect(lines.join('\n')).toContain('"event":"loop_held","target":"hog"'));
  });

  test('is not told of work in turns', async () => {
    const lines: string[] = [];
    const surroundings = { writeLog: (line: string) => lines.push(line) };
    await using served = await serve(withMore().service, { FLOTILLA_LOG_LEVEL: 'warn' }, 0, surroundings);

    await callTool(served, 'compute', { ms: 200 });

    expect(lines.filter((line) => line.includes('compute'))).toEqual([]);
  });
});
