import { generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { Assertions } from '#runtime/access/assertions.ts';
import { createToken } from '#runtime/access/tokens.ts';
import { createLog } from '#runtime/account/log.ts';
import type { ErrorCode } from '#runtime/errors.ts';
import { startService } from '#runtime/process/run.ts';

import { freePortOffset } from '../scripts/ports.ts';
import comparing from '../services/comparative-intelligence/service.ts';
import context from '../services/context/service.ts';
import memory from '../services/memory/service.ts';
import profile from '../services/model-profile/service.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { callTool, rpc } from '../tests/support/rpc.ts';
import type { Served } from '../tests/support/serve.ts';
import { decisionOf, Eyes, identityIn, modelIn, type Seen } from './eyes.ts';
import { Upstream } from './upstream.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field
type Answer = Readonly<Record<string, any>>;

describe('A model that a client names', () => {
  test.each([
    ['openai/gpt-5', { name: 'openai/gpt-5' }],
    ['model:a:b@2026-08+high#f00', { name: 'a:b', version: '2026-08', effort: 'high', prompt_hash: 'f00' }],
    ['a+low', { name: 'a', effort: 'low' }],
  ])('is read by its parts: %s', (said, parts) => {
    expect(identityIn(said)).toEqual({ kind: 'model', ...parts });
  });

  test.each(['', 'a b', 'a@', '@1', 'a@1@2', 'a%40', 'a\0', 'a\u{202E}', '\uD800'])(
    'is none where it could be mistaken for another: %j',
    (said) => expect(identityIn(said)).toBeUndefined(),
  );

  test.each([
    [{ 'dev.flotilla/model': 'a' }, 'a'],
    [{ 'flotilla/model': 'b' }, 'b'],
    [{ 'flotilla/model': 'x'.repeat(201) }, undefined],
    [{ 'flotilla/model': { name: 'c' } }, undefined],
    [null, undefined],
    ['a', undefined],
  ])('stands in _meta: %j', (meta, model) => {
    expect(modelIn({ _meta: meta })).toBe(model);
  });
});

const call: Seen = {
  service: 'memory',
  tool: 'add_memory',
  caller: { name: 'laptop', scope: ['*'], hash: '' },
  model: undefined,
  outcome: 'ok',
  durationMs: 1.5,
  requestBytes: 10,
  responseBytes: 20,
  atMs: 0,
};

test.each<[ErrorCode, number | undefined, string | undefined]>([
  ['invalid_input', 0, 'format'],
  ['not_found', 0, 'tool_error'],
  ['forbidden', 0, 'policy_violation'],
  ['timeout', 0, 'timeout'],
  ['unavailable', undefined, undefined],
  ['cancelled', undefined, undefined],
])('a call that failed with %s is judged %s', (outcome, judged, kind) => {
  const decision = decisionOf({ ...call, outcome }, 'u', 'client:laptop');

  expect([decision['outcome'], decision['error_kind']]).toEqual([judged, kind]);
  expect('source' in decision).toBe(judged !== undefined);
});

test('a tool of others that failed is judged; a call above the rate is not', () => {
  const failed = decisionOf({ ...call, outcome: 'unavailable', isToolError: true }, 'u', 'client:laptop');
  const refused = decisionOf({ ...call, outcome: 'unavailable', isOverRate: true }, 'u', 'client:laptop');

  expect(failed).toMatchObject({ outcome: 0, error_kind: 'tool_error' });
  expect(refused).toMatchObject({ error_kind: 'rate_limit' });
  expect('outcome' in refused).toBe(false);
});

let fronted: Fronted;
let gateway: Served;
beforeAll(async () => {
  const settings = { FLOTILLA_PORT_OFFSET: String(await freePortOffset()) };
  fronted = await serveBehind([memory, context, profile, comparing], { settings });
  ({ gateway } = fronted);
});
afterAll(async () => fronted[Symbol.asyncDispose]());

const direct = (name: string) => fronted.direct[name] as Served;

async function asked(service: string, tool: string, args: object): Promise<Answer> {
  const { result, error } = await callTool(direct(service), tool, { ...args });
  if (!result || result['isError']) throw new Error(JSON.stringify(error ?? result));
  return result['structuredContent'] as Answer;
}

async function tokenOf(name: string, ...scope: string[]): Promise<string> {
  const token = await createToken(gateway.dataRoot, { name, scope, expiresAt: null });
  await vi.waitFor(async () =>
    expect((await rpc(gateway, 'tools/list', {}, { token })).result).toBeDefined(),
  );
  return token;
}

async function observed(target = gateway): Promise<Answer> {
  return ((await (await fetch(`${target.url}/health`)).json()) as Answer)['observed'] as Answer;
}

/** All that has ended so far is recorded. */
const isRecorded = async () =>
  vi.waitFor(async () => expect((await observed())['decisions']).toMatchObject({ waiting: 0 }), {
    timeout: 30_000,
    interval: 100,
  });

async function decisionsOf(model: string): Promise<Answer[]> {
  const kind = model.split(':', 1)[0];
  return (await asked('model-profile', 'get_decision_history', { model, kind, limit: 2_000 }))[
    'decisions'
  ] as Answer[];
}

describe.each(['modern', 'legacy'] as const)('In %s, of a call the observers see', (era) => {
  test('who, what, how it turned out, how long and how large; and nothing of what was said', async () => {
    const token = await tokenOf(`plain-${era}`, 'context', 'memory:read');
    const secret = `Nobody reads this ${era}`;
    await callTool(gateway, 'count_tokens', { text: secret }, { era, token });
    await callTool(gateway, 'count_tokens', { txt: secret }, { era, token });
    await callTool(gateway, 'create_entities', { entities: [] }, { era, token });
    await callTool(gateway, 'no_such_tool', {}, { era, token });
    await isRecorded();

    const decisions = (await decisionsOf(`client:plain-${era}`)).toReversed();
    expect(decisions).toMatchObject([
      { task_type: 'context.count_tokens', outcome: 1, source: 'code_check', evaluator: 'gateway' },
      { task_type: 'context.count_tokens', outcome: 0, error_kind: 'format' },
      { task_type: 'memory.create_entities', outcome: 0, error_kind: 'policy_violation' },
    ]);
    expect(decisions[0]?.['request_bytes']).toBeGreaterThan(secret.length);
    expect(decisions[0]?.['response_bytes']).toBeGreaterThan(10);
    expect(decisions[0]?.['latency_ms']).toBeGreaterThan(0);
    expect(decisions.every((decision) => !('confidence' in decision))).toBe(true);
    expect(JSON.stringify(decisions)).not.toContain('Nobody reads this');
  });
});

test('a client may say for which model it calls; what is no model is its own', async () => {
  const token = await tokenOf('speaker', 'context');
  const said = ['openai/gpt-5@2026-08+high', 'client:plain-modern', 'not a name', 7];
  for (const [at, model] of said.entries()) {
    const meta = { [at === 0 ? 'dev.flotilla/model' : 'flotilla/model']: model };
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await callTool(gateway, 'count_tokens', { text: 'x' }, { token, meta });
  }
  await isRecorded();

  expect(await decisionsOf('model:openai/gpt-5@2026-08+high')).toHaveLength(1);
  expect(await decisionsOf('model:client:plain-modern')).toHaveLength(1);
  expect(await decisionsOf('client:speaker')).toHaveLength(2);

  // Of what is made up, no more than 50 become models.
  await Promise.all(
    Array.from({ length: 50 }, async (_, at) =>
      callTool(
        gateway,
        'count_tokens',
        { text: 'x' },
        { token, meta: { 'flotilla/model': `made-up-${at}` } },
      ),
    ),
  );
  await isRecorded();
  expect(await decisionsOf('client:speaker')).toHaveLength(4);
});

test('calls of the platform leave no record', async () => {
  const token = await tokenOf('backup', 'context');
  const { recorded } = (await observed())['decisions'];
  await callTool(gateway, 'count_tokens', { text: 'x' }, { token });

  expect(await observed()).toMatchObject({ decisions: { recorded, waiting: 0 } });
});

test('the comparison says which of two clients is more reliable, with an interval', async () => {
  const [steady = '', shaky = ''] = await Promise.all(
    ['steady', 'shaky'].map(async (name) => tokenOf(name, 'context')),
  );
  const before = (await observed())['decisions'];
  const send = async (token: string, at: number, everyFailing: number) =>
    callTool(gateway, 'count_tokens', at % everyFailing === 0 ? { text: at } : { text: `text ${at}` }, {
      token,
    });
  // While they call, model-profile is started again.
  const restarted = fronted.restart('model-profile');
  for (let at = 1; at <= 120; at += 1) {
    await Promise.all([send(steady, at, 40), send(shaky, at, 3)]);
  }
  await restarted;
  await isRecorded();

  const after = (await observed())['decisions'];
  expect(after).toMatchObject({ recorded: before['recorded'] + 240, dropped: 0, refused: 0 });
  for (const [name, failed] of [
    ['steady', 3],
    ['shaky', 40],
  ] as const) {
    const decisions = await decisionsOf(`client:${name}`);
    expect(decisions).toHaveLength(120);
    expect(decisions.filter(({ outcome }) => outcome === 0)).toHaveLength(failed);
  }
  const compared = await asked('comparative-intelligence', 'compare_models', {
    a: 'client:steady',
    b: 'client:shaky',
    task_type: 'context.count_tokens',
  });
  expect(compared).toMatchObject({ verdict: 'better' });
  expect(compared['ci95'][0]).toBeGreaterThan(0);
  expect(compared['value']).toBeCloseTo(37 / 120, 6);
  const mixed = await callTool(direct('comparative-intelligence'), 'compare_models', {
    a: 'client:steady',
    b: 'model:openai/gpt-5@2026-08+high',
  });
  expect(mixed.result).toMatchObject({ isError: true });
});

test('what is sent again, because its answer was lost, counts once', async () => {
  let origin: string | undefined;
  let lost = 0;
  const proxy = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const forward = async () => {
        const body = Buffer.concat(chunks);
        const { connection: _connection, host: _host, ...headers } = request.headers;
        const answer = await fetch(`${origin}${request.url}`, {
          method: request.method ?? 'GET',
          headers: headers as Record<string, string>,
          ...(body.length > 0 && { body }),
        });
        const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream');
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
        if (isStream) for await (const chunk of answer.body ?? []) response.write(chunk);
        else {
          const text = await answer.text();
          const isRecording = request.headers['mcp-name'] === 'record_decisions';
          if (isRecording && lost++ < 2) request.socket.destroy();
          else response.end(text);
        }
      };
      forward().catch(() => request.socket.destroy());
    });
  });
  await new Promise<void>((done) => void proxy.listen(0, '127.0.0.1', done));
  const { port } = proxy.address() as AddressInfo;
  const others = [
    { name: 'model-profile', description: 'Loses answers.', origin: `http://127.0.0.1:${port}` },
  ];
  {
    await using alone = await serveBehind([context], { others });
    const environment = { FLOTILLA_DATA: alone.gateway.dataRoot, FLOTILLA_LOG_LEVEL: 'error' };
    const running = await startService(profile, 0, environment);
    origin = `http://127.0.0.1:${running.port}`;
    for (let at = 0; at < 5; at += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await callTool(alone.gateway, 'count_tokens', { text: 'x' });
    }
    await vi.waitFor(
      async () =>
        expect(await observed(alone.gateway)).toMatchObject({ decisions: { recorded: 5, waiting: 0 } }),
      { timeout: 30_000, interval: 100 },
    );

    const { result } = await callTool({ url: origin, token: alone.gateway.token }, 'get_decision_history', {
      model: 'client:first',
      kind: 'client',
    });
    expect(result?.['structuredContent'].decisions).toHaveLength(5);
    expect(lost).toBe(3);
    await running.stop();
  }
  proxy.closeAllConnections();
  await new Promise((done) => void proxy.close(done));
});

