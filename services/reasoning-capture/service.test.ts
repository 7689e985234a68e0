import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import { maxUnpackedBytes } from '#runtime/otlp/route.ts';

import { callTool, codeOf } from '../../tests/support/rpc.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import { asProtobuf, jsonOf, someSpans, traceId } from './intake/spans.fixture.ts';
import { maxSpans } from './limits.ts';
import service from './service.ts';

let served: Served;
beforeAll(async () => {
  served = await serve(service);
});
afterAll(async () => served[Symbol.asyncDispose]());

const call = async (tool: string, args: Readonly<Record<string, unknown>>, token = served.token) => {
  const answer = await callTool(served, tool, args, { token });
  if (codeOf(answer) !== undefined) throw new Error(`${tool}: ${JSON.stringify(answer)}`);
  return answer.result?.['structuredContent'] as Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- an answer
};

const post = async (
  path: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
  token = served.token,
) =>
  fetch(`${served.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : Buffer.from(body),
  });

const protobuf = { 'content-type': 'application/x-protobuf' };
const gzip = { 'content-encoding': 'gzip' };

describe('POST /v1/traces', () => {
  test('takes what agents send, once, whichever way it is written', async () => {
    for (const [body, headers] of [
      [asProtobuf(someSpans), protobuf],
      [gzipSync(asProtobuf(someSpans)), { ...protobuf, ...gzip }],
      [jsonOf(someSpans), {}],
      [gzipSync(jsonOf(someSpans)), gzip],
    ] as const) {
      const answer = await post('/v1/traces', body, headers);
      expect(answer.status).toBe(200);
      const isJson = answer.headers.get('content-type') === 'application/json';
      expect(await answer.text()).toBe(isJson ? '{}' : '');
    }
    const { chain, steps } = await call('get_reasoning_chain', { chain_id: traceId });
    expect(chain).toMatchObject({
      model: 'a-model',
      agent: 'planner',
      provider: 'anthropic',
      origin: 'otlp',
      status: 'completed',
      steps: 3,
    });
    expect(steps).toMatchObject([
      {
        content: 'Let me think.',
        provenance: 'provider_thinking',
        opaque: [{ kind: 'signature', bytes: 4 }],
      },
      { content: 'The answer.', provenance: 'self_report' },
      { content: 'search({"q":"x"}) → found', provenance: 'tool_event', parent_seq: 1 },
    ]);
  });

  test('takes a trace in parts, in any order', async () => {
    const trace = 'c'.repeat(32);
    for (const span of someSpans)
      expect((await post('/v1/traces', jsonOf([{ ...span, traceId: trace }]))).status).toBe(200);
    const { chain, steps } = await call('get_reasoning_chain', { chain_id: trace });
    expect(chain).toMatchObject({ agent: 'planner', model: 'a-model', status: 'completed', steps: 3 });
    expect(steps.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2, 3]);
  });

  test('tells what it does not take', async () => {
    const answer = await post('/v1/traces', jsonOf([{ name: 'none', traceId: '', attributes: {} }]));
    expect(await answer.json()).toEqual({
      partialSuccess: { rejectedSpans: '1', errorMessage: 'no_ids: 1' },
    });
  });

  test('tells what it cut, and counts no span as lost for it', async () => {
    const traceId = 'd'.repeat(32);
    const said = [{ role: 'assistant', parts: [{ type: 'text', content: 'x'.repeat(65_537) }] }];
    const attributes = { 'gen_ai.output.messages': JSON.stringify(said) };
    const answer = await post('/v1/traces', jsonOf([{ name: 'chat', traceId, attributes }]));
    expect(await answer.json()).toEqual({
      partialSuccess: { rejectedSpans: '0', errorMessage: 'cut_content: 1' },
    });
    const { chain } = await call('get_reasoning_chain', { chain_id: traceId });
    expect(chain).toMatchObject({ steps: 1 });
  });

  test.each<[number, string | Uint8Array, Readonly<Record<string, string>>]>([
    [400, '{"resourceSpans":', {}],
    [400, '{"resourceSpans":5}', {}],
    [400, Buffer.from([0x22, 0xff, 0x22]), {}],
    [400, asProtobuf(someSpans).subarray(0, 60), protobuf],
    [400, asProtobuf(someSpans), gzip],
    [413, gzipSync(Buffer.alloc(maxUnpackedBytes + 1)), gzip],
    [413, jsonOf(Array.from({ length: maxSpans + 1 }, () => ({ name: '', attributes: {} }))), {}],
    [415, 'x', { 'content-type': 'text/plain' }],
    [415, 'x', { 'content-encoding': 'br' }],
  ])('answers %i for what is none', async (status, body, headers) => {
    const answer = await post('/v1/traces', body, headers);
    expect(answer.status).toBe(status);
    await answer.arrayBuffer();
  });

  test('needs a token that may write here', async () => {
    const reader = await createToken(served.dataRoot, {
      name: 'reader',
      scope: ['reasoning-capture:read'],
      expiresAt: null,
    });
    await vi.waitFor(async () => expect((await post('/v1/traces', '{}', {}, reader)).status).toBe(403));
    expect((await post('/v1/traces', '{}', {}, 'wrong')).status).toBe(401);
  });
});

describe('administrators', () => {
  test('redact, delete and verify chains of any token; nobody else does, and no tool does', async () => {
    const owner = 'agent';
    const token = await createToken(served.dataRoot, {
      name: owner,
      scope: ['reasoning-capture'],
      expiresAt: null,
    });
    await vi.waitFor(async () =>
      expect((await callTool(served, 'list_chains', {}, { token })).result).toBeDefined(),
    );
    const { chain_id: id } = await call('start_chain', { model: 'm' }, token);
    await call('capture_reasoning_step', { chain_id: id, content: 'secret' }, token);
    const body = JSON.stringify({ owner, chain_id: id, reason: 'asked for' });
    for (const path of ['redact', 'delete', 'verify']) {
      expect((await post(`/admin/${path}`, body, {}, token)).status, path).toBe(403);
      expect((await post(`/admin/${path}`, body, {}, 'wrong')).status, path).toBe(401);
      expect((await post(`/admin/${path}`, '{"owner":5}')).status, path).toBe(400);
      expect((await post(`/admin/${path}`, '{')).status, path).toBe(400);
      expect(service.tools?.map(({ name }) => name).join()).not.toContain(path);
    }
    expect((await post('/admin/delete', body.replace(owner, 'nobody'))).status).toBe(404);
    const redacted = await post('/admin/redact', body);
    expect(await redacted.json()).toEqual({ redacted: 1 });
    expect((await call('get_reasoning_chain', { chain_id: id }, token))['steps']).toMatchObject([
      { content: '[redacted]' },
    ]);
    expect(await (await post('/admin/verify', '')).json()).toMatchObject({
      is_whole: true,
      head: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    expect(await (await post('/admin/delete', body)).json()).toEqual({ steps: 1 });
    expect(codeOf(await callTool(served, 'get_reasoning_chain', { chain_id: id }, { token }))).toBe(
      'not_found',
    );
  });
});

test('a chain of 100,000 steps is read, written and compared in parts', async () => {
  const { chain_id: chain } = await call('start_chain', { model: 'long' });
  const perBatch = 10_000;
  for (let batch = 0; batch < 10; batch += 1) {
    const lines = Array.from({ length: perBatch }, (_, at) =>
      JSON.stringify([null, null, 'analysis', null, null, 0.5, `step ${batch * perBatch + at}`]),
    );
    const sent = { batch_id: `long ${batch}`, chain_id: chain, steps_jsonl: lines.join('\n') };
    expect(await call('capture_batch', sent)).toMatchObject({ accepted: perBatch });
  }
  const last = await call('get_reasoning_chain', { chain_id: chain, from_seq: 99_999 });
  expect(last).toMatchObject({
    chain: { steps: 100_000 },
    steps: [{ seq: 99_999 }, { seq: 100_000, content: 'step 99999' }],
  });
  expect(last).not.toHaveProperty('next_seq');
  expect(await call('get_reasoning_chain', { chain_id: chain })).toMatchObject({
    truncated: true,
    next_seq: 51,
  });
  for (const format of ['mermaid', 'dot', 'jsonl', 'otlp', 'markdown']) {
    const { content } = await call('export_reasoning', { chain_id: chain, format });
    expect(content.length, format).toBeLessThan(100_000);
  }
  expect(await call('compare_chains', { a: chain, b: chain })).toMatchObject({ same_steps: 100_000 });
  const metrics = await (await fetch(`${served.url}/metrics`)).text();
  expect(metrics).toMatch(/flotilla_reasoning_accepted_total{service="reasoning-capture"} 1\d{5}/);
  expect(metrics).toMatch(/flotilla_reasoning_refused_total{service="reasoning-capture"} 0/);
});
