import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';

import { openRest, type RestTrial } from '../../tests/support/rest.ts';

const pageOrigin = 'https://app.example';

let rest: RestTrial;
/** Stands where a service should be, and has no tools. */
const useless = createServer((_request, response) => response.end('{}'));
beforeAll(async () => {
  await new Promise<void>((done) => void useless.listen(0, '127.0.0.1', done));
  const { port } = useless.address() as AddressInfo;
  const others = [{ name: 'useless', description: 'Is of no use.', origin: `http://127.0.0.1:${port}` }];
  rest = await openRest({ settings: { FLOTILLA_ALLOWED_ORIGINS: pageOrigin }, others });
});
afterAll(async () => {
  await rest[Symbol.asyncDispose]();
  useless.closeAllConnections();
  useless.close();
});

/** Of a token that all processes know by now. */
async function tokenWith(
  name: string,
  scope: readonly string[],
  more: Partial<Parameters<typeof createToken>[1]> = {},
): Promise<string> {
  const { dataRoot } = rest.fronted.gateway;
  const token = await createToken(dataRoot, { name, scope: [...scope], expiresAt: null, ...more });
  await vi.waitFor(async () =>
    expect((await rest.ask('HEAD', '/api/v1/nowhere', { token })).http).not.toBe(401),
  );
  return token;
}

const made = async (body: object = { title: 'Try' }) =>
  (await rest.ask('POST', '/api/v1/tasks', { body })).body.data;

describe('An answer', () => {
  test('has one form, also of a failure', async () => {
    const { body, http, headers } = await rest.ask('GET', '/api/v1/templates');

    expect(http).toBe(200);
    expect(Object.keys(body)).toEqual(['status', 'data', 'message', 'errors', 'warnings', 'metadata']);
    expect(body).toMatchObject({ status: 'success', errors: [], warnings: [] });
    expect(headers.get('traceparent')).toContain(body.metadata.request_id);

    const failed = await rest.ask('GET', '/api/v1/tasks/t999-aaaa');
    expect(failed.http).toBe(404);
    expect(failed.body).toMatchObject({ status: 'not_found', data: null, errors: [{ code: 'not_found' }] });
    expect(Object.keys(failed.body)).toEqual(Object.keys(body));
  });

  test('of a failure is a problem of RFC 9457 for who accepts that', async () => {
    const { http, headers, body } = await rest.ask('GET', '/api/v1/tasks/t999-aaaa', {
      headers: { accept: 'application/json, application/problem+json' },
    });

    expect(http).toBe(404);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({ type: 'about:blank', status: 404, title: 'Not found', code: 'not_found' });
  });

  test('is told in part while a service cannot be called', async () => {
    const { http, body } = await rest.ask('GET', '/api/v1/system/status');

    expect([http, body.status]).toEqual([207, 'partial']);
    expect(body.data).toMatchObject({ status: 'degraded', api_version: 'v1' });
    expect(body.data.services).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'memory', status: 'up' }),
        expect.objectContaining({ name: 'useless', status: 'down' }),
      ]),
    );
  });
});

test('a number that is too large to be one is refused, and not taken for none', async () => {
  const { url, token } = rest.fronted.gateway;
  const answer = await fetch(`${url}/api/v1/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"title": "Try", "lease_seconds": 1e400}',
  });

  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ errors: [{ message: expect.stringContaining('too large') }] });
});

test('such a number is refused over MCP too, alone and as one of several messages', async () => {
  const { url, token } = rest.fronted.gateway;
  const call = (id: number) =>
    `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"create_tasks","arguments":{"tasks":[{"title":"Try","steps":[{"tool":"x","arguments":{"n":1e400}}]}]}}}`;
  for (const body of [call(1), `[${call(1)},${call(2)}]`]) {
    const answer = await fetch(`${url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-03-26',
      },
      body,
    });

    const told = await answer.text();
    expect(told).toContain('"code":"invalid_input"');
    expect(told).toContain('a number that is too large');
  }
});

