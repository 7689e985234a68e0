/** Streams of events beside MCP: who may have how many, and how they end. */
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';

import { ToolError } from '#runtime/errors.ts';
import type { AnyService, Listened, Route } from '#runtime/service.ts';

import { grpcService } from './support/grpc-service.ts';
import { serve, type Served } from './support/serve.ts';

const mostStreams = 128;

let served: Served;
const logged: string[] = [];
let begun = 0;
/** What comes before a stream begins. */
let beforehand = async () => Promise.resolve();
let givenUp = 0;

/** What a fault of ours says, and nobody but the log may hear. */
const secret = 'disk image is malformed: /var/lib/secret.db';

/** As events, or as what must not be taken for whole. */
const broken = (path: Route<unknown>['path'], type: string): Route<unknown> => ({
  path,
  access: 'token',
  isStream: true,
  handle: () =>
    new Response(
      new ReadableStream({
        pull() {
          throw new TypeError(secret);
        },
      }),
      { headers: { 'content-type': type } },
    ),
});

let isFaulty = false;
/** Tells one event, and breaks then. */
// oxlint-disable-next-line typescript/require-await -- heard as others are
async function* breaking() {
  yield { event: 'tick', data: { sent: 0 } };
  throw new TypeError(secret);
}

/** Lines that never come. */
const lines: Route<unknown> = {
  path: '/lines',
  access: 'token',
  isStream: true,
  handle: () =>
    new Response(
      new ReadableStream({
        cancel() {
          givenUp += 1;
        },
      }),
    ),
};

beforeAll(async () => {
  const { service } = grpcService();
  const { listened } = service as { readonly listened: Listened<unknown> };
  const watched: AnyService = {
    ...service,
    routes: [lines, broken('/events-broken', 'text/event-stream'), broken('/lines-broken', 'text/plain')],
    listened: {
      ...listened,
      async listen(...asked) {
        begun += 1;
        await beforehand();
        return isFaulty ? breaking() : listened.listen(...asked);
      },
    },
  };
  served = await serve(watched, {}, 0, { writeLog: (line) => logged.push(line) });
});
afterEach(() => {
  isFaulty = false;
  beforehand = async () => Promise.resolve();
});
afterAll(async () => served[Symbol.asyncDispose]());

const ask = async (path: string, method = 'GET') =>
  fetch(`${served.url}${path}`, { method, headers: { authorization: `Bearer ${served.token}` } });

describe('HEAD', () => {
  test('says how a stream would be answered, and neither begins nor takes one', async () => {
    begun = 0;

    const [head] = await Promise.all(
      Array.from({ length: mostStreams + 1 }, async () => ask('/events', 'HEAD')),
    );
    expect(head?.status).toBe(200);
    expect(begun).toBe(0);
    expect((await ask('/events?count=-1', 'HEAD')).status).toBe(400);

    const stream = await ask('/events');
    const headersOf = ({ headers }: Response) =>
      ['content-type', 'cache-control', 'x-accel-buffering', 'x-content-type-options'].map((name) =>
        headers.get(name),
      );
    expect(stream.status).toBe(200);
    expect(head && headersOf(head)).toEqual(headersOf(stream));
    await stream.body?.cancel();
  });

  test('gives up what a route has begun for it', async () => {
    givenUp = 0;

    // oxlint-disable-next-line no-await-in-loop -- each takes a place for a moment
    for (let times = 0; times <= mostStreams; times += 1)
      expect((await ask('/lines', 'HEAD')).status).toBe(200);

    expect(givenUp).toBe(mostStreams + 1);
    const stream = await ask('/lines');
    expect(stream.status).toBe(200);
    await stream.body?.cancel();
  });
});

describe('The number of streams of a token', () => {
  test('holds also for those that are asked for at once', async () => {
    const beginning = Promise.withResolvers<void>();
    beforehand = async () => beginning.promise;
    begun = 0;
    logged.length = 0;
    const asked = 2 * mostStreams;

    let refused = 0;
    const answers = Array.from({ length: asked }, async () => {
      const answer = await ask('/events');
      if (answer.status === 503) refused += 1;
      return answer;
    });
    await vi.waitFor(() => expect(begun + refused).toBe(asked));
    beginning.resolve();
    const streams = await Promise.all(answers);

    expect(begun).toBe(mostStreams);
    expect(streams.filter(({ status }) => status === 200)).toHaveLength(mostStreams);
    await Promise.all(streams.map(async ({ body }) => body?.cancel()));
    await vi.waitFor(async () => {
      const one = await ask('/events');
      expect(one.status).toBe(200);
      await one.body?.cancel();
    });
    // Who goes away is no fault of ours.
    expect(logged).toEqual([]);
  });

  test.each([
    ['is refused', new ToolError('conflict', 'Not now.'), 409],
    ['breaks', new TypeError('A fault of ours.'), 500],
  ])('counts none that %s before it begins', async (_what, error, status) => {
    beforehand = async () => Promise.reject(error);

    for (let times = 0; times <= mostStreams; times += 1) expect((await ask('/events')).status).toBe(status); // oxlint-disable-line no-await-in-loop -- each takes a place for a moment
  });
});

describe('A fault of ours in a stream', () => {
  test('is told as one, with where the log says more', async () => {
    logged.length = 0;
    isFaulty = true;

    const said = await (await ask('/events')).text();

    const [, ref] = /Internal error \(ref (\w+)\)/.exec(said) ?? [];
    expect(said).toContain('event: tick');
    expect(said).toContain('"code":"internal"');
    expect(said).not.toContain(secret);
    expect(logged.map((line) => JSON.parse(line) as object)).toMatchObject([
      { event: 'request_broke', traceId: ref, error: { message: secret } },
    ]);
  });

  test.each(['/events-broken', '/lines-broken'])(
    'is in the log alone, also where a route makes the stream: %s',
    async (path) => {
      logged.length = 0;
      const printed = vi.spyOn(console, 'error').mockReturnValue(undefined);
      onTestFinished(() => printed.mockRestore());

      const said = await ask(path)
        .then(async (answer) => answer.text())
        .catch(() => 'cut off');

      expect(said).not.toContain(secret);
      // What is not to be taken for whole does not end as if it were.
      expect(said === '').toBe(path === '/events-broken');
      expect(logged.map((line) => JSON.parse(line) as object)).toMatchObject([
        { event: 'request_broke', error: { message: secret } },
      ]);
      expect(JSON.stringify(printed.mock.calls.map(String))).not.toContain(secret);
    },
  );
});
