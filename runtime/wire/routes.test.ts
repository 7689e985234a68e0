import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import { serve, type Served } from '../../tests/support/serve.ts';
import { defineService, type Route } from '../service.ts';

const stopped: string[] = [];
const open = new Set<ReadableStreamDefaultController<Uint8Array>>();

const told = (
  name: string,
  more: Partial<Route<object>> = {},
  path: Route<object>['path'] = `/${name}`,
): Route<object> => ({
  path,
  access: 'token',
  handle: (_request, _deps, caller, variables) => Response.json({ name, caller, variables }),
  ...more,
});

const service = defineService({
  name: 'health',
  settings: z.object({}),
  open: () => ({}),
  routes: [
    told('one', {}, '/things/{id}'),
    told('exact', {}, '/things/all'),
    told('made', { method: 'POST', effect: 'write' }, '/things/{id}'),
    told('gone', { method: 'DELETE', effect: 'write' }, '/things/{id}'),
    told('part', { access: 'open' }, '/things/{id}/parts/{part}'),
    told('words', {}, '/things:count'),
    told(
      'stream',
      {
        isStream: true,
        handle: (_request, _deps, _caller, { id }) =>
          id === 'none'
            ? new Response('no', { status: 404 })
            : new Response(
                new ReadableStream<Uint8Array>({
                  start(controller) {
                    open.add(controller);
                    controller.enqueue(Buffer.from(`data: ${id}\n\n`));
                  },
                }),
                { headers: { 'content-type': 'text/event-stream' } },
              ),
      },
      '/streams/{id}',
    ),
  ],
  stopping() {
    for (const controller of open) controller.close();
    stopped.push('stopping');
  },
});

let served: Served;
beforeAll(async () => {
  served = await serve(service);
});
afterAll(async () => served[Symbol.asyncDispose]());

const ask = async (path: string, method = 'GET', token = served.token) =>
  fetch(`${served.url}${path}`, { method, headers: { authorization: `Bearer ${token}` } });

test.each([
  ['GET', '/things/7', { name: 'one', variables: { id: '7' } }],
  ['GET', '/things/all', { name: 'exact', variables: {} }],
  ['POST', '/things/7', { name: 'made', variables: { id: '7' } }],
  ['DELETE', '/things/7', { name: 'gone', variables: { id: '7' } }],
  ['GET', '/things/7:cancel', { name: 'one', variables: { id: '7:cancel' } }],
  ['GET', '/things/a%20b%2Fc', { name: 'one', variables: { id: 'a b/c' } }],
  ['GET', '/things/%E2%82', { name: 'one', variables: { id: '%E2%82' } }],
  ['GET', '/things/7?id=8', { name: 'one', variables: { id: '7' } }],
  ['GET', '/things:count', { name: 'words', variables: {} }],
])('%s %s', async (method, path, expected) => {
  const response = await ask(path, method);
  expect(await response.json()).toEqual({ ...expected, caller: 'first' });
});

test('a route with variables that is open needs no token', async () => {
  const response = await fetch(`${served.url}/things/7/parts/8`);
  expect(await response.json()).toEqual({ name: 'part', caller: '', variables: { id: '7', part: '8' } });
});

test.each([
  ['/things/7/8', 'GET', 404],
  ['/things/', 'GET', 404],
  ['/streams/none', 'GET', 404],
])('%s by %s is refused', async (path, method, status) => {
  expect((await ask(path, method)).status).toBe(status);
});

test.each([
  ['/things/7', 'PUT', 'DELETE, GET, HEAD, POST'],
  ['/things/7/parts/8', 'POST', 'GET, HEAD'],
  ['/streams/7', 'DELETE', 'GET, HEAD'],
  ['/health', 'POST', 'GET, HEAD'],
  ['/admin/snapshot', 'GET', 'POST'],
])('%s by %s is not done, and the answer names what is', async (path, method, allowed) => {
  const response = await ask(path, method);
  expect([response.status, response.headers.get('allow')]).toEqual([405, allowed]);
  expect(await response.json()).toEqual({ error: `${method} is not done here: ${allowed} are.` });
});

test('a variable is none for those without a token', async () => {
  expect((await ask('/things/7', 'GET', 'wrong')).status).toBe(401);
});

test('a stream below a variable is read to its end, which the service makes when it stops', async () => {
  const response = await ask('/streams/7');
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const reading = response.text();
  await served.stop();
  expect(await reading).toBe('data: 7\n\n');
  expect(stopped).toEqual(['stopping']);
});