test('a store that was begun anew is told again who the clients are', async () => {
  const token = await tokenOf('lasting', 'context');
  await callTool(gateway, 'count_tokens', { text: 'x' }, { token });
  await isRecorded();
  await direct('model-profile').stop();
  rmSync(join(gateway.dataRoot, 'model-profile'), { recursive: true });
  await fronted.restart('model-profile');

  await callTool(gateway, 'count_tokens', { text: 'x' }, { token });
  await isRecorded();

  expect(await decisionsOf('client:lasting')).toHaveLength(1);
});

test('without model-profile, or switched off, nothing is kept', async () => {
  await using alone = await serveBehind([context]);
  await callTool(alone.gateway, 'count_tokens', { text: 'x' });
  expect(await observed(alone.gateway)).toEqual({});

  await using off = await serveBehind([context, profile], { settings: { FLOTILLA_GATEWAY_OBSERVE: 'off' } });
  expect(await observed(off.gateway)).toEqual({});
});

test('what waits is bounded and counted, and a stop does not wait for who is away', async () => {
  const log = createLog('gateway', 'error', () => {});
  const assertions = new Assertions('gateway', generateKeyPairSync('ed25519').privateKey);
  const hearing = { changed() {}, resourceUpdated() {} };
  const away = { name: 'model-profile', description: 'Is away.', origin: 'http://127.0.0.1:9' };
  await using upstream = new Upstream(away, { assertions, log, now: Date.now, hearing });
  const eyes = new Eyes(upstream, log);
  for (let at = 0; at < 10_500; at += 1) eyes.saw(call);
  expect(eyes.state).toMatchObject({ dropped: 500, waiting: 10_000 });

  await eyes[Symbol.asyncDispose]();

  expect(eyes.state).toEqual({ recorded: 0, dropped: 500, refused: 10_000, waiting: 0 });
});
