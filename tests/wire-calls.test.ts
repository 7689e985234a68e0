/** One call and what is told of it: result, headers, metrics, log and audit record. */
import { join } from 'node:path';
import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { verifyAudit } from '#runtime/account/audit-proof.ts';
import { createToken } from '#runtime/access/tokens.ts';

import { legacyClient, modernClient } from './support/clients.ts';
import { answerIn, eras, messagesIn } from '../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send, type Options } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { deadlineMs, secretOfTheBug, wireService } from './support/wire-service.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parent = `00-${traceId}-b7ad6b7169203331-01`;

async function sendCall(served: Served, name: string, args = {}, options: Options = {}): Promise<Response> {
  return send(served, 'tools/call', { name, arguments: args }, options);
}

async function metricsOf(served: Served): Promise<string> {
  return (await fetch(`${served.url}/metrics`)).text();
}

interface LogLine {
  readonly event: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

/** The log as objects, of a service that logs everything. */
async function serveLogged(
  service = wireService().service,
): Promise<{ served: Served; log: LogLine[] } & AsyncDisposable> {
  const log: LogLine[] = [];
  const served = await serve(service, { FLOTILLA_LOG_LEVEL: 'debug' }, 0, {
    writeLog: (line) => log.push(JSON.parse(line) as LogLine),
  });
  return { served, log, [Symbol.asyncDispose]: async () => served[Symbol.asyncDispose]() };
}

describe.each(eras)('A call (%s)', (era) => {
  test('that takes too long is stopped, and told so', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service);

    const answer = await callTool(served, 'wait_for_deadline', { id: 'a' }, { era });

    expect(codeOf(answer)).toBe('timeout');
    await moments.seen('a aborted');
  });

  test('of a tool that ignores its signal is answered in time all the same', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service);
    using _release = { [Symbol.dispose]: () => moments.happen('a released') };

    const startedAt = performance.now();
    const answer = await callTool(served, 'ignore_signal', { id: 'a' }, { era });

    expect(codeOf(answer)).toBe('timeout');
    expect(performance.now() - startedAt).toBeLessThan(deadlineMs + 2_000);
  });

  test('is stopped when the client goes away, and counted as cancelled', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service);
    const client = new AbortController();
    const pending = sendCall(served, 'wait_for_signal', { id: 'a' }, { era, signal: client.signal });
    const gone = pending.then(async (response) => response.text()).catch((error: Error) => error.name);
    await moments.seen('a started');

    client.abort();

    await moments.seen('a aborted');
    expect(await gone).toBe('AbortError');
    await expect
      .poll(async () => metricsOf(served))
      .toMatch(/gen_ai_tool_name="wait_for_signal",gen_ai_prompt_name="",error_type="cancelled"/);
  });

  test('that meets a bug is answered with a reference, and the log alone says more', async () => {
    await using logged = await serveLogged();
    const { served, log } = logged;

    const answer = await callTool(served, 'break_down', {}, { era, meta: { traceparent: parent } });

    expect(codeOf(answer)).toBe('internal');
    expect(answer.result?.['content']).toMatchObject([{ text: expect.stringContaining(traceId) as string }]);
    expect(answer.result).not.toHaveProperty('structuredContent');
    expect(JSON.stringify(answer)).not.toContain(secretOfTheBug);
    expect(JSON.stringify(answer)).not.toMatch(/TypeError|wire-service|\.ts/);
    const line = log.find(({ event }) => event === 'call_broke');
    expect(line).toMatchObject({ level: 'error', target: 'break_down', traceId });
    expect(JSON.stringify(line)).toContain(secretOfTheBug);
    expect(JSON.stringify(line)).toContain('wire-service.ts');
  });

  test('whose value does not fit the output schema is a bug as well', async () => {
    await using logged = await serveLogged();

    const answer = await callTool(logged.served, 'answer_wrongly', {}, { era });

    expect(codeOf(answer)).toBe('internal');
    expect(JSON.stringify(answer)).not.toContain('count');
  });

  test('carries the trace of its _meta on, to the tool and back', async () => {
    await using served = await serve(wireService().service);

    const response = await sendCall(served, 'trace_on', {}, { era, meta: { traceparent: parent } });
    const answer = await answerIn(response);

    const told = response.headers.get('traceparent');
    expect(told).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
    expect(told).not.toBe(parent);
    expect(answer.result?.['structuredContent']).toEqual({ traceparent: told });
  });

  test('carries the trace of its header on where _meta has none', async () => {
    await using served = await serve(wireService().service);

    const response = await sendCall(served, 'trace_on', {}, { era, headers: { traceparent: parent } });
    await response.text();

    expect(response.headers.get('traceparent')).toContain(traceId);
  });

  test.each([
    'nonsense',
    '',
    7,
    null,
    ['x'],
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `${parent}\r\nevil: 1`,
    'x'.repeat(100_000),
  ])('gets a trace of its own for a malformed one (%#)', async (traceparent) => {
    await using served = await serve(wireService().service);

    const response = await sendCall(served, 'trace_on', {}, { era, meta: { traceparent } });
    await response.text();

    expect(response.headers.get('traceparent')).toMatch(
      /^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/,
    );
    expect(response.headers.get('evil')).toBeNull();
  });

  test('leaves an audit record without arguments, and the chain holds', async () => {
    await using served = await serve(wireService().service);
    await callTool(served, 'echo', { nonce: 'not-for-the-record' }, { era });
    await callTool(served, 'destroy_note', {}, { era });

    await served.stop();

    const folder = join(served.dataRoot, 'wire', 'audit');
    const records = readFileSync(join(folder, 'audit-000001.jsonl'), 'utf8');
    expect(await verifyAudit(folder)).toMatchObject({ records: 2, faults: [] });
    expect(records).toContain('"target":"destroy_note","outcome":"ok"');
    expect(records).not.toContain('not-for-the-record');
  });
});

