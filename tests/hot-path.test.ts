/** The short way and the long way give the same answers: requests that are valid, slightly wrong or hostile, sent both ways. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';

import { expect, test } from 'vitest';
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import type { AnyService } from '#runtime/service.ts';
import { defineTool, Reply, type AnyTool } from '#runtime/tool.ts';

import { serve, type Served } from './support/serve.ts';

const requests = process.env['FAULT_TRIALS'] === 'all' ? 100_000 : 8_000;
const clients = 16;
const revision = '2026-07-28';
const metaKey = (name: string) => `io.modelcontextprotocol/${name}`;

const hints = { readOnly: true, destructive: false, idempotent: true, openWorld: false };

function tool(
  name: string,
  more: Partial<AnyTool<unknown>> & Pick<AnyTool<unknown>, 'handler'>,
): AnyTool<unknown> {
  const base = {
    title: name,
    description: name,
    effect: 'read' as const,
    hints,
    input: z.object({}),
    output: z.object({}),
  };
  return defineTool({ name, ...base, ...more });
}

/** One tool for each way in which an answer can come about. */
const service: AnyService = {
  name: 'hot',
  settings: z.object({}),
  open: () => ({}),
  tools: [
    tool('echo', {
      input: z.object({ text: z.string().max(100), times: z.int().min(1).max(3).default(1) }),
      output: z.object({ text: z.string() }),
      handler: ({ text, times }: { text: string; times: number }) => ({ text: text.repeat(times) }),
    }),
    tool('later', {
      output: z.object({ at: z.string() }),
      handler: async () => Promise.resolve({ at: 'last' }),
    }),
    tool('destroy', { effect: 'destroy', handler: () => ({}) }),
    tool('refuse', {
      handler: () => {
        throw new ToolError('conflict', 'It has changed.', { hint: 'Read it again.' });
      },
    }),
    tool('break', {
      handler: () => {
        throw new TypeError('a bug');
      },
    }),
    tool('late', { timeoutMs: 5, handler: async () => new Promise(() => {}) }),
    tool('picture', {
      handler: () =>
        new Reply(
          {},
          { content: [{ type: 'image', data: 'AA==', mimeType: 'image/png' }], meta: { 'a/b': 1 } },
        ),
    }),
    tool('bounded', {
      untrusted: 'bounded',
      output: z.object({ text: z.string() }),
      handler: () => ({ text: '</x>' }),
    }),
    tool('wordy', {
      text: () => 'in words',
      output: z.object({ 'ключ "и" \u2028': z.string() }),
      handler: () => ({ 'ключ "и" \u2028': 'ёж' }),
    }),
  ],
};

interface Sent {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** A linear congruential generator (Numerical Recipes): the same requests at every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Message = Record<string, unknown> & {
  params: Record<string, unknown> & { _meta: Record<string, unknown> };
};

const validArguments: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  echo: { text: 'hello' },
  later: {},
  destroy: {},
  refuse: {},
  break: {},
  late: {},
  picture: {},
  bounded: {},
  wordy: {},
};
const toolNames = Object.keys(validArguments);

/** Values that stand where something else is due. */
const strangeValues: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  '',
  'x',
  '2026-07-28',
  [],
  {},
  ['a'],
  { a: { b: [] } },
  'ü',
  '\u0000',
  'x'.repeat(300),
];

const messageChanges: readonly ((message: Message, any: Any) => void)[] = [
  (message, any) => (message['id'] = any([...strangeValues, 'id-7', 2 ** 53, undefined])),
  (message, any) => (message['jsonrpc'] = any(strangeValues)),
  (message, any) =>
    (message['method'] = any(['tools/list', 'tools/Call', 'ping', 'nonsense', ...strangeValues])),
  (message, any) => (message['extra'] = any(strangeValues)),
  (message) => Reflect.deleteProperty(message, 'params'),
  (message, any) => (message.params['name'] = any([...toolNames, 'none', ...strangeValues])),
  (message, any) => (message.params['arguments'] = any([undefined, ...strangeValues])),
  (message, any) => (message.params['arguments'] = { text: any(strangeValues) }),
  (message, any) => (message.params['arguments'] = { text: 'a', times: any(strangeValues) }),
  (message, any) =>
    (message.params['arguments'] = {
      text: 'a',
      [any(['tixt', 'constructor', '__proto__', 'toString'])]: 1,
    }),
  (message, any) =>
    (message.params[any(['requestState', 'inputResponses', 'task', 'extra'])] = any(strangeValues)),
  (message) => Reflect.deleteProperty(message.params, '_meta'),
  (message, any) =>
    Reflect.deleteProperty(
      message.params._meta,
      metaKey(any(['protocolVersion', 'clientCapabilities', 'clientInfo'])),
    ),
  (message, any) =>
    (message.params._meta[metaKey('protocolVersion')] = any(['2025-11-25', '2099-01-01', ...strangeValues])),
  (message, any) =>
    (message.params._meta[metaKey('clientCapabilities')] = any([
      { sampling: {} },
      { roots: 5 },
      { elicitation: { form: {} } },
      ...strangeValues,
    ])),
  (message, any) =>
    (message.params._meta[metaKey('clientInfo')] = any([
      { name: 'a' },
      { name: 1, version: 2 },
      { name: 'b', version: '2', title: 'T' },
      ...strangeValues,
    ])),
  (message, any) =>
    (message.params._meta[metaKey(any(['logLevel', 'unknown']))] = any(['info', ...strangeValues])),
  (message, any) =>
    (message.params._meta['traceparent'] = any([
      '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      ...strangeValues,
    ])),
  (message, any) =>
    (message.params._meta[any(['progressToken', 'baggage', 'vendor/key'])] = any([
      'token',
      7,
      ...strangeValues,
    ])),
];

