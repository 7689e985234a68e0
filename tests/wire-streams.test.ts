/** Streams of events beside MCP: who may have how many, and how they end. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';

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
    routes: [lines],
    listened: {
      ...listened,
      async listen(...asked) {
        begun += 1;
        await beforehand();
        return listened.listen(...asked);
      },
    },
  };
  served = await serve(watched, {}, 0, { writeLog: (line) => logged.push(line) });
});
afterEach(() => {
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
  });

  test.each([
    ['is refused', new ToolError('conflict', 'Not now.'), 409],
    ['breaks', new TypeError('A fault of ours.'), 500],
  ])('counts none that %s before it begins', async (_what, error, status) => {
    beforehand = async () => Promise.reject(error);

    for (let times = 0; times <= mostStreams; times += 1) expect((await ask('/events')).status).toBe(status); // oxlint-disable-line no-await-in-loop -- each takes a place for a moment
  });
});
