/** Answers that are longer than their client takes, of the fleet and of others. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import context from '../services/context/service.ts';
import memory from '../services/memory/service.ts';
import { eras, headersOf, messageOf, answerIn, type Era, type Rpc } from '../scripts/bench/message.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { callTool, codeOf, rpc } from '../tests/support/rpc.ts';
import type { Served } from '../tests/support/serve.ts';
import { fitsSchema } from './foreign/arguments.ts';

let fronted: Fronted;
let gateway: Served;
/** Of tokens whose clients take a thousand tokens: one may do everything, one does not reach context, one has no room there; and one is somebody else. */
let token: string;
let narrow: string;
let other: string;
let full: string;
const quotaItems = 40;

const fixture = fileURLToPath(new URL('foreign/server.fixture.ts', import.meta.url));
const observations = Array.from(
  { length: 40 },
  (_, at) => `Observation ${at}: ${'the harbour lies still at dawn, '.repeat(8)}`,
);

beforeAll(async () => {
  const settings = { FLOTILLA_CONTEXT_QUOTA_ITEMS: String(quotaItems) };
  fronted = await serveBehind([memory, context], { settings });
  ({ gateway } = fronted);
  const make = async (name: string, scope: string[], resultTokens?: number) =>
    createToken(gateway.dataRoot, { name, scope, expiresAt: null, resultTokens });
  token = await make('small', ['*'], 1_000);
  narrow = await make('narrow', ['memory', 'foreign'], 1_000);
  other = await make('other', ['context']);
  full = await make('full', ['*'], 1_000);
  writeFileSync(
    join(gateway.dataRoot, 'behaviour.json'),
    JSON.stringify({
      tools: [
        {
          name: 'echo',
          description: 'Echoes.',
          inputSchema: { type: 'object' },
          annotations: { readOnlyHint: true },
        },
      ],
    }),
  );
  const args = [fixture, join(gateway.dataRoot, 'behaviour.json')];
  const upstreams = { foreign: { command: process.execPath, args } };
  writeFileSync(join(gateway.dataRoot, 'upstreams.json'), JSON.stringify({ upstreams }));
  await callTool(gateway, 'create_entities', {
    entities: [{ name: 'Harbour', entityType: 'place', observations }],
  });
  await vi.waitUntil(
    async () => {
      const all = [token, narrow, other, full].map(async (one) =>
        rpc(gateway, 'tools/list', {}, { token: one }),
      );
      const [listed, ...rest] = await Promise.all(all);
      return rest.every(({ result }) => result) && JSON.stringify(listed).includes('"foreign_echo"');
    },
    { timeout: 30_000 },
  );
});
afterAll(async () => fronted[Symbol.asyncDispose]());

const harbour = { names: ['Harbour'] };
const textOf = ({ result }: Rpc): string =>
  ((result?.['content'] ?? []) as { text: string }[]).map(({ text }) => text).join('\n');
/** What the note tells to call. */
const readOn = (answer: Rpc) =>
  JSON.parse(/Read on with read_output (\{.*?\})/.exec(textOf(answer))?.[1] ?? 'null') as Record<
    string,
    unknown
  >;

/** A call by a client that says in its URL what it wants. */
async function callWith(query: string, name: string, args: object, era: Era = 'modern'): Promise<Rpc> {
  const message = messageOf('tools/call', { name, arguments: args }, { era });
  const response = await fetch(`${gateway.url}/mcp?${query}`, {
    method: 'POST',
    headers: headersOf(gateway, message, { era }),
    body: JSON.stringify(message),
  });
  return answerIn(response);
}

