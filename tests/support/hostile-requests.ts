/** Requests that are valid, slightly wrong or hostile, and what a client can tell apart in their answers. */
import type { Agent } from 'node:http';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import type { AnyService } from '#runtime/service.ts';
import { defineTool, Reply, type AnyTool } from '#runtime/tool.ts';

import type { Served } from './serve.ts';

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
export const service: AnyService = {
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

export interface Sent {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

/** A linear congruential generator (Numerical Recipes): the same requests at every run. */
export function randomFrom(seed: number): (below: number) => number {
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

export function generate(random: (below: number) => number, token: string): Sent {
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

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export async function deliver(
  served: Served,
  agent: Agent,
  { method, path, headers, body }: Sent,
): Promise<Answer> {
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
export function comparable({ status, headers, body }: Answer): unknown {
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