const headerChanges: readonly ((sent: Sent, any: Any) => void)[] = [
  (sent, any) =>
    (sent.headers['mcp-protocol-version'] = any(['2025-11-25', '2099-01-01', '', '2026-07-28 '])),
  (sent, any) =>
    Reflect.deleteProperty(
      sent.headers,
      any(['mcp-protocol-version', 'mcp-method', 'mcp-name', 'accept', 'content-type']),
    ),
  (sent, any) => (sent.headers['mcp-method'] = any(['tools/list', 'TOOLS/CALL', ''])),
  (sent, any) => (sent.headers['mcp-name'] = any([...toolNames, 'none', '=?base64?ZWNobw==?=', ''])),
  (sent, any) =>
    (sent.headers['content-type'] = any([
      'text/plain',
      'application/json; charset=utf-8',
      'application/jsonp',
      'APPLICATION/JSON',
      'application/json;x=y',
    ])),
  (sent, any) =>
    (sent.headers['accept'] = any(['application/json', 'text/event-stream', 'text/html', '*/*'])),
  (sent, any) =>
    (sent.headers['authorization'] = any([
      'Bearer wrong',
      'Basic eDp5',
      '',
      `bearer  ${sent.headers['authorization']?.slice(7)}`,
      `Bearer ${sent.headers['authorization']?.slice(7)} x`,
    ])),
  (sent, any) =>
    (sent.headers['host'] = any([
      'evil.example',
      'localhost',
      'LOCALHOST:80',
      '127.0.0.1.',
      '[::1]:4321',
      'localhost@evil.example',
      '127.0.0.1:x',
    ])),
  (sent, any) =>
    (sent.headers['origin'] = any(['https://evil.example', 'http://localhost:3000', 'null', 'x'])),
  (sent, any) => (sent.headers['mcp-session-id'] = any(['x', ''])),
  (sent, any) =>
    (sent.headers['traceparent'] = any(['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x'])),
  (sent, any) =>
    (sent.headers[any(['content-encoding', 'last-event-id', 'mcp-param-text', 'x-forwarded-host'])] = any([
      'gzip',
      'x',
    ])),
  (sent, any) => (sent.method = any(['GET', 'PUT', 'DELETE', 'OPTIONS'])),
  (sent, any) => (sent.path = any(['/mcp/', '/mcp?x=1', '/MCP', '//mcp', '/'])),
];

const bodyChanges: readonly ((body: string, any: Any) => string)[] = [
  (body) => body.slice(0, -1),
  (body) => `[${body}]`,
  (body) => `\uFEFF${body}`,
  (body) => `  ${body}\n`,
  (body) => body.replace('"method"', '"method":"ping","method"'),
  (body) => body.replace('"name"', '"n\\u0061me"'),
  (body) => body.replace('"text"', '"__proto__":{"text":1},"text"'),
  (body) => body.replace('hello', '\\ud800'),
  (_body, any) => any(['', 'null', '1', '"x"', '{}', '[]', 'nonsense', '{"jsonrpc":"2.0"}']),
];

type Any = <Value>(all: readonly Value[]) => Value;

function modern(any: Any, method: string, name: string | undefined): [Message, Record<string, string>] {
  const _meta = {
    [metaKey('protocolVersion')]: revision,
    [metaKey('clientInfo')]: { name: 'test', version: '1' },
    [metaKey('clientCapabilities')]: {},
  };
  const call = name === undefined ? {} : { name, arguments: validArguments[name] };
  return [
    { jsonrpc: '2.0', id: any([1, 2, 'three']), method, params: { ...call, _meta } },
    {
      'mcp-protocol-version': revision,
      'mcp-method': method,
      ...(name !== undefined && { 'mcp-name': name }),
    },
  ];
}

