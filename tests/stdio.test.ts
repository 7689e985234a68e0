/** The bridge between standard input and output and HTTP: real clients of both eras on one side, real services on the other. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as LegacyStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ElicitRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { parseScope } from '#runtime/access/scope.ts';
import { createToken } from '#runtime/access/tokens.ts';
import { startService } from '#runtime/process/run.ts';

import { freePortOffset } from '../scripts/ports.ts';
import { isolatedEnvironment } from '../scripts/environment.ts';
import { bridge } from '../scripts/stdio/bridge.ts';
import { conformanceService } from './support/conformance-service.ts';
import { serveBehind } from './support/fronted.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

const home = new URL('..', import.meta.url).pathname;

interface Bridged extends AsyncDisposable {
  readonly lines: string[];
  readonly told: string[];
  send(message: object | string): void;
  /** For the SDK's clients: what a child's pipes would carry. */
  readonly transport: () => {
    start(): Promise<void>;
    send(message: object): Promise<void>;
    close(): Promise<void>;
    onmessage?: (message: never) => void;
    onclose?: () => void;
  };
  /** The answer to the request with this id. */
  answer(id: unknown): Promise<Record<string, any>>; // oxlint-disable-line typescript/no-explicit-any -- answers are looked at field by field
  end(): Promise<void>;
}