describe('Who asks', () => {
  test('needs a good token, and is told so in the form of the interface', async () => {
    for (const headers of [{ authorization: 'Bearer nobody' }, { authorization: '' }]) {
      const { http, body, headers: told } = await rest.ask('GET', '/api/v1/tasks', { headers });
      expect(http).toBe(401);
      expect(body.status).toBe('unauthorized');
      expect(told.get('www-authenticate')).toMatch(/^Bearer/);
    }
  });

  test('does no more than the scope allows, as over MCP, and it is recorded', async () => {
    const token = await tokenWith('reader', ['orchestrator:read']);

    expect((await rest.ask('GET', '/api/v1/tasks', { token })).http).toBe(200);
    const { http, body } = await rest.ask('POST', '/api/v1/tasks', { token, body: { title: 'No' } });
    expect(http).toBe(403);
    expect(body).toMatchObject({
      status: 'forbidden',
      errors: [{ code: 'forbidden', hint: expect.stringContaining('orchestrator:write') }],
    });
    expect((await rest.ask('POST', '/api/v1/tools/add_memory', { token, body: { text: 'x' } })).http).toBe(
      403,
    );
    expect((await rest.ask('POST', '/api/v1/schemas', { token, body: { name: 'x', schema: {} } })).http).toBe(
      403,
    );
    const { body: listed } = await rest.ask('GET', '/api/v1/tools?limit=500', { token });
    expect(new Set(listed.data.map(({ service }: { service: string }) => service))).toEqual(
      new Set(['orchestrator']),
    );
  });

  test('calls no tool that the token was not made for', async () => {
    const token = await tokenWith('chosen', ['*'], { tools: ['list_tasks'] });

    expect((await rest.ask('GET', '/api/v1/tasks', { token })).http).toBe(200);
    expect((await rest.ask('GET', '/api/v1/projects', { token })).http).toBe(403);
  });

  test('is held to the rate of the token', async () => {
    const token = await tokenWith('slow', ['*'], { rate: '2/h' });

    await rest.ask('GET', '/api/v1/tasks', { token });
    await rest.ask('GET', '/api/v1/tasks', { token });
    const { http, headers, body } = await rest.ask('GET', '/api/v1/tasks', { token });
    expect([http, body.errors[0]?.code]).toEqual([429, 'rate_limited']);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(60);
  });

  test('and has to ask a person first cannot: nobody can be asked here', async () => {
    const token = await tokenWith('careful', ['*'], { confirm: 'writes' });

    const { http, body } = await rest.ask('POST', '/api/v1/tasks', { token, body: { title: 'No' } });
    expect([http, body.errors[0]?.code]).toEqual([403, 'forbidden']);
  });

  test('from a page of another site is refused, and from one that may call sees the headers', async () => {
    const foreign = await rest.ask('GET', '/api/v1/tasks', { headers: { origin: 'https://evil.example' } });
    expect([foreign.http, foreign.body.status]).toEqual([403, 'forbidden']);

    const ours = await rest.ask('GET', '/api/v1/tasks', { headers: { origin: pageOrigin } });
    expect(ours.headers.get('access-control-allow-origin')).toBe(pageOrigin);
    expect(ours.headers.get('access-control-expose-headers')).toContain('etag');
    const preflight = await fetch(`${rest.url}/api/v1/tasks`, {
      method: 'OPTIONS',
      headers: { origin: pageOrigin, 'access-control-request-method': 'PATCH' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PATCH');
  });
});

describe('HTTP', () => {
  test('201 says where the task is, and what is there is what was made', async () => {
    const body = { title: 'Write', description: 'CRUD.', type: 'backend', priority: 'high' };
    const { http, headers } = await rest.ask('POST', '/api/v1/tasks', { body });
    expect(http).toBe(201);

    const { body: got } = await rest.ask('GET', headers.get('location') ?? '');
    expect(got.data).toMatchObject({ ...body, status: 'pending' });
  });

  test('an answer that the client has is not sent again, and HEAD has no body', async () => {
    const path = `/api/v1/tasks/${(await made()).task_id}`;
    const first = await rest.ask('GET', path);
    const etag = first.headers.get('etag') ?? '';

    const again = await rest.ask('GET', path, { headers: { 'if-none-match': `W/${etag}, "x"` } });
    expect([again.http, again.text]).toEqual([304, '']);
    const head = await rest.ask('HEAD', path);
    expect([head.http, head.text, head.headers.get('etag')]).toEqual([200, '', etag]);
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(100);

    await rest.ask('PATCH', path, { body: { priority: 'critical' } });
    expect((await rest.ask('GET', path, { headers: { 'if-none-match': etag } })).http).toBe(200);
  });

  test('a change is made only of the version that If-Match names', async () => {
    const path = `/api/v1/tasks/${(await made()).task_id}`;
    const etag = (await rest.ask('GET', path)).headers.get('etag') ?? '';

    const change = async (priority: string, ifMatch: string) =>
      rest.ask('PATCH', path, { body: { priority }, headers: { 'if-match': ifMatch } });
    const first = await change('high', etag);
    expect([first.http, first.body.data.version]).toEqual([200, 2]);
    const late = await change('low', etag);
    expect([late.http, late.body.errors[0]?.code]).toEqual([412, 'precondition_failed']);
    expect((await change('low', '"nothing"')).http).toBe(412);
    expect((await change('low', first.headers.get('etag') ?? '')).http).toBe(200);
    const cancel = await rest.ask('POST', `${path}/cancel`, { body: {}, headers: { 'if-match': etag } });
    expect(cancel.http).toBe(422);
  });

  test('a conflict of another kind stays one', async () => {
    const path = `/api/v1/tasks/${(await made()).task_id}`;
    await rest.ask('POST', `${path}/cancel`, { body: {} });
    const etag = (await rest.ask('GET', path)).headers.get('etag') ?? '';

    const { http } = await rest.ask('PATCH', path, {
      body: { priority: 'low' },
      headers: { 'if-match': etag },
    });
    expect(http).toBe(409);
  });

  test('the same key makes one thing, and no other', async () => {
    const keyed = async (title: string) =>
      rest.ask('POST', '/api/v1/tasks', { body: { title }, headers: { 'idempotency-key': '"one-7"' } });

    const [first, again] = [await keyed('Once'), await keyed('Once')];
    expect([first.http, again.http]).toEqual([201, 201]);
    expect(again.body.data).toEqual(first.body.data);
    expect((await keyed('Other')).http).toBe(409);
    const refused = await rest.ask('POST', '/api/v1/normalize', {
      body: { schema: 'text', value: 'x' },
      headers: { 'idempotency-key': 'x' },
    });
    expect(refused.http).toBe(422);
  });

  test('a list comes in pages that lead to each other', async () => {
    await Promise.all(Array.from({ length: 3 }, async () => made({ title: 'Paged', type: 'paged' })));
    const found: string[] = [];
    let path = '/api/v1/tasks?type=paged&limit=2&status=pending&status=blocked';
    for (let pages = 0; path !== '' && pages < 5; pages += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one page leads to the next
      const { headers, body } = await rest.ask('GET', path);
      found.push(...body.data.map(({ task_id: id }: { task_id: string }) => id));
      path = /^<(.+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1] ?? '';
      expect(body.metadata.pagination.has_more).toBe(path !== '');
    }
    expect(new Set(found).size).toBe(3);
  });

  test.each([
    ['PUT', '/api/v1/tasks', {}, 405],
    ['DELETE', '/api/v1/tasks', {}, 405],
    ['OPTIONS', '/api/v1/tasks', {}, 405],
    ['GET', '/api/v1/nowhere', {}, 404],
    ['GET', '/api/v2/tasks', {}, 404],
    ['GET', '/api/v1/tasks/', {}, 404],
    ['GET', '/api/v1/tasks/%E0%A4', {}, 400],
    ['GET', '/api/v1/tasks', { headers: { accept: 'text/html' } }, 406],
    ['GET', '/api/v1/tasks', { headers: { accept: 'application/json;q=0' } }, 406],
    ['POST', '/api/v1/tasks', { raw: 'title=x', headers: { 'content-type': 'text/plain' } }, 415],
    ['POST', '/api/v1/tasks', { raw: '{}', headers: { 'content-encoding': 'gzip' } }, 415],
    ['POST', '/api/v1/tasks', { raw: '{"title":' }, 400],
    ['POST', '/api/v1/tasks', { raw: '[]' }, 422],
    ['POST', '/api/v1/tasks', { raw: '"x"' }, 422],
    ['POST', '/api/v1/tasks', { raw: '{"title":7}' }, 422],
    ['POST', '/api/v1/tasks?title=x', { body: { title: 'x' } }, 422],
    ['POST', '/api/v1/tasks', { body: { title: 'x' }, headers: { 'flotilla-level': 'none' } }, 422],
    [
      'POST',
      '/api/v1/tasks',
      { raw: `{"title":"x","steps":${'['.repeat(90_000)}${']'.repeat(90_000)}}` },
      400,
    ],
    ['POST', '/api/v1/tasks', { raw: `{"__proto__":{"title":"x"}}` }, 422],
    ['POST', '/api/v1/tasks', { raw: `{"title":"${'x'.repeat(12_000_000)}"}` }, 413],
    ['GET', '/api/v1/tasks?limit=two', {}, 422],
    ['GET', '/api/v1/tasks?limit=1&limit=2', {}, 422],
    ['GET', '/api/v1/tasks?nope=1', {}, 422],
    ['POST', '/api/v1/tools/no_such_tool', { body: {} }, 404],
    [
      'POST',
      '/api/v1/integrations/slack',
      { body: { operation: 'send_message', parameters: { channel: '#a' } } },
      404,
    ],
  ])('%s %s with %o is answered by %i', async (method, path, asking, expected) => {
    const { http, body, headers } = await rest.ask(method, path, asking);
    expect(http).toBe(expected);
    expect(body.errors[0]?.message.length).toBeGreaterThan(10);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('allow')).toBe(http === 405 ? 'GET, HEAD, POST' : null);
  });

  test('a GET with a body is refused', async () => {
    const status = await new Promise((done, fail) => {
      const sent = ask(
        `${rest.url}/api/v1/tasks`,
        {
          method: 'GET',
          headers: {
            authorization: `Bearer ${rest.token}`,
            'content-type': 'application/json',
            'content-length': '2',
          },
        },
        (response) => {
          response.resume();
          done(response.statusCode);
        },
      );
      sent.on('error', fail);
      sent.end('{}');
    });
    expect(status).toBe(400);
  });

  test('a client that goes takes its call with it', async () => {
    await rest.ask('POST', '/api/v1/tools/register_agent', { body: { name: 'leaver', capabilities: [] } });
    const gone = new AbortController();
    const waiting = fetch(`${rest.url}/api/v1/tools/receive_messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${rest.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ agent: 'leaver', wait_seconds: 30 }),
      signal: gone.signal,
    }).then(
      async (response) => response.text(),
      () => 'gone',
    );
    const isWaiting = async () =>
      (await (await fetch(`${rest.fronted.direct['hub']?.url}/metrics`)).text()).match(
        /^flotilla_hub_waiting_calls\S* 1$/m,
      ) !== null;
    await vi.waitFor(async () => expect(await isWaiting()).toBe(true));

    gone.abort();

    expect(await waiting).toBe('gone');
    await vi.waitFor(async () => expect(await isWaiting()).toBe(false));
  });
});

test('an error of one task speaks of it as the request does', async () => {
  const { http, body } = await rest.ask('POST', '/api/v1/tasks', { body: { title: 'x', deadline: 'soon' } });

  expect(http).toBe(422);
  expect(body.errors[0]?.message).toMatch(/: deadline: must be/);
});

describe('A level', () => {
  const wrong = { title: 'Levels', max_attempts: '2', nope: true };

  test('strict takes what fits alone', async () => {
    const { http, body } = await rest.ask('POST', '/api/v1/tasks', { body: wrong });
    expect(http).toBe(422);
    expect(body.status).toBe('validation_error');
    expect(body.errors.map(({ code, path }) => [code, path])).toEqual([
      ['unknown_argument', '/nope'],
      ['wrong_type', '/max_attempts'],
    ]);
  });

  test('permissive reads what is meant, and says so', async () => {
    const { nope: _nope, ...meant } = wrong;
    const { http, body } = await rest.ask('POST', '/api/v1/tasks', {
      body: meant,
      headers: { 'flotilla-level': 'permissive' },
    });
    expect([http, body.warnings]).toMatchObject([201, [{ code: 'coerced', path: '/max_attempts' }]]);
    expect((await rest.ask('POST', '/api/v1/tasks?level=permissive', { body: wrong })).http).toBe(422);
  });

  test('loose leaves out what is not known, and says so', async () => {
    const { http, body } = await rest.ask('POST', '/api/v1/tasks?level=loose', { body: wrong });
    expect(http).toBe(201);
    expect(body.warnings.map(({ code }) => code)).toEqual(['unknown_left_out', 'coerced']);
  });
});

describe('A schema', () => {
  const invoice = {
    type: 'object',
    properties: { total: { type: 'number', minimum: 0 } },
    required: ['total'],
    additionalProperties: false,
  };

  test('is registered, outlives a restart, and brings values into form', async () => {
    const { http, headers, body } = await rest.ask('POST', '/api/v1/schemas', {
      body: { name: 'invoice', schema: invoice },
    });
    expect([http, headers.get('location'), body.data.version]).toEqual([201, '/api/v1/schemas/invoice', 1]);
    const next = await rest.ask('POST', '/api/v1/schemas', {
      body: { name: 'invoice', schema: { ...invoice, title: 'Two' } },
    });
    expect(next.body.data.version).toBe(2);

    await rest.fronted.restart('gateway');

    expect((await rest.ask('GET', '/api/v1/schemas/invoice?version=1')).body.data.schema).toEqual(invoice);
    expect(
      (await rest.ask('GET', '/api/v1/schemas')).body.data.map(({ name }: { name: string }) => name),
    ).toEqual(expect.arrayContaining(['table', 'invoice']));
    const normalize = async (value: unknown, level: string) =>
      rest.ask('POST', '/api/v1/normalize', { body: { schema: 'invoice', value, level } });
    expect(await normalize({ total: '5', x: 1 }, 'loose')).toMatchObject({
      http: 200,
      body: {
        status: 'success',
        data: { total: 5 },
        warnings: [{ code: 'unknown_left_out' }, { code: 'coerced' }],
      },
    });
    expect(await normalize({ total: -1 }, 'loose')).toMatchObject({
      http: 422,
      body: {
        status: 'validation_error',
        data: { total: -1 },
        errors: [{ code: 'minimum', path: '/total' }],
      },
    });
    expect((await rest.ask('DELETE', '/api/v1/schemas/invoice')).body.data).toEqual({ removed: 2 });
    expect((await rest.ask('GET', '/api/v1/schemas/invoice')).http).toBe(404);
  });

  test('of another token cannot be changed or removed', async () => {
    await rest.ask('POST', '/api/v1/schemas', { body: { name: 'mine', schema: invoice } });
    const token = await tokenWith('other', ['*']);

    expect(
      (await rest.ask('POST', '/api/v1/schemas', { token, body: { name: 'mine', schema: {} } })).http,
    ).toBe(403);
    expect((await rest.ask('DELETE', '/api/v1/schemas/mine', { token })).http).toBe(403);
    expect((await rest.ask('DELETE', '/api/v1/schemas/table', { token })).http).toBe(403);
  });

  test.each([
    [{ pattern: '(a+)+$' }, 422],
    [{ properties: { a: { $ref: '#' } } }, 422],
    [{ uniqueItems: true }, 422],
    [{ format: 'uri' }, 422],
    [{ properties: { pattern: { type: 'string' } } }, 201],
    [{ description: 'x'.repeat(40_000) }, 413],
  ])('%o is answered by %i', async (schema, expected) => {
    expect((await rest.ask('POST', '/api/v1/schemas', { body: { name: 'tried', schema } })).http).toBe(
      expected,
    );
  });
});

describe('Events', () => {
  /** Reads a stream until a text has come. */
  async function until(response: Response, text: RegExp): Promise<string> {
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let said = '';
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- piece by piece
      const { value, done } = await reader.read();
      said += decoder.decode(value, { stream: true });
      if (text.test(said)) {
        await reader.cancel();
        return said;
      }
      if (done) throw new Error(`ended without ${text}: ${said}`);
    }
  }

  const listen = async (query: string, token = rest.token, headers: Record<string, string> = {}) =>
    fetch(`${rest.url}/api/v1/events?${query}`, {
      headers: { authorization: `Bearer ${token}`, ...headers },
    });

  test('come as they happen, and go on from a place', async () => {
    const { task_id: id } = await made({ title: 'Heard' });
    const response = await listen(`after=0&task_id=${id}`);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    await rest.ask('POST', `/api/v1/tasks/${id}/cancel`, { body: { reason: 'enough' } });

    const said = await until(response, /event: task_cancelled/);
    const first = /^id: (\d+)\nevent: (\w+)/m.exec(said);
    expect(first?.[2]).toBe('tasks_created');

    const rests = await listen(`task_id=${id}`, rest.token, { 'last-event-id': first?.[1] ?? '' });
    expect(await until(rests, /event: task_cancelled/)).not.toContain('event: tasks_created');
  });

  test('end with the token, and are not told to who may not read there', async () => {
    const token = await tokenWith('listener', ['orchestrator:read']);
    const response = await listen('after=0', token);
    const reading = response.text();
    await revokeToken(rest.fronted.gateway.dataRoot, 'listener');
    expect(await reading).toContain(': listening');

    const stranger = await tokenWith('stranger', ['memory']);
    expect((await listen('', stranger)).status).toBe(403);
    const { status, headers } = await listen('after=x', rest.token, { accept: 'application/problem+json' });
    expect([status, headers.get('content-type')]).toEqual([400, 'application/problem+json']);
  });

  test('come over WebSocket too, where tools are called by the same rules', async () => {
    const token = await tokenWith('socket', ['orchestrator'], { rate: '5/h' });
    const socket = new WebSocket(`${rest.url.replace('http', 'ws')}/api/v1/socket`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const heard: {
      id?: number;
      method?: string;
      params?: { event: string };
      result?: Record<string, unknown>;
    }[] = [];
    socket.addEventListener('message', ({ data }) =>
      heard.push(JSON.parse(String(data)) as (typeof heard)[number]),
    );
    await new Promise((open) => socket.addEventListener('open', open, { once: true }));
    const say = (id: number, method: string, params: object) =>
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    const answerTo = async (id: number) =>
      vi.waitFor(() => {
        const found = heard.find((one) => one.id === id);
        expect(found).toBeDefined();
        return found;
      });
    say(1, 'listen', {});
    await answerTo(1);
    for (let id = 2; id <= 7; id += 1)
      say(id, 'tools/call', { name: 'create_tasks', arguments: { tasks: [{ title: 'By socket' }] } });

    expect((await answerTo(2))?.result).toMatchObject({ structuredContent: { created: 1 } });
    expect(JSON.stringify((await answerTo(7))?.result)).toContain('may make 5/h calls');
    await vi.waitFor(() => expect(heard.some(({ params }) => params?.event === 'tasks_created')).toBe(true));
    socket.close();
  });
});

test('the page of the documentation needs nothing but itself', async () => {
  const response = await fetch(`${rest.url}/docs`);
  const page = await response.text();

  expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
  expect(page).not.toMatch(/<script|src=|href="http|@import|url\(/);
  expect(page).toContain('/api/v1/projects/{project_id}/graph');
  expect(
    (await fetch(`${rest.url}/docs`, { headers: { 'if-none-match': response.headers.get('etag') ?? '' } }))
      .status,
  ).toBe(304);
});
