import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';

import { callTool, codeOf } from '../../tests/support/rpc.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import hub from './service.ts';

let served: Served;
beforeAll(async () => {
  served = await serve(hub);
});
afterAll(async () => served[Symbol.asyncDispose]());

let count = 0;

/** An agent that nobody else of these trials has. */
async function newAgent(more: object = {}): Promise<string> {
  count += 1;
  const name = `agent-${count}`;
  await callTool(served, 'register_agent', { name, ...more });
  return name;
}

const say = async (from: string, to: string, text: string) =>
  callTool(served, 'send_message', { from, to: [to], body: { text } });

const get = async (path: string, token: string | undefined = served.token, signal?: AbortSignal) =>
  fetch(`${served.url}${path}`, {
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    ...(signal && { signal }),
  });

/** The events of a stream, one after the other. */
async function* eventsOf(response: Response) {
  let text = '';
  const decoder = new TextDecoder();
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(part, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data !== undefined) yield JSON.parse(data) as { receipt: string; body: { text: string } };
    }
  }
}

async function takeOne<Value>(events: AsyncGenerator<Value>): Promise<Value> {
  const { value } = await events.next();
  return value as Value;
}

async function otherToken(
  scope: readonly string[] = ['hub:destroy'],
): Promise<{ name: string; secret: string }> {
  count += 1;
  const name = `token-${count}`;
  const secret = await createToken(served.dataRoot, { name, scope: [...scope], expiresAt: null });
  await expect.poll(async () => (await get('/history?from=999999', secret)).status).not.toBe(401);
  return { name, secret };
}

describe('a token that carries a choice of tools', () => {
  const secretFor = async (...tools: string[]) => {
    count += 1;
    const name = `chosen-${count}`;
    const secret = await createToken(served.dataRoot, {
      name,
      scope: ['hub:destroy'],
      expiresAt: null,
      tools,
    });
    await expect.poll(async () => (await get('/events?agent=nobody', secret)).status).not.toBe(401);
    return secret;
  };

  test('gets by no other face what its tools would not give', async () => {
    const few = await secretFor('list_agents');
    for (const path of ['/events?agent=nobody', '/history?from=999999', '/a2a/v1/tasks']) {
      const answer = await get(path, few); // oxlint-disable-line no-await-in-loop -- one after the other
      expect([path, answer.status]).toEqual([path, 403]);
      expect(await answer.text()).toMatch(/was not made for \w+, which does the same/); // oxlint-disable-line no-await-in-loop
    }
    using socket = await client(few);
    expect(await socket.ask({ id: 1, method: 'listen', params: { agent: 'nobody' } })).toMatchObject({
      error: { message: expect.stringContaining('was not made for receive_messages') },
    });
  });

  test('gets by another face what its tools give', async () => {
    const reads = await secretFor('get_message_history', 'receive_messages');
    expect((await get('/history?from=999999', reads)).status).toBe(200);
    expect((await get('/events?agent=nobody', reads)).status).toBe(404);
    const sends = await secretFor('send_message');
    expect((await get('/a2a/v1/tasks', sends)).status).not.toBe(403);
  });
});

test('what is nested very deep makes no answer long, and is refused in a message', async () => {
  const agent = await newAgent();
  const nested = (depth: number) => ({ from: agent, to: [agent], body: { list: listsIn(depth) } });
  expect(codeOf(await callTool(served, 'send_message', nested(98)))).toBeUndefined();
  for (const depth of [100, 20_000]) {
    const packed = JSON.stringify(nested(depth).body);
    for (const how of [
      nested(depth),
      {
        from: agent,
        to: [agent],
        packed: { encoding: 'json', data: btoa(packed), size_bytes: packed.length },
      },
    ])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(JSON.stringify(await callTool(served, 'send_message', how))).toContain('more than 100 times');
  }
  const { content, structuredContent } = (await callTool(served, 'receive_messages', { agent })).result as {
    content: { text: string }[];
    structuredContent: { messages: object[] };
  };
  expect(structuredContent.messages).toHaveLength(1);
  expect(content[0]?.text).toContain(JSON.stringify(structuredContent));
});

const listsIn = (depth: number) => {
  let value: unknown = 1;
  for (let times = 0; times < depth; times += 1) value = [value];
  return value;
};

