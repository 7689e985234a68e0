/** Streams of events beside MCP: who may have how many, and how they end. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Listened, Route } from '#runtime/service.ts';

import { grpcService } from './support/grpc-service.ts';
import { serve, type Served } from './support/serve.ts';

const mostStreams = 128;

let served: Served;
let begun = 0;
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
  served = await serve({
    ...service,
    routes: [lines],
    listened: {
      ...listened,
      listen(...asked) {
        begun += 1;
        return listened.listen(...asked);
      },
    },
  });
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