describe('The audit trail', () => {
  const recordsOf = (served: Served) =>
    readFileSync(join(served.dataRoot, 'wire', 'audit', 'audit-000001.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test('has a destructive call on disk before the answer goes out', async () => {
    await using served = await serve(wireService().service);

    await callTool(served, 'destroy_note');

    expect(recordsOf(served)).toMatchObject([{ caller: 'first', target: 'destroy_note', outcome: 'ok' }]);
  });

  test('has a refused call on disk before the answer goes out', async () => {
    await using served = await serve(wireService().service);
    const token = await createToken(served.dataRoot, {
      name: 'reader',
      scope: ['wire:read'],
      expiresAt: null,
    });
    await expect.poll(async () => (await send(served, 'tools/list', {}, { token })).status).toBe(200);

    await callTool(served, 'destroy_note', {}, { token });

    expect(recordsOf(served)).toContainEqual(
      expect.objectContaining({ caller: 'reader', target: 'destroy_note', outcome: 'forbidden' }),
    );
  });

  test('has a record of calls for what does not exist, but not its name', async () => {
    await using served = await serve(wireService().service);
    await callTool(served, 'made_up');
    await rpc(served, 'prompts/get', { name: 'made_up' });
    await rpc(served, 'resources/read', { uri: 'wire://made_up' });

    await served.stop();

    expect(recordsOf(served)).toMatchObject([
      { method: 'tools/call', target: null, outcome: 'invalid_input' },
      { method: 'prompts/get', target: null, outcome: 'invalid_input' },
      { method: 'resources/read', target: null, outcome: 'not_found' },
    ]);
  });

  test('names callers without a good token as nobody', async () => {
    await using served = await serve(wireService().service);
    await send(served, 'tools/list', {}, { token: 'flt_wrong' });

    await served.stop();

    expect(recordsOf(served)).toMatchObject([
      { caller: '', method: 'POST /mcp', outcome: 'unauthenticated' },
    ]);
  });
});

describe('The outcome of a call', () => {
  test.each([
    { name: 'echo', args: { nonce: 'x' }, outcome: 'ok' },
    { name: 'echo', args: {}, outcome: 'invalid_input' },
    { name: 'break_down', args: {}, outcome: 'internal' },
    { name: 'wait_for_deadline', args: { id: 'x' }, outcome: 'timeout' },
  ])('stands in a header of the response: $outcome', async ({ name, args, outcome }) => {
    await using logged = await serveLogged();

    const response = await sendCall(logged.served, name, args);
    await response.text();

    expect(response.headers.get('flotilla-outcome')).toBe(outcome);
  });

  test.each([
    { method: 'resources/read', params: { uri: 'wire://document' }, outcome: 'ok' },
    { method: 'resources/read', params: { uri: 'wire://page/2' }, outcome: 'not_found' },
    { method: 'resources/read', params: { uri: 'wire://nothing' }, outcome: 'not_found' },
    { method: 'prompts/get', params: { name: 'greet' }, outcome: 'ok' },
    { method: 'prompts/get', params: { name: 'made_up' }, outcome: 'invalid_input' },
    { method: 'tools/call', params: { name: 'made_up' }, outcome: 'invalid_input' },
    {
      method: 'prompts/get',
      params: { name: 'greet', arguments: { misspelt: 'x' } },
      outcome: 'invalid_input',
    },
  ])('stands there for $method $params as well: $outcome', async ({ method, params, outcome }) => {
    await using served = await serve(wireService().service);

    const response = await send(served, method, params);
    const answer = await answerIn(response);

    expect(response.headers.get('flotilla-outcome')).toBe(outcome);
    expect('error' in answer).toBe(outcome !== 'ok');
  });

  test('stands in the last message of a stream, after the progress', async () => {
    await using served = await serve(wireService().service);

    const response = await sendCall(served, 'count_up', { to: 3 }, { meta: { progressToken: 'p' } });
    const messages = await Array.fromAsync(messagesIn(response));

    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(messages.slice(0, -1).map(({ params }) => params?.['progress'])).toEqual([1, 2, 3]);
    expect(messages.at(-1)?.result?.['_meta']).toMatchObject({ 'flotilla/outcome': 'ok' });
  });

  test('stands there for a failure in a stream as well', async () => {
    await using served = await serve(wireService().service);

    const answer = await callTool(served, 'echo', {}, { meta: { progressToken: 'p' } });

    expect(answer.result?.['_meta']).toMatchObject({ 'flotilla/outcome': 'invalid_input' });
  });
});