describe('server-sent events', () => {
  test('bring what is there and what comes, and no more than the window while nothing is acknowledged', async () => {
    const [a, b] = [await newAgent(), await newAgent({ mailbox: { ordered: false } })];
    await say(a, b, '1');
    const response = await get(`/events?agent=${b}&window=2`);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = eventsOf(response);
    const first = await takeOne(events);
    expect(first.body).toEqual({ text: '1' });
    await say(a, b, '2');
    await say(a, b, '3');
    expect((await takeOne(events)).body).toEqual({ text: '2' });
    const third = takeOne(events);
    expect(await callTool(served, 'get_receipts', { from: a, id: 'none' })).toMatchObject({
      result: { isError: true },
    });
    const backlog = async () => {
      const { result } = await callTool(served, 'list_agents', { name: b });
      return (result as { structuredContent: { agents: { waiting: number }[] } }).structuredContent.agents[0]
        ?.waiting;
    };
    expect(await backlog()).toBe(3);
    await callTool(served, 'acknowledge_messages', { agent: b, receipts: [first.receipt] });
    expect((await third).body).toEqual({ text: '3' });
    await events.return(undefined);
  });

  test.each([
    ['', 400],
    ['?agent=nobody', 404],
    ['?agent=Not%20a%20name', 400],
    ['?agent=a&window=0', 400],
    ['?agent=a&more=1', 400],
  ])('are refused for %s with %i', async (query, status) => {
    const response = await get(`/events${query}`);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: expect.any(String) as string });
  });

  test('say so when the agent leaves, and end', async () => {
    const a = await newAgent();
    const response = await get(`/events?agent=${a}`);
    const text = response.text();
    await callTool(served, 'unregister_agent', { name: a });
    expect(await text).toMatch(/event: error\ndata: \{"error":"There is no agent/);
  });

  test('are for the token of the agent, and end with it', async () => {
    const a = await newAgent();
    const { name, secret } = await otherToken();
    expect((await get(`/events?agent=${a}`, secret)).status).toBe(403);
    expect((await get(`/events?agent=${a}`, 'wrong')).status).toBe(401);
    expect((await get(`/events?agent=${a}`, (await otherToken(['hub:read'])).secret)).status).toBe(403);
    await callTool(served, 'register_agent', { name: `of-${name}` }, { token: secret });
    const events = eventsOf(await get(`/events?agent=of-${name}`, secret));
    const end = events.next();
    await revokeToken(served.dataRoot, name);
    expect(await end).toMatchObject({ done: true });
  });
});

