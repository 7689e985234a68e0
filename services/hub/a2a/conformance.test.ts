/**
 * What the specification of A2A 1.0 says that a server MUST, each by its section, byte by byte under the test's control; and what
 * becomes of requests that are not as they must be.
 */
import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import { serve, temporaryFolder, type Served } from '../../../tests/support/serve.ts';
import hub from '../service.ts';
import { agentOf, call, type Agent, type Mail } from '../../../tests/support/hub-agent.ts';

type Json = Readonly<Record<string, unknown>>;

let served: Served;
let reader: string;
const data = temporaryFolder();
const over = new AbortController();
let working: Promise<void>;

/** Does what the first word says. */
const manners: Readonly<Record<string, (agent: Agent, mail: Mail) => Promise<unknown>>> = {
  complete: async (agent, mail) => agent.answer(mail, 'Done'),
  work: async (agent, mail) => {
    await agent.report(mail, 'working', 'On it');
    await agent.acknowledge(mail);
  },
  ask: async (agent, mail) => {
    await agent.report(mail, 'input_required', 'Which one?');
    await agent.acknowledge(mail);
  },
  login: async (agent, mail) => {
    await agent.report(mail, 'auth_required', 'Who are you?');
    await agent.acknowledge(mail);
  },
  refuse: async (agent, mail) => {
    await agent.report(mail, 'rejected', 'No');
    await agent.acknowledge(mail);
  },
};

async function work(agent: Agent): Promise<void> {
  while (!over.signal.aborted) {
    const mail = await agent.take().catch(() => undefined); // oxlint-disable-line no-await-in-loop -- one after the other
    const word = mail?.body.params?.message.parts[0]?.text?.split(' ')[0] ?? '';
    if (mail) await (manners[word] ?? (async () => agent.acknowledge(mail)))(agent, mail); // oxlint-disable-line no-await-in-loop -- in order
  }
}

beforeAll(async () => {
  served = await serve(hub, { FLOTILLA_DATA: data.path });
  reader = await createToken(served.dataRoot, { name: 'reader', scope: ['hub:read'], expiresAt: null });
  working = work(await agentOf(served, 'worker', { capabilities: ['review'] }, over.signal));
});
afterAll(async () => {
  over.abort();
  await served[Symbol.asyncDispose]();
  await working;
  data[Symbol.dispose]();
});

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
  /** Of JSON-RPC the code, of HTTP+JSON the status. */
  readonly code: unknown;
  readonly reason: unknown;
  readonly result: Json;
}

const headersOf = (more: Readonly<Record<string, string>> = {}) => ({
  authorization: `Bearer ${served.token}`,
  'a2a-version': '1.0',
  'content-type': 'application/json',
  ...more,
});

const infoOf = (details: unknown) =>
  (details as Json[] | undefined)?.find((one) => one['@type'] === 'type.googleapis.com/google.rpc.ErrorInfo');

async function rpc(
  method: string,
  params: unknown,
  headers: Readonly<Record<string, string>> = {},
  path = '/a2a/worker',
): Promise<Asked> {
  const response = await fetch(`${served.url}${path}`, {
    method: 'POST',
    headers: headersOf(headers),
    body: JSON.stringify({ jsonrpc: '2.0', id: 7, method, params }),
  });
  const body = (await response.json()) as Json;
  const error = body['error'] as Json | undefined;
  const info = infoOf(error?.['data']);
  return {
    status: response.status,
    headers: response.headers,
    body,
    code: error?.['code'],
    reason: info?.['reason'],
    result: body['result'] as Json,
  };
}

