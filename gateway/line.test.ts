/** Requests to one process, of callers who wait for their answers. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { Line } from './line.ts';

/** Answers at once, but for those who ask it to hold the answer back. */
const held: ServerResponse[] = [];
const server = createServer((request, response) => {
  if (request.url === '/hold') held.push(response);
  else response.end('{}');
});
let line: Line;
beforeAll(async () => {
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  line = new Line(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterAll(async () => {
  await line[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

const limits = { timeoutMs: 120_000, maxBytes: 1_000 };
const hold = async (caller: string, signal?: AbortSignal) =>
  line
    .ask([], null, { ...limits, path: '/hold', caller, ...(signal && { signal }) })
    .then(({ status }) => status)
    .catch((error: Error) => error.message);

test('one caller with very many that wait keeps nobody else waiting, and its others come when some have ended', async () => {
  const gone = new AbortController();
  const many = Array.from({ length: 300 }, async () => hold('one'));
  const left = Array.from({ length: 10 }, async () => hold('one', gone.signal));
  const last = hold('one');
  await expect.poll(() => held.length).toBe(256);

  const other = await line.ask([], null, { ...limits, path: '/', caller: 'other' });
  const own = await line.ask([], null, { ...limits, path: '/' });
  const heldThen = held.length;
  gone.abort();
  for (let answered = 0; answered < 301; answered += 1) {
    await expect.poll(() => held.length).toBeGreaterThan(answered);
    held[answered]?.end('{}');
  }

  expect([other.status, own.status, heldThen]).toEqual([200, 200, 256]);
  expect(new Set(await Promise.all(many))).toEqual(new Set([200]));
  expect(new Set(await Promise.all(left))).toEqual(new Set(['the client went away']));
  expect(await last).toBe(200);
  // Nobody came who had gone meanwhile.
  expect(held.length).toBe(301);
});