describe('the history as a stream', () => {
  test('gives all that the token may see, oldest first, and goes on after a place', async () => {
    const [a, b] = [await newAgent(), await newAgent()];
    for (let number = 0; number < 250; number += 1) await say(a, b, String(number)); // oxlint-disable-line no-await-in-loop -- in this order
    const lines = async (query: string, token?: string) => {
      const text = await (await get(`/history${query}`, token)).text();
      return text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { seq: number; body: { text: string } });
    };
    const all = await lines(`?agent=${a}`);
    expect(all.map(({ body }) => body.text)).toEqual(
      Array.from({ length: 250 }, (_, number) => String(number)),
    );
    expect(await lines(`?agent=${a}&from=${all[247]?.seq}`)).toHaveLength(2);
    expect(await lines(`?agent=${a}`, (await otherToken()).secret)).toEqual([]);
    expect((await get('/history?since=yesterday')).status).toBe(400);
    const posted = await fetch(`${served.url}/history`, {
      method: 'POST',
      headers: { authorization: `Bearer ${served.token}` },
    });
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});

function connect(
  token: string | undefined = served.token,
  path = '/socket',
  headers: object = {},
): WebSocket {
  return new WebSocket(`${served.url.replace('http', 'ws')}${path}`, {
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
  });
}

/** A client: sends frames, and finds the answer with an id, or the next event. */
async function client(token?: string) {
  const socket = connect(token);
  const answers: { id?: unknown; method?: string; params?: unknown; result?: unknown; error?: unknown }[] =
    [];
  socket.on('message', (data: Buffer) => answers.push(JSON.parse(data.toString()) as object));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const send = (frame: unknown) =>
    socket.send(typeof frame === 'string' ? frame : JSON.stringify({ jsonrpc: '2.0', ...(frame as object) }));
  return {
    socket,
    answers,
    send,
    async ask(frame: { readonly id: number | string; readonly method: string; readonly params?: object }) {
      send(frame);
      return expect
        .poll(() => answers.find(({ id }) => id === frame.id))
        .toBeDefined()
        .then(() => answers.find(({ id }) => id === frame.id));
    },
    events: () => answers.filter(({ method }) => method === 'event').map(({ params }) => params),
    [Symbol.dispose]: () => socket.terminate(),
  };
}

const closed = async (socket: WebSocket) =>
  new Promise<number>((resolve) => socket.once('close', (code) => resolve(code)));

describe('WebSocket', () => {
  test('calls tools, and hears of messages, on one connection', async () => {
    const [a, b] = [await newAgent(), await newAgent()];
    using own = await client();
    expect(await own.ask({ id: 1, method: 'listen', params: { agent: b } })).toMatchObject({
      result: { listening: true },
    });
    const sent = await own.ask({
      id: 2,
      method: 'tools/call',
      params: { name: 'send_message', arguments: { from: a, to: [b], body: { text: 'over a socket' } } },
    });
    expect(sent).toMatchObject({ result: { structuredContent: { outcome: 'sent', delivered_to: [b] } } });
    await expect
      .poll(own.events)
      .toMatchObject([{ listen: 1, event: 'message', data: { body: { text: 'over a socket' } } }]);
    const [{ data }] = own.events() as [{ data: { receipt: string } }];
    expect(
      await own.ask({
        id: 'ack',
        method: 'tools/call',
        params: { name: 'acknowledge_messages', arguments: { agent: b, receipts: [data.receipt] } },
      }),
    ).toMatchObject({ result: { structuredContent: { acknowledged: 1 } } });

    expect(await own.ask({ id: 3, method: 'unlisten', params: { listen: 1 } })).toMatchObject({ result: {} });
    await say(a, b, 'nobody listens');
    expect(
      await own.ask({
        id: 4,
        method: 'tools/call',
        params: { name: 'receive_messages', arguments: { agent: b } },
      }),
    ).toMatchObject({
      result: { structuredContent: { messages: [{ body: { text: 'nobody listens' } }] } },
    });
  });

  test('says what is wrong with a frame, and goes on', async () => {
    using own = await client();
    const wrong: readonly (readonly [unknown, object])[] = [
      ['no json', { code: -32_700 }],
      ['[]', { code: -32_600 }],
      [{ method: 5, id: 1 }, { code: -32_600 }],
      [{ method: 'tools/list', id: 2 }, { code: -32_601 }],
      [{ method: 'tools/call', id: 3, params: { name: 'nothing' } }, { code: -32_602 }],
      [
        { method: 'listen', id: 4, params: { agent: 'nobody' } },
        { code: -32_000, data: { code: 'not_found' } },
      ],
      [
        { method: 'listen', id: 5, params: { agent: 'nobody', more: 1 } },
        { data: { code: 'invalid_input' } },
      ],
    ];
    for (const [frame, error] of wrong) {
      own.answers.length = 0;
      own.send(frame);
      await expect.poll(() => own.answers[0]?.error).toMatchObject(error); // oxlint-disable-line no-await-in-loop -- one after the other
    }
    const failed = await own.ask({
      id: 9,
      method: 'tools/call',
      params: { name: 'send_message', arguments: { to: 5 } },
    });
    expect(failed).toMatchObject({ result: { isError: true } });
  });

  test('lets a token that may only read listen to nothing', async () => {
    const a = await newAgent();
    using own = await client((await otherToken(['hub:read'])).secret);
    expect(await own.ask({ id: 1, method: 'listen', params: { agent: a } })).toMatchObject({
      error: { data: { code: 'forbidden', hint: expect.stringContaining('hub:write') as string } },
    });
  });

  test('takes a call back', async () => {
    const b = await newAgent();
    using own = await client();
    own.send({
      id: 1,
      method: 'tools/call',
      params: { name: 'receive_messages', arguments: { agent: b, wait_seconds: 40 } },
    });
    await expect
      .poll(
        async () =>
          (await (await get('/metrics')).text()).match(/^flotilla_hub_waiting_calls\S* (\d+)/m)?.[1],
      )
      .not.toBe('0');
    own.send({ method: 'notifications/cancelled', params: { requestId: 1 } });
    await expect
      .poll(
        async () =>
          (await (await get('/metrics')).text()).match(/^flotilla_hub_waiting_calls\S* (\d+)/m)?.[1],
      )
      .toBe('0');
  });

  test('ends with binary frames, frames that are too long, and the token', async () => {
    using binary = await client();
    binary.socket.send(Buffer.from([1, 2]));
    expect(await closed(binary.socket)).toBe(1003);
    using long = await client();
    long.socket.send('x'.repeat(30_000_000));
    expect(await closed(long.socket)).toBe(1009);
    const { name, secret } = await otherToken();
    using revoked = await client(secret);
    await revokeToken(served.dataRoot, name);
    expect(await closed(revoked.socket)).toBe(1008);
  });

  test.each([
    ['without a token', undefined, '/socket', {}, 401],
    ['with a wrong one', 'wrong', '/socket', {}, 401],
    ['at another place', 'own', '/other', {}, 404],
    ['from another site', 'own', '/socket', { origin: 'https://evil.example' }, 403],
    ['under another name', 'own', '/socket', { host: 'evil.example' }, 403],
  ])('is refused %s', async (_what, token, path, headers, status) => {
    const socket =
      token === undefined
        ? new WebSocket(`${served.url.replace('http', 'ws')}${path}`)
        : connect(token === 'own' ? served.token : token, path, headers);
    const answered = await new Promise<number | undefined>((resolve) => {
      socket.once('unexpected-response', (_request, { statusCode }) => resolve(statusCode));
      socket.once('error', () => resolve(undefined));
    });
    expect(answered).toBe(status);
  });
});

test('whoever listens hears that the hub stops', async () => {
  await using other = await serve(hub);
  await callTool(other, 'register_agent', { name: 'a' });
  const events = eventsOf(
    await fetch(`${other.url}/events?agent=a`, { headers: { authorization: `Bearer ${other.token}` } }),
  );
  const end = events.next();
  const socket = new WebSocket(`${other.url.replace('http', 'ws')}/socket`, {
    headers: { authorization: `Bearer ${other.token}` },
  });
  await new Promise((resolve) => socket.once('open', resolve));
  const code = closed(socket);
  await other.stop();
  expect(await end).toMatchObject({ done: true });
  expect(await code).toBe(1001);
});