function bridged(target: Pick<Served, 'url' | 'token'>, patienceMs = 10_000): Bridged {
  const input = new PassThrough();
  const output = new PassThrough();
  const lines: string[] = [];
  const answers = new Map<string, Record<string, unknown>>();
  const told: string[] = [];
  const stop = new AbortController();
  let hear: ((line: string) => void) | undefined;
  createInterface({ input: output, crlfDelay: Infinity }).on('line', (line) => {
    lines.push(line);
    const message = JSON.parse(line) as Record<string, unknown>;
    if (message['method'] === undefined) answers.set(JSON.stringify(message['id']), message);
    hear?.(line);
  });
  const done = bridge({
    url: new URL(`${target.url}/mcp`),
    token: () => target.token,
    input,
    output,
    tell: (line) => void told.push(line),
    remedy: 'Start the fleet: flotilla start',
    stop: stop.signal,
    patienceMs,
  });
  const send = (message: object | string) =>
    void input.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`);
  return {
    lines,
    told,
    send,
    transport() {
      const transport: ReturnType<Bridged['transport']> = {
        start: async () => void (hear = (line) => transport.onmessage?.(JSON.parse(line) as never)),
        send: async (message) => send(message),
        close: async () => transport.onclose?.(),
      };
      return transport;
    },
    answer: async (id) => {
      const key = JSON.stringify(id);
      return vi.waitFor(
        () => {
          const found = answers.get(key);
          if (!found) throw new Error(`no answer to ${key} in ${lines.length} lines`);
          return found;
        },
        { timeout: 60_000, interval: 5 },
      );
    },
    async end() {
      input.end();
      await done;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const modern = (id: unknown, method: string, params: object = {}) => ({
  jsonrpc: '2.0',
  id,
  method,
  params: { ...params, _meta: meta },
});
const initialize = (id: unknown = 0) => ({
  jsonrpc: '2.0',
  id,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
});
const initialized = { jsonrpc: '2.0', method: 'notifications/initialized' };

async function modernOver({ transport }: Bridged): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(transport() as never);
  return client;
}

async function legacyOver({ transport }: Bridged, capabilities: object = {}): Promise<LegacyClient> {
  const client = new LegacyClient({ name: 'test', version: '1' }, { capabilities });
  await client.connect(transport() as never);
  return client;
}

test('the command carries clients of both eras, as they start it, and ends with them', async () => {
  const { service } = wireService({ name: 'memory' });
  const offset = await freePortOffset();
  await using served = await serve(service, {}, offset + (entryOf('memory')?.port ?? 0));
  const options = {
    command: `${home}scripts/flotilla`,
    args: ['stdio', 'memory'],
    env: isolatedEnvironment({
      FLOTILLA_PORT_OFFSET: String(offset),
      FLOTILLA_DATA: served.dataRoot,
    }) as Record<string, string>,
    stderr: 'pipe' as const,
  };
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  const older = new LegacyClient({ name: 'test', version: '1' });
  const transport = new LegacyStdio(options);

  await Promise.all([client.connect(new StdioClientTransport(options)), older.connect(transport)]);
  const [answer, answerOfOlder] = await Promise.all([
    client.callTool({ name: 'echo', arguments: { nonce: 'päckchen 🛶' } }),
    older.callTool({ name: 'echo', arguments: { nonce: 'ü' } }),
  ]);
  const pid = transport.pid ?? 0;
  const revision = client.getNegotiatedProtocolVersion();
  await Promise.all([client.close(), older.close()]);

  expect(revision).toBe('2026-07-28');
  expect(answer.structuredContent).toEqual({ nonce: 'päckchen 🛶' });
  expect(answerOfOlder.structuredContent).toEqual({ nonce: 'ü' });
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('lists, calls, documents, prompts, progress and changes of documents pass in both eras', async () => {
  const { service } = wireService();
  await using served = await serve(service);
  await using one = bridged(served);
  await using other = bridged(served);
  const client = await modernOver(one);
  const older = await legacyOver(other);
  const progress: number[] = [];
  const updated: string[] = [];
  client.setNotificationHandler(
    'notifications/resources/updated',
    ({ params }) => void updated.push(`new ${params.uri}`),
  );
  older.setNotificationHandler(
    ResourceUpdatedNotificationSchema,
    ({ params }) => void updated.push(`old ${params.uri}`),
  );

  for (const each of [client, older] as unknown as readonly Client[]) {
    expect((await each.listTools()).tools.length).toBeGreaterThan(10);
    expect((await each.readResource({ uri: 'wire://document' })).contents).toMatchObject([
      { text: 'A text.' },
    ]);
    expect((await each.getPrompt({ name: 'greet' })).messages).toHaveLength(1);
    await expect(each.callTool({ name: 'no_such_tool', arguments: {} })).rejects.toMatchObject({
      code: -32_602,
    });
    expect((await each.callTool({ name: 'break_down', arguments: {} })).isError).toBe(true);
  }
  const onprogress = ({ progress: done }: { progress: number }) => void progress.push(done);
  await client.callTool({ name: 'count_up', arguments: { to: 3 } }, { onprogress });
  await older.callTool({ name: 'count_up', arguments: { to: 3 } }, undefined, { onprogress });
  await client.listen({ resourceSubscriptions: ['wire://document'] });
  await older.subscribeResource({ uri: 'wire://document' });
  await client.callTool({ name: 'touch_document', arguments: {} });

  await vi.waitFor(() => expect(updated.toSorted()).toEqual(['new wire://document', 'old wire://document']));
  expect(progress).toContain(3);
  expect([...one.told, ...other.told]).toEqual([]);
});

test('the gateway is carried as a service is, and a restart behind it costs nothing', async () => {
  await using fronted = await serveBehind([wireService().service]);
  await using one = bridged(fronted.gateway);
  await using other = bridged(fronted.gateway);
  const clients = [await modernOver(one), (await legacyOver(other)) as unknown as Client];
  const echo = async (client: Client) => client.callTool({ name: 'echo', arguments: { nonce: 'n' } });
  for (const client of clients) expect((await client.listTools()).tools.length).toBeGreaterThan(10);

  const restarted = fronted.restart('wire');
  const answers = await Promise.all(clients.map(echo));
  await restarted;

  for (const { structuredContent } of answers) expect(structuredContent).toEqual({ nonce: 'n' });
  expect([...one.told, ...other.told]).toEqual([]);
});

test('what a server asks in mid-call reaches the client, and its answer the server', async () => {
  await using served = await serve(conformanceService);
  await using carried = bridged(served);
  const client = await legacyOver(carried, { elicitation: {} });
  const asked: string[] = [];
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
    asked.push(params.message);
    return { action: 'accept', content: { username: 'ada', email: 'ada@example.org' } };
  });

  const answer = await client.callTool({ name: 'test_elicitation', arguments: { message: 'Who?' } });

  expect(asked).toHaveLength(1);
  expect(JSON.stringify(answer.content)).toContain('ada');
});

test('a call that is taken back is stopped at the service, and not answered', async () => {
  const { service, moments } = wireService();
  await using served = await serve(service);
  await using carried = bridged(served);
  const cancelled = (requestId: unknown) => ({
    jsonrpc: '2.0',
    method: 'notifications/cancelled',
    params: { requestId },
  });

  carried.send(modern('a', 'tools/call', { name: 'wait_for_signal', arguments: { id: 'a' } }));
  await moments.seen('a started');
  carried.send(cancelled('a'));
  await moments.seen('a aborted');
  carried.send(initialize());
  await carried.answer(0);
  carried.send(initialized);
  carried.send({
    jsonrpc: '2.0',
    id: 7,
    method: 'tools/call',
    params: { name: 'wait_for_signal', arguments: { id: 'b' } },
  });
  await moments.seen('b started');
  carried.send(cancelled(7));
  carried.send(cancelled('nobody'));
  await moments.seen('b aborted');
  carried.send(modern(8, 'tools/list'));
  await carried.answer(8);

  expect(carried.lines.map((line) => (JSON.parse(line) as { id: unknown }).id)).toEqual([0, 8]);
});

/** What a server gets, and whatever it answers: for what no service of ours would. */
async function answering(
  answer: (
    body: string,
    headers: Readonly<Record<string, unknown>>,
  ) => { status?: number; type?: string; text: string },
): Promise<
  {
    readonly url: string;
    readonly token: string;
    readonly got: { body: string; headers: Readonly<Record<string, unknown>> }[];
  } & AsyncDisposable
> {
  const got: { body: string; headers: Readonly<Record<string, unknown>> }[] = [];
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    got.push({ body, headers: request.headers });
    const { status = 200, type = 'application/json', text } = answer(body, request.headers);
    response.writeHead(status, { 'content-type': type }).end(text);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: 'secret',
    got,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('arguments that a tool wants as headers are repeated there once its list was seen', async () => {
  const inputSchema = {
    type: 'object',
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      more: { type: 'object', properties: { urgent: { type: 'boolean', 'x-mcp-header': 'Urgent' } } },
      count: { type: 'integer', 'x-mcp-header': 'Count' },
    },
  };
  await using server = await answering((body) => {
    const { id, method } = JSON.parse(body) as { id: number; method: string };
    const result = method === 'tools/list' ? { tools: [{ name: 'send', inputSchema }] } : {};
    return { text: JSON.stringify({ jsonrpc: '2.0', id, result }) };
  });
  await using carried = bridged(server);
  const call = { name: 'send', arguments: { region: 'Łódź', more: { urgent: true } } };
  carried.send(modern(1, 'tools/list'));
  await carried.answer(1);

  carried.send(modern(2, 'tools/call', call));
  await carried.answer(2);

  const { headers = {} } = server.got[1] ?? {};
  expect(headers).toMatchObject({
    'mcp-param-region': `=?base64?${Buffer.from('Łódź').toString('base64')}?=`,
    'mcp-param-urgent': 'true',
  });
  expect(headers).not.toHaveProperty('mcp-param-count');
});

test('each byte of a message passes as it is, both ways, and an answer is one line', async () => {
  const odd = '{ "jsonrpc":"2.0", "result": { "n": 12345678901234567890, "t": "\\u00fc\\n" },\r\n "id": 1 }';
  await using server = await answering((body) =>
    body.includes('"stream"')
      ? {
          type: 'text/event-stream',
          text: `: hi\n\nid: 1\ndata:\n\nevent: message\ndata: {"jsonrpc":"2.0",\r\ndata: "id":2,"result":{}}\r\n\r\n`,
        }
      : { text: odd },
  );
  await using carried = bridged(server);
  const sent =
    '{"id":1,  "jsonrpc":"2.0","method":"tools/call","params":{"name":"größe","arguments":{"a":1.0,"b":1e400},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}';

  carried.send(sent);
  await carried.answer(1);
  carried.send({ jsonrpc: '2.0', id: 2, method: 'stream' });
  await carried.answer(2);

  expect(server.got[0]?.body).toBe(sent);
  expect(server.got[0]?.headers).toMatchObject({
    authorization: 'Bearer secret',
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': `=?base64?${Buffer.from('größe').toString('base64')}?=`,
  });
  expect(carried.lines).toEqual([odd.replace('\r\n', ' '), '{"jsonrpc":"2.0", "id":2,"result":{}}']);
});

test.each([
  ['no JSON', '{"jsonrpc', -32_700],
  ['no message', '3', -32_700],
])('a line that is %s is answered with an error, and the next one as ever', async (_what, line, code) => {
  const { service } = wireService();
  await using served = await serve(service);
  await using carried = bridged(served);
  carried.send('');
  carried.send(line);
  carried.send(modern(1, 'tools/call', { name: 'echo', arguments: { nonce: 'n' } }));

  expect((await carried.answer(null))['error']).toMatchObject({ code });
  expect((await carried.answer(1))['result'].structuredContent).toEqual({ nonce: 'n' });
});

test('an error of the transport becomes the error of the request: with its code, or with the remedy', async () => {
  await using server = await answering((body) => {
    const { id } = JSON.parse(body) as { id: number };
    const error = { code: -32_020, message: 'Header mismatch' };
    return (
      {
        1: { status: 400, text: JSON.stringify({ jsonrpc: '2.0', id: null, error }) },
        2: { status: 401, text: '{}' },
        3: { status: 500, type: 'text/html', text: '<h1>Oops</h1>' },
        4: {
          status: 404,
          text: JSON.stringify({
            jsonrpc: '2.0',
            id: 4,
            error: { code: -32_601, message: 'No such method' },
          }),
        },
        5: { type: 'text/event-stream', text: ': nothing\n\n' },
      }[id] ?? { text: '' }
    );
  });
  await using carried = bridged(server, 100);

  for (const id of [1, 2, 3, 4, 5]) carried.send(modern(id, 'tools/call', { name: 'a' }));

  expect((await carried.answer(1))['error']).toEqual({ code: -32_020, message: 'Header mismatch' });
  expect((await carried.answer(2))['error'].message).toContain('refuses the token');
  expect((await carried.answer(3))['error'].message).toContain('status 500');
  expect((await carried.answer(4))['error']).toEqual({ code: -32_601, message: 'No such method' });
  expect((await carried.answer(5))['error'].message).toContain('Whether it was done is not known');
});

test('a token that was replaced while the client runs counts', async () => {
  const { service } = wireService();
  await using served = await serve(service);
  const target = { url: served.url, token: 'old' };
  await using carried = bridged(target);

  let id = 1;
  carried.send(modern(id, 'tools/list'));
  expect((await carried.answer(id))['error'].message).toContain('refuses the token');
  target.token = await createToken(served.dataRoot, {
    name: 'new',
    scope: parseScope('*'),
    expiresAt: null,
  });
  await vi.waitFor(async () => {
    carried.send(modern((id += 1), 'tools/list'));
    expect((await carried.answer(id))['result']).toBeDefined();
  });
});

test('a fleet that is not running is an error with the remedy, and the next message finds it when it runs', async () => {
  const { service } = wireService();
  const stopped = await serve(service);
  const { url, token, dataRoot } = stopped;
  await stopped.stop();
  await using carried = bridged({ url, token }, 200);

  carried.send(modern(1, 'tools/list'));
  const { error } = await carried.answer(1);
  const running = await startService(service, Number(new URL(url).port), {
    FLOTILLA_DATA: dataRoot,
    FLOTILLA_LOG_LEVEL: 'error',
  });
  carried.send(modern(2, 'tools/list'));
  const { result } = await carried.answer(2);
  await running.stop();
  await stopped[Symbol.asyncDispose]();

  expect(error).toMatchObject({
    code: -32_603,
    message: expect.stringContaining('Start the fleet: flotilla start') as unknown,
  });
  expect(result.tools.length).toBeGreaterThan(10);
  expect(carried.told).toEqual([expect.stringContaining('Nothing answers'), 'It answers again.']);
});

test('a request that waits for the fleet at the end of the input is answered then', async () => {
  const carried = bridged({ url: 'http://127.0.0.1:1', token: 'none' }, 60_000);
  carried.send(modern(1, 'tools/list'));
  await vi.waitFor(() => expect(carried.told).toHaveLength(1));

  await carried.end();

  expect((await carried.answer(1))['error'].message).toContain('Start the fleet');
});

test('a service that is started again costs no request, no session and no subscription', async () => {
  const { service } = wireService();
  const first = await serve(service);
  await using one = bridged(first);
  await using other = bridged(first);
  const client = await modernOver(one);
  const older = await legacyOver(other);
  const updated: string[] = [];
  client.setNotificationHandler('notifications/resources/updated', () => void updated.push('new'));
  older.setNotificationHandler(ResourceUpdatedNotificationSchema, () => void updated.push('old'));
  const subscription = await client.listen({
    resourceSubscriptions: ['wire://document'],
    toolsListChanged: true,
  });
  let isClosed = false;
  void subscription.closed.then(() => (isClosed = true));
  await older.subscribeResource({ uri: 'wire://document' });

  await first.stop();
  const calls = [client, older].map(async (each) =>
    (each as Client).callTool({ name: 'echo', arguments: { nonce: 'n' } }),
  );
  const again = await startService(service, Number(new URL(first.url).port), {
    FLOTILLA_DATA: first.dataRoot,
    FLOTILLA_LOG_LEVEL: 'error',
  });

  for (const call of calls) expect((await call).structuredContent).toEqual({ nonce: 'n' });
  // Both are told what they may have missed, and from then on what changes.
  await vi.waitFor(() => expect(new Set(updated)).toEqual(new Set(['new', 'old'])), { timeout: 20_000 });
  updated.length = 0;
  await client.callTool({ name: 'touch_document', arguments: {} });
  await vi.waitFor(() => expect(new Set(updated)).toEqual(new Set(['new', 'old'])), { timeout: 20_000 });
  expect(isClosed).toBe(false);
  await again.stop();
  await first[Symbol.asyncDispose]();
});

test('at the end of the input what runs is finished, and nothing is left behind', async () => {
  const { service, moments } = wireService();
  await using served = await serve(service);
  const carried = bridged(served);
  carried.send(initialize());
  await carried.answer(0);
  carried.send(initialized);
  carried.send(modern('s', 'subscriptions/listen', { notifications: { toolsListChanged: true } }));
  carried.send(modern(1, 'tools/call', { name: 'hold', arguments: { id: 'h' } }));
  await moments.seen('h started');

  const ended = carried.end();
  moments.happen('h released');
  await ended;

  expect((await carried.answer(1))['result'].isError).toBeFalsy();
  expect(carried.lines.at(-1)).toContain('"id":1');
});

test('hundreds of requests at once, and large answers, arrive whole', async () => {
  const { service } = wireService();
  await using served = await serve(service);
  await using carried = bridged(served);
  const ids = Array.from({ length: 400 }, (_, at) => at);

  for (const id of ids)
    carried.send(modern(id, 'tools/call', { name: 'echo', arguments: { nonce: `n${id}` } }));
  carried.send(modern('big', 'tools/call', { name: 'write_much', arguments: { sizeBytes: 8_000_000 } }));

  for (const id of ids)
    expect((await carried.answer(id))['result'].structuredContent).toEqual({ nonce: `n${id}` });
  expect((await carried.answer('big'))['result'].content[0].text).toHaveLength(8_000_000);
});