function legacy(any: Any, name: string): [Message, Record<string, string>] {
  const params = { name, arguments: validArguments[name], _meta: {} };
  return [
    { jsonrpc: '2.0', id: any([1, 2, 'three']), method: 'tools/call', params },
    { 'mcp-protocol-version': any(['2025-11-25', '2025-11-25', '2025-06-18', '2025-03-26']) },
  ];
}

function generate(random: (below: number) => number, token: string): Sent {
  const any: Any = (all) => all[random(all.length)] as (typeof all)[number];
  const [message, own] = any([
    () => modern(any, 'tools/call', any(toolNames)),
    () => modern(any, 'tools/call', any(toolNames)),
    () => legacy(any, any(toolNames)),
    () => modern(any, any(['tools/list', 'server/discover']), undefined),
  ])();
  const sent: Sent = {
    method: 'POST',
    path: '/mcp',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...own,
    },
    body: '',
  };
  // A third stays valid; the others get one change, rarely more.
  const changes = any([0, 0, 1, 1, 1, 2]);
  let change: (typeof bodyChanges)[number] | undefined;
  for (let index = 0; index < changes; index++) {
    const kind = random(10);
    // After a change that took the parameters away there is nothing left to change in them.
    if (kind < 6 && message.params?._meta) any(messageChanges)(message, any);
    else if (kind < 9) any(headerChanges)(sent, any);
    else change = any(bodyChanges);
  }
  const body = JSON.stringify(message);
  sent.body = change ? change(body, any) : body;
  return sent;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function deliver(served: Served, agent: Agent, { method, path, headers, body }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      `${served.url}${path}`,
      { method, agent, headers: { ...headers, 'content-length': Buffer.byteLength(body) } },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const comparedHeaders = [
  'content-type',
  'flotilla-outcome',
  'www-authenticate',
  'x-content-type-options',
  'allow',
  'cache-control',
  'x-accel-buffering',
];

/** Without the order of keys, which JSON leaves open: of a JSON body, and of the JSON in each event of a stream. */
function parsed(body: string): unknown {
  const lines = body.startsWith('event:') ? body.split('\n') : [body];
  return lines.map((line) => {
    const json = /^(?:data: )?(\{.*\})$/s.exec(line)?.[1];
    return json === undefined ? line : (JSON.parse(json) as unknown);
  });
}

/** What a client can tell apart: references, boundaries and span ids are drawn at random on both ways. */
function comparable({ status, headers, body }: Answer): unknown {
  const traceparent = headers['traceparent'];
  const settled = body
    .replaceAll(/\(ref [0-9a-f]{32}\)/g, '(ref)')
    .replaceAll(/untrusted-[0-9a-f]{16}/g, 'untrusted');
  return {
    status,
    headers: comparedHeaders.map((name) => headers[name]),
    trace:
      typeof traceparent === 'string' &&
      (traceparent.includes('0af7651916cd43dd8448eb211c80319c') || traceparent.length),
    body: parsed(settled),
  };
}

async function counted(served: Served): Promise<Record<string, number>> {
  const text = await (await fetch(`${served.url}/metrics`)).text();
  const lines = text.matchAll(/flotilla_plain_calls_total\{way="(\w+)"[^}]*\} (\d+)/g);
  return Object.fromEntries([...lines].map(([, way = '', count]) => [way, Number(count)]));
}

test(
  `${requests} generated requests get the same answer on the short way and on the long one`,
  { timeout: 240_000 },
  async () => {
    await using short = await serve(service, { FLOTILLA_LOG_LEVEL: 'error' }, 0, { writeLog: () => {} });
    await using long = await serve(service, {}, 0, { hotPath: false, writeLog: () => {} });
    const random = randomFrom(Number(process.env['SEED'] ?? 20_261_120));
    const statuses = new Map<number, number>();
    const agents = [short, long].map(() => new Agent({ keepAlive: true, maxSockets: clients }));
    let left = requests;

    const client = async () => {
      while (left > 0) {
        left -= 1;
        const sent = generate(random, 'TOKEN');
        const [a, b] = await Promise.all(
          [short, long].map(async (served, index) => {
            const headers = Object.fromEntries(
              Object.entries(sent.headers).map(([name, value]) => [
                name,
                value.replace('TOKEN', served.token),
              ]),
            );
            return deliver(served, agents[index] as Agent, { ...sent, headers });
          }),
        );
        expect(comparable(a as Answer), JSON.stringify(sent)).toEqual(comparable(b as Answer));
        statuses.set(a?.status ?? 0, (statuses.get(a?.status ?? 0) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    for (const agent of agents) agent.destroy();

    const ways = await counted(short);
    expect(ways['short']).toBeGreaterThan(requests / 3);
    expect(ways['long']).toBeGreaterThan(requests / 10);
    expect(await counted(long)).toEqual({ short: 0, long: 0 });
    for (const status of [200, 400, 401, 403, 404, 405, 415])
      expect(statuses.get(status) ?? 0, String(status)).toBeGreaterThan(0);
  },
);
