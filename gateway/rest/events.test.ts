import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { Line } from '../line.ts';
import type { Upstream } from '../upstream.ts';
import { EventReader } from './event-stream.ts';
import { Events } from './events.ts';

/** Tells as fast as it is heard, or what the path says. */
const told = { events: 0, isOver: false };
const server = createServer((request, response) => {
  if (request.url?.includes('refuse')) {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: 'No such task.', code: 'not_found', hint: 'Look.' }));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.on('close', () => (told.isOver = true));
  response.on('drain', () => tell(response));
  tell(response);
});

function tell(response: ServerResponse): void {
  do told.events += 1;
  while (response.write(`id: ${told.events}\nevent: tick\ndata: {"text":"${'x'.repeat(10_000)}"}\n\n`));
}

let upstream: Upstream;
let line: Line;
beforeAll(async () => {
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  line = new Line(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  upstream = { streams: line, isUp: async () => true, authorization: () => 'x' } as never;
});
afterAll(async () => {
  await line[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

const listener = (signal: AbortSignal) => ({ caller: 'me', tokenHash: 'hash', signal });

test('a stream is read no faster than it is taken, and ends with who listens', async () => {
  const gone = new AbortController();
  const events = await new Events().listen(upstream, {}, listener(gone.signal));
  const iterator = events[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toMatchObject({ id: '1', event: 'tick' });

  // What lies between the two is full when nothing more is told for as long as others take to be answered.
  let before = -1;
  await vi.waitFor(
    () => {
      const isStill = told.events === before;
      before = told.events;
      expect(isStill).toBe(true);
    },
    { interval: 200, timeout: 20_000 },
  );
  const stalledAt = told.events;
  for (let taken = 2; taken <= stalledAt + 100; taken += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect((await iterator.next()).value).toMatchObject({ id: String(taken) });
  }
  expect(told.events).toBeGreaterThan(stalledAt);

  gone.abort();
  await vi.waitFor(() => expect(told.isOver).toBe(true));
});

test('why there is no stream is told as the service says it', async () => {
  const { signal } = new AbortController();
  await expect(new Events().listen(upstream, { task_id: 'refuse' }, listener(signal))).rejects.toMatchObject({
    code: 'not_found',
    message: 'No such task.',
    hint: 'Look.',
  });
  await expect(new Events().listen(undefined, {}, listener(signal))).rejects.toMatchObject({
    code: 'unavailable',
  });
  await expect(new Events().listen(upstream, {}, listener(AbortSignal.abort()))).rejects.toMatchObject({
    code: 'cancelled',
  });
});

test('events are read however they are cut, and comments are none', () => {
  const text = ': hello\n\nid: 1\nevent: a\ndata: {"word":"fünf"}\n\ndata: {}\n\n';
  for (const size of [1, 3, 7, 1_000]) {
    const reader = new EventReader();
    const bytes = Buffer.from(text);
    const found = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...reader.take(bytes.subarray(at, at + size)));
    expect(found).toEqual([
      { id: '1', event: 'a', data: { word: 'fünf' } },
      { event: 'message', data: {} },
    ]);
  }
  expect(() => new EventReader().take(Buffer.from('data: nothing\n\n'))).toThrow(SyntaxError);
  expect(() => new EventReader().take(Buffer.alloc(5_000_000, 'x'))).toThrow(RangeError);
});