describe('Metrics', () => {
  test('count operations under the names of OpenTelemetry', async () => {
    await using served = await serve(wireService().service);
    await callTool(served, 'echo', { nonce: 'x' });
    await callTool(served, 'echo', {}, { era: 'legacy' });
    await rpc(served, 'resources/read', { uri: 'wire://page/1' });

    const counts = (await metricsOf(served))
      .split('\n')
      .filter((line) => line.startsWith('mcp_server_operation_duration_seconds_count'));

    const count = (method: string, target: string, error: string, version: string) =>
      `mcp_server_operation_duration_seconds_count{service="wire",mcp_method_name="${method}",gen_ai_tool_name="${target}",gen_ai_prompt_name="",error_type="${error}",mcp_protocol_version="${version}",network_transport="tcp"} 1`;
    expect(counts.toSorted()).toEqual([
      count('resources/read', '', '', '2026-07-28'),
      count('tools/call', 'echo', '', '2026-07-28'),
      count('tools/call', 'echo', 'invalid_input', '2025-11-25'),
    ]);
  });

  test('take no label from what a client sends', async () => {
    await using served = await serve(wireService().service);
    const own = 'chosen_by_the_client';
    for (const era of eras) {
      await callTool(served, own, {}, { era });
      await rpc(served, 'resources/read', { uri: `wire://${own}` }, { era });
      await rpc(served, 'prompts/get', { name: own }, { era });
      await rpc(served, own, {}, { era });
      await rpc(
        served,
        'completion/complete',
        { ref: { type: 'ref/prompt', name: own }, argument: { name: own, value: own } },
        { era },
      );
    }
    await sendCall(
      served,
      'echo',
      { nonce: own },
      { era: 'legacy', headers: { 'mcp-protocol-version': own, 'x-caller': own } },
    );
    await send(served, 'tools/list', {}, { token: own });

    expect(await metricsOf(served)).not.toContain(own);
  });

  test('count what was turned away before anything ran', async () => {
    await using served = await serve(wireService().service);
    await send(served, 'tools/list', {}, { token: 'flt_wrong' });
    await fetch(`${served.url}/mcp`, { headers: { origin: 'https://evil.example' } });

    const counts = (await metricsOf(served))
      .split('\n')
      .filter((line) => line.startsWith('flotilla_requests_refused'));

    expect(counts.toSorted()).toEqual([
      'flotilla_requests_refused_total{reason="origin",service="wire"} 1',
      'flotilla_requests_refused_total{reason="unauthenticated",service="wire"} 1',
    ]);
  });
});

test('Of many calls of both clients at once, each gets its own answer', async () => {
  await using served = await serve(wireService().service);
  await using modern = await modernClient(served);
  await using legacy = await legacyClient(served);
  const each = 200;

  const ask = async (client: typeof modern | typeof legacy, nonce: string) => {
    const { structuredContent } = await client.callTool({ name: 'echo', arguments: { nonce } });
    return (structuredContent as { nonce: string }).nonce === nonce;
  };
  const answers = await Promise.all(
    Array.from({ length: each }, (_, index) => [
      ask(modern, `modern ${index}`),
      ask(legacy, `legacy ${index}`),
    ]).flat(),
  );

  expect(answers.length).toBe(2 * each);
  expect(answers.every(Boolean)).toBe(true);
});

test('A large answer arrives whole', async () => {
  await using served = await serve(wireService().service);

  const { result } = await callTool(served, 'write_much', { sizeBytes: 8_000_000 });

  expect(result?.['content']).toEqual([{ type: 'text', text: 'x'.repeat(8_000_000) }]);
});

test('A client that stops reading a large answer does not keep others waiting', async () => {
  await using served = await serve(wireService().service);
  const unread = await Promise.all(
    Array.from({ length: 10 }, async () => sendCall(served, 'write_much', { sizeBytes: 8_000_000 })),
  );

  expect(await callTool(served, 'echo', { nonce: 'x' })).toHaveProperty('result');

  await Promise.all(unread.map(async (response) => response.body?.cancel()));
});

test.each(eras)('A question of one call reaches no other: ids of clients may collide (%s)', async (era) => {
  const { service, moments } = wireService();
  await using served = await serve(service);

  const held = callTool(served, 'hold', { id: 'a' }, { era, id: 7 });
  await moments.seen('a started');
  const other = await callTool(served, 'echo', { nonce: 'b' }, { era, id: 7 });
  moments.happen('a released');

  expect(other.result?.['structuredContent']).toEqual({ nonce: 'b' });
  expect((await held).result?.['structuredContent']).toEqual({});
});