describe.each(eras)('In %s', (era) => {
  test('a long answer is told in part, fits its schema, and goes on where it says', async () => {
    const whole = await callTool(gateway, 'open_nodes', harbour, { era });
    const answer = await callTool(gateway, 'open_nodes', harbour, { era, token });

    expect(textOf(answer).length).toBeLessThan(textOf(whole).length / 2);
    expect(answer.result?.['isError']).toBeUndefined();
    expect(answer.result?.['_meta']).toMatchObject({
      'dev.flotilla/untrusted': true,
      'dev.flotilla/kept': [expect.stringMatching(/^out_/)],
    });
    const listed = (await rpc(gateway, 'tools/list', {}, { era })).result?.['tools'] as Record<
      string,
      unknown
    >[];
    const schema = listed.find(({ name }) => name === 'open_nodes')?.['outputSchema'];
    const data = answer.result?.['structuredContent'];
    expect(schema).toBeDefined();
    expect(fitsSchema(schema, data)).toBe(true);
    expect(JSON.stringify(data).length).toBeLessThan(
      JSON.stringify(whole.result?.['structuredContent']).length / 2,
    );

    const args = readOn(answer);
    const rest = await callTool(gateway, 'read_output', { ...args, limit: 500_000 }, { era, token });
    const lines = (text: string) => text.split('\n').filter((line) => !/untrusted-|^\[/.test(line));
    const all = lines(textOf(whole));
    const told = lines(textOf(answer));
    expect([...told.slice(0, Number(args['startLine']) - 1), ...lines(textOf(rest))]).toEqual(all);
  });

  test('an answer that is short, or that nobody may keep, comes byte for byte', async () => {
    const send = async (target: Served, as: string, args: object) => {
      const message = messageOf('tools/call', { name: 'open_nodes', arguments: args }, { era });
      const headers = headersOf({ token: as }, message, { era });
      const response = await fetch(`${target.url}/mcp`, {
        method: 'POST',
        headers,
        body: JSON.stringify(message),
      });
      return (await response.text()).replaceAll(/untrusted-[0-9a-f]+/g, 'untrusted');
    };
    const direct = fronted.direct['memory'] as Served;
    expect(await send(gateway, token, { names: ['Nobody'] })).toBe(
      await send(direct, token, { names: ['Nobody'] }),
    );
    expect(await send(gateway, narrow, harbour)).toBe(await send(direct, narrow, harbour));
  });

  test('what others answer is kept likewise', async () => {
    const words = 'What others say is long. '.repeat(800);
    const answer = await callTool(gateway, 'foreign_echo', { words }, { era, token });

    expect(textOf(answer).length).toBeLessThan(words.length / 2);
    const read = await callTool(
      gateway,
      'read_output',
      { ...readOn(answer), startLine: 1, limit: 100_000 },
      { token },
    );
    expect(textOf(read)).toContain(words);
    expect(textOf(await callTool(gateway, 'foreign_echo', { words }, { era, token: narrow }))).toContain(
      words,
    );
  });
});

test('where an estimate could err across the limit, the tokens are counted', async () => {
  const answered = async (sentences: number) => {
    const words = 'What others say is long. '.repeat(sentences);
    return callTool(gateway, 'foreign_echo', { words }, { token });
  };
  // Of six tokens each.
  expect(textOf(await answered(140))).not.toContain('Read on');
  expect(textOf(await answered(200))).toContain('Read on');
});

test('an answer for which the caller has no room comes whole', async () => {
  const store = async (number: number) =>
    callTool(gateway, 'store_output', { content: `text ${number}` }, { token: full });
  const stored = await Promise.all(Array.from({ length: quotaItems }, async (_, number) => store(number)));
  expect(stored.map(codeOf)).toEqual(stored.map(() => undefined));

  const whole = await callTool(gateway, 'open_nodes', harbour, { token: full });
  expect(textOf(whole)).toContain('Observation 39');
  expect(textOf(whole)).not.toContain('Read on');
});

test('what is kept is read by the token alone whose answer it is', async () => {
  const answer = await callTool(gateway, 'open_nodes', harbour, { token });
  const { handle } = readOn(answer);

  expect(codeOf(await callTool(gateway, 'read_output', { handle }, { token: other }))).toBe('not_found');
  const listed = await callTool(gateway, 'list_outputs', {}, { token: other });
  expect(JSON.stringify(listed)).not.toContain(handle);
  expect(JSON.stringify(await callTool(gateway, 'list_outputs', {}, { token }))).toContain('"open_nodes"');
});

test('a client says in its URL what it takes, and is told how to read on with the tools that it has', async () => {
  expect(textOf(await callWith('result_tokens=1000', 'open_nodes', harbour))).toContain(
    'Read on with read_output {',
  );
  expect(textOf(await callWith('result_tokens=0', 'open_nodes', harbour))).not.toContain('Read on');
  expect(textOf(await callWith('', 'open_nodes', harbour))).not.toContain('Read on');
  expect(textOf(await callWith('result_tokens=1000&tools=core', 'open_nodes', harbour))).toContain(
    'read_output {',
  );
  // It could not read on.
  expect(textOf(await callWith('result_tokens=1000&tools=memory', 'open_nodes', harbour))).not.toContain(
    'Read on',
  );
  const found = await callWith('result_tokens=1000&tools=search', 'call_tool', {
    name: 'open_nodes',
    arguments: harbour,
  });
  expect(textOf(found)).toContain('Read on with call_tool {"name":"read_output","arguments":{"handle"');
});

test('what context answers itself is not kept again', async () => {
  const { handle } = readOn(await callTool(gateway, 'open_nodes', harbour, { token }));
  const answer = await callTool(gateway, 'read_output', { handle }, { token });

  expect(textOf(answer).length).toBeGreaterThan(8_000);
  expect(answer.result?.['_meta']).not.toHaveProperty('dev.flotilla/kept');
});

test('without context, answers come whole, and the metrics count both', async () => {
  await (fronted.direct['context'] as Served)[Symbol.asyncDispose]();
  const whole = await callTool(gateway, 'open_nodes', harbour, { token });

  expect(textOf(whole)).toContain('Observation 39');
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  expect(metrics).toMatch(/flotilla_long_answers_total\{outcome="kept"\} [1-9]/);
  expect(metrics).toMatch(/flotilla_long_answers_total\{outcome="whole"\} [1-9]/);
});