async function rest(
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Asked> {
  const response = await fetch(`${served.url}/a2a/worker/v1${path}`, {
    method,
    headers: headersOf(headers),
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const told = (await response.json()) as Json;
  const error = told['error'] as Json | undefined;
  return {
    status: response.status,
    headers: response.headers,
    body: told,
    code: error?.['code'],
    reason: infoOf(error?.['details'])?.['reason'],
    result: told,
  };
}

const queryOf = (query: Json) => new URLSearchParams(query as Record<string, string>).toString();

const operations: Readonly<Record<string, (params: Json) => Parameters<typeof rest>>> = {
  SendMessage: (params) => ['POST', '/message:send', params],
  GetTask: ({ id, ...query }) => ['GET', `/tasks/${id as string}?${queryOf(query)}`],
  ListTasks: (query) => ['GET', `/tasks?${queryOf(query)}`],
  CancelTask: ({ id }) => ['POST', `/tasks/${id as string}:cancel`, {}],
  SubscribeToTask: ({ id }) => ['POST', `/tasks/${id as string}:subscribe`, {}],
  CreateTaskPushNotificationConfig: ({ taskId }) => [
    'POST',
    `/tasks/${taskId as string}/pushNotificationConfigs`,
    {},
  ],
  GetTaskPushNotificationConfig: ({ taskId }) => [
    'GET',
    `/tasks/${taskId as string}/pushNotificationConfigs/x`,
  ],
  ListTaskPushNotificationConfigs: ({ taskId }) => [
    'GET',
    `/tasks/${taskId as string}/pushNotificationConfigs`,
  ],
  DeleteTaskPushNotificationConfig: ({ taskId }) => [
    'DELETE',
    `/tasks/${taskId as string}/pushNotificationConfigs/x`,
  ],
  GetExtendedAgentCard: () => ['GET', '/extendedAgentCard'],
};

const message = (text: string, more: Json = {}): Json => ({
  messageId: randomUUID(),
  role: 'ROLE_USER',
  parts: [{ text }],
  ...more,
});
const now = { configuration: { returnImmediately: true } };

/** Each failure of the protocol: its code in JSON-RPC, its status in HTTP, and its reason (5.4). */
const faults = {
  notFound: [-32_001, 404, 'TASK_NOT_FOUND'],
  notCancelable: [-32_002, 400, 'TASK_NOT_CANCELABLE'],
  noPush: [-32_003, 400, 'PUSH_NOTIFICATION_NOT_SUPPORTED'],
  unsupported: [-32_004, 400, 'UNSUPPORTED_OPERATION'],
  contentType: [-32_005, 400, 'CONTENT_TYPE_NOT_SUPPORTED'],
  malformed: [-32_602, 400, 'INVALID_PARAMS'],
} as const;

describe.each(['JSON-RPC', 'HTTP+JSON'] as const)('over %s', (binding) => {
  const isRpc = binding === 'JSON-RPC';
  const ask = async (operation: string, params: Json = {}) =>
    isRpc ? rpc(operation, params) : rest(...(operations[operation]?.(params) ?? ['GET', '/nothing']));
  const taskOf = ({ result }: Asked) =>
    result['task'] as Json & { id: string; contextId: string; status: { state: string; timestamp: string } };
  const begun = async (text: string, more: Json = {}) =>
    taskOf(await ask('SendMessage', { message: message(text), ...more }));
  const state = async (id: string) => ((await ask('GetTask', { id })).result['status'] as Json)['state'];

  const failure = async (operation: string, params: Json) => {
    const { code, reason, status } = await ask(operation, params);
    return { code, reason, status };
  };
  const as = (fault: keyof typeof faults) => {
    const [code, status, reason] = faults[fault];
    return { code: isRpc ? code : status, status: isRpc ? 200 : status, reason };
  };

  test('3.1.1 SendMessage answers with a task; 3.2.2 it waits until that rests, 3.4 with ids of the server', async () => {
    const [one, other] = [await begun('complete it'), await begun('complete it')];
    expect(one.status.state).toBe('TASK_STATE_COMPLETED');
    expect(one.id).not.toBe(other.id);
    expect(one.contextId).not.toBe('');
    expect((await begun('ask me')).status.state).toBe('TASK_STATE_INPUT_REQUIRED');
    expect((await begun('login please')).status.state).toBe('TASK_STATE_AUTH_REQUIRED');
    expect((await begun('refuse it')).status.state).toBe('TASK_STATE_REJECTED');
  });

  test('3.2.2 with returnImmediately it does not wait', async () => {
    const task = await begun('silence', now);
    expect(['TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING']).toContain(task.status.state);
  });

  test('3.1.1 a task that is over takes no message', async () => {
    const { id } = await begun('complete it');
    expect(await failure('SendMessage', { message: message('more', { taskId: id }) })).toEqual(
      as('unsupported'),
    );
  });

  test('3.1.1 a media type that the agent does not take is refused', async () => {
    const parts = [{ raw: 'dGNr', mediaType: 'application/x-unsupported' }];
    expect(await failure('SendMessage', { message: message('', { parts }) })).toEqual(as('contentType'));
    const known = [{ raw: 'dGNr', mediaType: 'application/json; charset=utf-8' }];
    expect(
      taskOf(await ask('SendMessage', { message: message('', { parts: known }), ...now })).id,
    ).toBeDefined();
  });

  test('3.1.3 GetTask tells how a task stands, with its artifacts and history', async () => {
    const task = await begun('complete it');
    const { result } = await ask('GetTask', { id: task.id });
    expect(result).toMatchObject({
      id: task.id,
      contextId: task.contextId,
      status: { state: 'TASK_STATE_COMPLETED' },
    });
    expect(result['artifacts']).toMatchObject([{ parts: [{ text: 'Done' }] }]);
    expect(result['history']).toMatchObject([
      { role: 'ROLE_USER', parts: [{ text: 'complete it' }], taskId: task.id },
    ]);
  });

  test('3.2.4 no more history is told than was asked for', async () => {
    const { id } = await begun('ask me');
    await ask('SendMessage', { message: message('ask again', { taskId: id }) });
    const history = async (historyLength: number) =>
      (await ask('GetTask', { id, historyLength })).result['history'] as Json[] | undefined;
    expect(await history(0)).toBeUndefined();
    expect(await history(1)).toMatchObject([{ parts: [{ text: 'ask again' }] }]);
    expect(await history(9)).toHaveLength(3);
    expect(await failure('GetTask', { id, historyLength: -1 })).toEqual(as('malformed'));
    const none = await begun('complete it', { configuration: { historyLength: 0 } });
    expect(none['history']).toBeUndefined();
  });

  test.each(['GetTask', 'CancelTask', 'SubscribeToTask'])(
    '3.3.2 %s of what is not there is not found',
    async (operation) => {
      expect(await failure(operation, { id: randomUUID() })).toEqual(as('notFound'));
      expect(await failure(operation, { id: 'x'.repeat(500) })).toEqual(as('notFound'));
    },
  );

  test('3.4.2 a message to a task that is not there is not found', async () => {
    expect(await failure('SendMessage', { message: message('complete', { taskId: randomUUID() }) })).toEqual(
      as('notFound'),
    );
  });

  test('3.4.3 the context is that of the task, and another one is refused', async () => {
    const contextId = randomUUID();
    const task = taskOf(await ask('SendMessage', { message: message('ask me', { contextId }) }));
    expect(task.contextId).toBe(contextId);
    expect(
      await failure('SendMessage', {
        message: message('x', { taskId: task.id, contextId: 'wrong' }),
      }),
    ).toEqual(as('malformed'));
    const more = taskOf(await ask('SendMessage', { message: message('complete it', { taskId: task.id }) }));
    expect(more).toMatchObject({ id: task.id, contextId, status: { state: 'TASK_STATE_COMPLETED' } });
    expect(await failure('SendMessage', { message: message('x', { contextId: 'x'.repeat(201) }) })).toEqual(
      as('malformed'),
    );
  });

  test('3.1.4 ListTasks has a cursor, says its sizes, and leaves artifacts out', async () => {
    const contextId = randomUUID();
    for (const text of ['complete 1', 'complete 2', 'complete 3'])
      await ask('SendMessage', { message: message(text, { contextId }) }); // oxlint-disable-line no-await-in-loop -- in order
    const first = (await ask('ListTasks', { contextId, pageSize: 2 })).result;
    expect(first).toMatchObject({ pageSize: 2, totalSize: 3 });
    expect(first['tasks']).toHaveLength(2);
    const last = (await ask('ListTasks', { contextId, pageSize: 2, pageToken: first['nextPageToken'] }))
      .result;
    expect(last).toMatchObject({ pageSize: 2, totalSize: 3, nextPageToken: '' });
    const tasks = [...(first['tasks'] as Json[]), ...(last['tasks'] as Json[])];
    expect(tasks.filter((task) => 'artifacts' in task)).toEqual([]);
    const times = tasks.map((task) => (task['status'] as Json)['timestamp'] as string);
    expect(times).toEqual(times.toSorted().toReversed());
    const since = (await ask('ListTasks', { contextId, statusTimestampAfter: times[1] })).result;
    expect(since['tasks']).toHaveLength(2);
    expect((await ask('ListTasks', { contextId: 'none' })).result).toEqual({
      tasks: [],
      nextPageToken: '',
      pageSize: 50,
      totalSize: 0,
    });
    const done = (await ask('ListTasks', { contextId, status: 'TASK_STATE_COMPLETED' })).result;
    expect(done['totalSize']).toBe(3);
  });

  test.each<Json>([
    { pageSize: 0 },
    { pageSize: 101 },
    { pageSize: 1.5 },
    { pageToken: 'made up' },
    { status: 'TASK_STATE_HAPPY' },
    { statusTimestampAfter: 'yesterday' },
    { historyLength: -1 },
  ])('3.1.4 ListTasks refuses %j', async (params) => {
    expect(await failure('ListTasks', params)).toEqual(as('malformed'));
  });

  test('3.1.5 CancelTask answers with the task that is cancelled, and refuses one that is over', async () => {
    const { id } = await begun('work on it', now);
    const cancelled = (await ask('CancelTask', { id })).result;
    expect(cancelled).toMatchObject({ id, status: { state: 'TASK_STATE_CANCELED' } });
    expect(await state(id)).toBe('TASK_STATE_CANCELED');
    expect(await failure('CancelTask', { id })).toEqual(as('notCancelable'));
    expect(await failure('CancelTask', { id: (await begun('complete it')).id })).toEqual(as('notCancelable'));
  });

  test('3.1.6 SubscribeToTask of what is over is refused', async () => {
    expect(await failure('SubscribeToTask', { id: (await begun('complete it')).id })).toEqual(
      as('unsupported'),
    );
  });

  test.each([
    'CreateTaskPushNotificationConfig',
    'GetTaskPushNotificationConfig',
    'ListTaskPushNotificationConfigs',
    'DeleteTaskPushNotificationConfig',
  ])('3.3.4 %s is not supported', async (operation) => {
    expect(await failure(operation, { taskId: 'x', id: 'x', url: 'http://127.0.0.1/' })).toEqual(
      as('noPush'),
    );
  });

  test.each<[string, Json]>([
    ['no message', {}],
    ['no id', { message: { role: 'ROLE_USER', parts: [{ text: 'x' }] } }],
    ['a long id', { message: message('x', { messageId: 'x'.repeat(129) }) }],
    ['no parts', { message: message('x', { parts: [] }) }],
    ['parts that are none', { message: message('x', { parts: 'text' }) }],
    ['an empty part', { message: message('x', { parts: [{}] }) }],
    ['a part that is null', { message: message('x', { parts: [null] }) }],
    ['a part that says two things', { message: message('x', { parts: [{ text: 'x', url: 'http://x' }] }) }],
    ['the role of the agent', { message: message('x', { role: 'ROLE_AGENT' }) }],
    ['a role that is none', { message: message('x', { role: 'king' }) }],
    ['a message that is a text', { message: 'hello' }],
    ['a configuration that is a text', { message: message('x'), configuration: { historyLength: 'many' } }],
  ])('3.3.2 %s is refused', async (_what, params) => {
    expect(await failure('SendMessage', params)).toEqual(as('malformed'));
  });

  test.each(['0.3', '2.0', '1.1', '1', 'x'])('3.6.2 version %s is not supported', async (version) => {
    const headers = { 'a2a-version': version };
    const { code, reason } = isRpc
      ? await rpc('ListTasks', {}, headers)
      : await rest('GET', '/tasks', undefined, headers);
    expect([code, reason]).toEqual([isRpc ? -32_009 : 400, 'VERSION_NOT_SUPPORTED']);
  });

  test('3.6.2 no version is 0.3', async () => {
    const { reason, body } = isRpc
      ? await rpc('ListTasks', {}, { 'a2a-version': '' })
      : await rest('GET', '/tasks', undefined, { 'a2a-version': '' });
    expect(reason).toBe('VERSION_NOT_SUPPORTED');
    expect(JSON.stringify(body)).toContain('0.3');
  });

  test('3.1.11 the extended card is told to those who authenticate', async () => {
    expect((await ask('GetExtendedAgentCard')).result).toMatchObject({
      name: 'worker',
      skills: [{ id: 'review' }],
    });
  });

  test('another content type is refused', async () => {
    const headers = { 'content-type': 'text/plain' };
    const { code, status } = isRpc
      ? await rpc('ListTasks', {}, headers)
      : await rest('POST', '/message:send', {}, headers);
    expect([code, status]).toEqual(isRpc ? [-32_005, 415] : [400, 400]);
  });

  test('an agent that is not there is no place to ask', async () => {
    const response = await fetch(`${served.url}/a2a/nobody${isRpc ? '' : '/v1/message:send'}`, {
      method: 'POST',
      headers: headersOf(),
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'SendMessage', params: {} }),
    });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain('no such agent');
  });

  test('whoever may only read may look, and not send', async () => {
    const headers = { authorization: `Bearer ${reader}` };
    const params = { message: message('complete') };
    const sending = isRpc
      ? await rpc('SendMessage', params, headers)
      : await rest('POST', '/message:send', params, headers);
    expect(sending.status).toBe(403);
    expect((await rest('GET', '/tasks', undefined, headers)).result).toMatchObject({ totalSize: 0 });
  });

  test('too much is refused before it is read', async () => {
    const path = isRpc ? '/a2a/worker' : '/a2a/worker/v1/message:send';
    const post = async (body: string) =>
      fetch(`${served.url}${path}`, { method: 'POST', headers: headersOf(), body });
    const long = await post(`"${'x'.repeat(1_048_576)}"`);
    expect(long.status).toBe(413);
    const many = await post(JSON.stringify(Array.from({ length: 100_001 }, () => 0)));
    expect(many.status).toBe(413);
    expect(await many.text()).toContain('100,000');
  });
});

describe('4, 8 the agent card', () => {
  const card = async (path = '', more: RequestInit = {}) =>
    fetch(`${served.url}${path}/.well-known/agent-card.json`, more);

  test('8.2 is found without a token, and says nothing of who is there', async () => {
    const [known, unknown, whole] = await Promise.all(
      ['/a2a/worker', '/a2a/nobody', ''].map(async (path) => (await card(path)).json()),
    );
    expect(JSON.stringify(known).replaceAll('worker', 'nobody')).toBe(JSON.stringify(unknown));
    for (const one of [known, whole]) {
      expect(one).toMatchObject({
        name: expect.any(String) as string,
        description: expect.any(String) as string,
        version: expect.any(String) as string,
        capabilities: { streaming: true, extendedAgentCard: true },
        skills: [{ id: 'messages', name: expect.any(String) as string, tags: ['messages'] }],
        securitySchemes: { bearer: { httpAuthSecurityScheme: { scheme: 'Bearer' } } },
        securityRequirements: [{ schemes: { bearer: {} } }],
        defaultInputModes: expect.arrayContaining(['text/plain']) as string[],
      });
      expect(JSON.stringify(one)).not.toContain('review');
    }
  });

  test('8.3 names each interface', async () => {
    const { supportedInterfaces } = (await (await card('/a2a/worker')).json()) as Json;
    expect(supportedInterfaces).toEqual([
      { url: `${served.url}/a2a/worker`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
      { url: `${served.url}/a2a/worker/v1`, protocolBinding: 'HTTP+JSON', protocolVersion: '1.0' },
    ]);
  });

  test('8.6 may be kept for a while', async () => {
    const { headers } = await card();
    expect(headers.get('cache-control')).toMatch(/max-age=\d+/);
    const again = await card('', { headers: { 'if-none-match': headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
  });
});

describe('7 authentication', () => {
  test.each(['/a2a', '/a2a/worker', '/a2a/worker/v1/message:send', '/a2a/nobody', '/a2a/v1/message:stream'])(
    '%s needs a token',
    async (path) => {
      const { authorization: _none, ...headers } = headersOf();
      const response = await fetch(`${served.url}${path}`, { method: 'POST', headers, body: '{}' });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toContain('Bearer');
    },
  );
});

test('11.6 errors of HTTP+JSON have the form of AIP-193, and say their domain', async () => {
  const { body, headers } = await rest('GET', '/tasks/none');
  expect(headers.get('content-type')).toBe('application/a2a+json');
  expect(body).toEqual({
    error: {
      code: 404,
      status: 'NOT_FOUND',
      message: 'There is no task none of yours here.',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'TASK_NOT_FOUND',
          domain: 'a2a-protocol.org',
        },
      ],
    },
  });
});

describe('9 JSON-RPC', () => {
  const post = async (body: string, headers = {}) => {
    const response = await fetch(`${served.url}/a2a/worker`, {
      method: 'POST',
      headers: headersOf(headers),
      body,
    });
    return {
      status: response.status,
      body: (await response.json()) as { id: unknown; error: { code: number } },
    };
  };

  test.each<[string, string, number, unknown]>([
    ['what is no JSON', '{"jsonrpc":', -32_700, null],
    ['what is no UTF-8', '\u{D800}{', -32_700, null],
    ['a batch', '[]', -32_600, null],
    ['a text', '"hello"', -32_600, null],
    ['no version of JSON-RPC', '{"id":1,"method":"GetTask","params":{}}', -32_600, 1],
    [
      'a number that is none',
      '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"n":1e999}}',
      -32_600,
      null,
    ],
    ['no method', '{"jsonrpc":"2.0","id":"a","params":{}}', -32_600, 'a'],
    ['an id that is an object', '{"jsonrpc":"2.0","id":{},"method":"GetTask"}', -32_600, null],
    ['a method that is not there', '{"jsonrpc":"2.0","id":1,"method":"Fly","params":{}}', -32_601, 1],
    ['a method of 0.3', '{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}', -32_601, 1],
    ['parameters that are a list', '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[]}', -32_602, 1],
    ['no parameters', '{"jsonrpc":"2.0","id":1,"method":"GetTask"}', -32_602, 1],
    ['no id of a task', '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{}}', -32_602, 1],
  ])('%s', async (_what, request, code, id) => {
    const { body } = await post(request);
    expect(body).toMatchObject({ jsonrpc: '2.0', id, error: { code } });
  });
});

describe.each([
  [
    '9.4.2 JSON-RPC',
    '/a2a/worker',
    (params: Json) => ({ jsonrpc: '2.0', id: 'x', method: 'SendStreamingMessage', params }),
  ],
  ['11.7 HTTP+JSON', '/a2a/worker/v1/message:stream', (params: Json) => params],
])('%s', (_section, path, wrap) => {
  test('3.1.2 streams events of server-sent data, the task first, and closes when it is over', async () => {
    const response = await fetch(`${served.url}${path}`, {
      method: 'POST',
      headers: headersOf(),
      body: JSON.stringify(wrap({ message: message('complete it') })),
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = (await response.text())
      .split('\n\n')
      .filter((text) => text.startsWith('data: '))
      .map((text) => JSON.parse(text.slice('data: '.length)) as Json)
      .map((event) => (event['result'] ?? event) as Json);
    expect(Object.keys(events[0] ?? {})).toEqual(['task']);
    expect(events.at(-1)).toMatchObject({ statusUpdate: { status: { state: 'TASK_STATE_COMPLETED' } } });
  });

  test('a stream that cannot begin is answered as what it is', async () => {
    const response = await fetch(`${served.url}${path}`, {
      method: 'POST',
      headers: headersOf(),
      body: JSON.stringify(wrap({})),
    });
    expect(response.headers.get('content-type')).toMatch(/json/);
    expect(await response.text()).toContain('message is missing');
  });
});

test('3.5.2 all who follow a task are told the same, and one that leaves takes nothing from the others', async () => {
  const sent = await rpc('SendMessage', { message: message('work on it'), ...now });
  const { id } = sent.result['task'] as Json;
  await vi.waitFor(async () =>
    expect((await rpc('GetTask', { id })).result).toMatchObject({ history: [{}] }),
  );
  const leaving = new AbortController();
  const follow = async (signal?: AbortSignal) =>
    fetch(`${served.url}/a2a/worker/v1/tasks/${id as string}:subscribe`, {
      method: 'POST',
      headers: headersOf(),
      ...(signal && { signal }),
    });
  const [one, other, gone] = await Promise.all([follow(), follow(), follow(leaving.signal)]);
  expect(gone.status).toBe(200);
  leaving.abort();
  await rpc('CancelTask', { id });
  const last = (text: string) => text.trim().split('\n\n').at(-1);
  const [told, toldToo] = await Promise.all([one.text(), other.text()]);
  expect(last(told)).toContain('TASK_STATE_CANCELED');
  expect(last(toldToo)).toBe(last(told));
});

test('a token follows so many tasks at once, and no more', async () => {
  const sent = await rpc('SendMessage', { message: message('silence'), ...now });
  const path = `/tasks/${(sent.result['task'] as Json)['id'] as string}:subscribe`;
  const leaving = new AbortController();
  const follow = async () =>
    fetch(`${served.url}/a2a/worker/v1${path}`, {
      method: 'POST',
      headers: headersOf(),
      signal: leaving.signal,
    });
  const streams = await Promise.all(Array.from({ length: 100 }, follow));
  expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
  const more = await rest('POST', path, {});
  expect([more.status, more.headers.get('retry-after')]).toEqual([503, '1']);
  leaving.abort();
  // Who has gone makes room.
  await vi.waitFor(async () => {
    expect((await rest('POST', path.replace('tasks/', 'tasks/x'), {})).status).toBe(404);
  });
});

test('tasks outlive a restart, and those who wait are told how they stand', async () => {
  const asked = async (params: Json) => rpc('SendMessage', params);
  const silent = await agentOf(served, 'silent');
  const waiting = rpc('SendMessage', { message: message('wait') }, {}, '/a2a/silent');
  const mail = await silent.take();
  const streaming = fetch(`${served.url}/a2a/silent/v1/tasks/${mail.correlation_id}:subscribe`, {
    method: 'POST',
    headers: headersOf(),
  });
  const stream = await streaming;
  const done = await asked({ message: message('complete it') });
  const before = (await rpc('ListTasks', {})).result['totalSize'];
  over.abort();
  await served.stop();
  expect(await stream.text()).toContain(mail.correlation_id);
  const task = (await waiting).result['task'] as Json & { id: string };
  expect(task).toMatchObject({ id: mail.correlation_id, status: { state: 'TASK_STATE_WORKING' } });

  served = await serve(hub, { FLOTILLA_DATA: data.path, FLOTILLA_HUB_A2A_OPEN_CARDS: 'true' });
  const open = async (name: string) => fetch(`${served.url}/a2a/${name}/.well-known/agent-card.json`);
  // As the operator wants it now.
  expect(await (await open('worker')).json()).toMatchObject({ name: 'worker', skills: [{ id: 'review' }] });
  expect([(await open('nobody')).status, (await open('a2a:first')).status]).toEqual([404, 404]);
  const again = await rpc('GetTask', { id: (done.result['task'] as Json)['id'] });
  expect(again.result).toEqual(done.result['task']);
  expect((await rpc('ListTasks', {})).result['totalSize']).toBe(before);
  await call(served, 'send_message', {
    from: 'silent',
    to: [mail.from],
    type: 'response',
    body: { result: 'Late, but here' },
    correlation_id: task.id,
  });
  const { result } = await rpc('GetTask', { id: task.id }, {}, '/a2a/silent');
  expect(result).toMatchObject({
    status: { state: 'TASK_STATE_COMPLETED' },
    artifacts: [{ parts: [{ text: 'Late, but here' }] }],
  });
  await vi.waitFor(async () => {
    const { messages } = await call(served, 'receive_messages', { agent: 'a2a:first' });
    expect(messages).toEqual([]);
  });
});
