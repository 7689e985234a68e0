/** AgentService of an agent, as a stock client of gRPC meets it, before a real gateway with real services. */
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { join } from 'node:path';

import { fromJson, toBinary, type DescField, type DescMessage, type JsonValue } from '@bufbuild/protobuf';
import { status, type ClientReadableStream, type StatusObject } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import { framed } from '#runtime/wire/grpc/frames.ts';
import { readProtos, serviceIn } from '#runtime/wire/grpc/protos.ts';

import { agentFace } from '../agents/agent-face.ts';
import { callTool } from '../agents/agents.fixture.ts';
import { executeTask, getAgent, getStatus } from '../agents/tools.ts';
import { loadService } from '../scripts/load.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { serveBehind, type Fronted } from './support/fronted.ts';
import { grpcClient, type GrpcClient, type Message } from './support/grpc-client.ts';
import { differences } from './support/proto-differences.ts';
import { serve, temporaryFolder, type Served } from './support/serve.ts';

const service = 'flotilla.v1.AgentService';

const stack = new AsyncDisposableStack();
let root: string;
let offset: number;
let fleet: Fronted;
let qa: Served;
let client: GrpcClient;

beforeAll(async () => {
  root = join(stack.use(temporaryFolder()).path, 'work');
  mkdirSync(root);
  offset = await freePortOffset();
  const settings = { FLOTILLA_PORT_OFFSET: String(offset), FLOTILLA_ROOTS: root };
  const services = await Promise.all(['orchestrator', 'filesystem', 'python'].map(loadService));
  fleet = stack.use(await serveBehind(services, { settings }));
  const own = { ...settings, FLOTILLA_DATA: fleet.gateway.dataRoot };
  qa = stack.use(await serve(await loadService('agent-qa'), own));
  client = stack.use(grpcClient(qa, service));
});
afterAll(async () => stack.disposeAsync());

const value = (given: string | number) =>
  typeof given === 'string' ? { stringValue: given } : { numberValue: given };
const struct = (fields: Readonly<Record<string, string | number>>) => ({
  fields: Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, value(one)])),
});
const python = (code: string, more: object = {}) => ({
  tool: 'run_python_code',
  arguments: struct({ python_code: code, timeout_ms: 600_000 }),
  ...more,
});

/** All that a stream says, and with which status it ends. */
async function said(
  stream: ClientReadableStream<Message>,
): Promise<{ messages: Message[]; code: number; details: string }> {
  const messages: Message[] = [];
  stream.on('data', (message: Message) => messages.push(message));
  stream.on('error', () => {});
  const { code, details } = await new Promise<StatusObject>((ended) => stream.once('status', ended));
  return { messages, code, details };
}

const execute = async (task: Message, as = client) => said(as.stream('ExecuteTask', task));

/** As long as nobody stops it. */
const sleeping = python('import time\ntime.sleep(600)');
const health = async () => (await (await fetch(`${qa.url}/health`)).json()) as { readonly atOnce: number };
const atOnce = async (count: number) =>
  vi.waitFor(async () => expect((await health()).atOnce).toBe(count), { timeout: 60_000, interval: 20 });

async function clientOf(name: string, ...scope: string[]): Promise<GrpcClient> {
  const token = await createToken(fleet.gateway.dataRoot, { name, scope, expiresAt: null });
  return stack.use(grpcClient({ url: qa.url, token }, service));
}

describe('An agent', () => {
  test('says who it is, and how it is', async () => {
    const { agent } = (await client.call('GetAgent')) as { agent: Message };

    expect(agent).toMatchObject({
      agent: 'agent-qa',
      profile: 'qa',
      capabilities: expect.arrayContaining(['testing']) as string[],
      most_tasks: 3,
    });
    await vi.waitFor(
      async () => expect(await client.call('GetStatus')).toMatchObject({ state: 'AGENT_STATE_IDLE' }),
      { timeout: 60_000, interval: 50 },
    );
  });

  test('answers for its health as every service of gRPC', async () => {
    using standard = grpcClient(qa, 'grpc.health.v1.Health');

    expect(await standard.call('Check', { service })).toEqual({ status: 'SERVING' });
  });
});

describe('A task that is done at once', () => {
  test('is told of as it goes, and its last message is the result', async () => {
    const { messages, code } = await execute({
      title: 'Count',
      steps: [python('6*7', { save_as: 'sum' }), python('{{sum.return_value}} + 1', { save_as: 'more' })],
    });

    expect(code).toBe(status.OK);
    expect(messages[0]).toMatchObject({
      told: 'progress',
      progress: { percent: 0, note: expect.stringContaining('Step 1 of 2') as string },
    });
    expect(messages.at(-1)?.['told']).toBe('result');
    expect(JSON.stringify(messages.at(-1))).toContain('"43"');
  });

  test.each<[string, object, string, RegExp]>([
    ['an unknown tool', { tool: 'no_such_tool' }, 'unknown_tool', /no tool "no_such_tool"/],
    [
      'a tool that the agent may not call',
      { tool: 'write_file', arguments: struct({ path: '/x', content: '' }) },
      'forbidden',
      /agent-qa may not call write_file/,
    ],
    ['code that raises', python('1/0'), 'step_failed', /ZeroDivisionError/],
    [
      'a session of Python, which would be open to all',
      { tool: 'create_python_session' },
      'forbidden',
      /open to all whose steps it does/,
    ],
    [
      'more references than are looked up at once',
      python('{{task.title}}'.repeat(10_001)),
      'too_large',
      /more than 10000 references/,
    ],
  ])('fails by %s, and the last message says why', async (_what, step, code, words) => {
    const { messages, code: ended } = await execute({ title: 'Try', steps: [step] });

    expect(ended).toBe(status.OK);
    expect(messages.at(-1)).toMatchObject({
      told: 'failure',
      failure: { code, message: expect.stringMatching(words) as string },
    });
  });

  test('is asked about where it says not how, and done when it is given again with the answer', async () => {
    const asked = await execute({ title: 'Decide' });
    const said = await execute({ title: 'Decide', answer: 'Done by hand.' });
    const steps = [{ tool: 'run_python_code', arguments: { python_code: '40+2' }, save_as: 'it' }];
    const done = await execute({ title: 'Decide', answer: JSON.stringify(steps) });

    expect(asked.messages.at(-1)).toMatchObject({
      told: 'question',
      question: expect.stringMatching(/“Decide” has no steps/) as string,
    });
    expect(JSON.stringify(said.messages.at(-1))).toContain('Done by hand.');
    expect(JSON.stringify(done.messages.at(-1))).toContain('"42"');
  });

  test.each([
    ['the name of a tool that is no text', '"\\ud800"', '{}'],
    [
      'arguments deeper than any tool takes',
      '"run_python_code"',
      `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
    ],
  ])('asks again where the answer has %s', async (_what, tool, args) => {
    const { messages } = await execute({ title: 'x', answer: `[{"tool":${tool},"arguments":${args}}]` });

    expect(messages.at(-1)).toMatchObject({
      question: expect.stringMatching(/The steps are none/) as string,
    });
  });

  test('has a result that every client can read: neither too deep nor too long', async () => {
    const call = async (tool: string, args: object) => callTool(fleet.gateway, tool, args);
    const nested = (levels: number): object => (levels === 1 ? {} : { in: nested(levels - 1) });
    const results = [{ many: Array.from({ length: 48_000 }, () => 1) }, nested(25), nested(60)];
    await call('register_worker', { worker: 'own', capabilities: ['own'] });
    await call('create_tasks', { tasks: results.map(() => ({ title: 'x', requires: ['own'] })) });
    const { tasks } = await call('claim_tasks', { worker: 'own', most: 3 });
    const ids: string[] = [];
    for (const [at, { task_id: id, lease }] of tasks.entries()) {
      ids.push(id);
      await call('complete_task', { task_id: id, fence: lease.fence, result: results[at] });
    }
    const [many = '', flat = '', deep = ''] = ids;
    const steps = [many, many, many, flat, deep].map((id, at) => ({
      tool: 'get_task',
      arguments: struct({ task_id: id, max_bytes: 1_000_000 }),
      save_as: `s${at}`,
    }));

    const { messages, code } = await execute({ title: 'Read', steps });

    expect(code).toBe(status.OK);
    const { result } = messages.at(-1) as {
      result: { fields: { saved: { structValue: { fields: Record<string, object> } } } };
    };
    const { fields } = result.fields.saved.structValue;
    const shortened = Object.keys(fields).filter((name) =>
      JSON.stringify(fields[name]).includes('"shortened"'),
    );
    expect(shortened).toEqual(['s2', 's4']);
  });

  test('leaves the trace of its call in the records of the tools', async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const metadata = client.metadata();
    metadata.set('traceparent', `00-${trace}-b7ad6b7169203331-01`);
    const methods = client.client as unknown as Record<
      string,
      (...given: unknown[]) => ClientReadableStream<Message>
    >;
    const stream = methods['ExecuteTask']?.({ title: 'x', steps: [python('1')] }, metadata);
    if (stream) await said(stream);
    const recordsAt = (name: string) =>
      readFileSync(join(fleet.gateway.dataRoot, name, 'audit', 'audit-000001.jsonl'), 'utf8')
        .split('\n')
        .filter((line) => line.includes(trace) && line.includes('tools/call'))
        .map((line) => JSON.parse(line) as Message);

    await vi.waitFor(
      () => {
        expect(recordsAt('agent-qa')).toMatchObject([{ caller: 'first', target: 'execute_task' }]);
        expect(recordsAt('python')).toMatchObject([{ caller: 'agent-qa', target: 'run_python_code' }]);
      },
      { timeout: 60_000, interval: 50 },
    );
  });

  test.each<[string, Message, RegExp]>([
    ['no title', { steps: [python('1')] }, /title/],
    ['too many steps', { title: 'x', steps: Array.from({ length: 201 }, () => python('1')) }, /steps/],
    ['a step without a tool', { title: 'x', steps: [{}] }, /tool/],
    ['a title with a NUL', { title: 'a\0b' }, /well-formed/],
  ])('is refused with %s', async (_what, task, words) => {
    const { messages, code, details } = await execute(task);

    expect({ messages, code }).toEqual({ messages: [], code: status.INVALID_ARGUMENT });
    expect(details).toMatch(words);
  });

  test('is stopped when its call is cancelled', async () => {
    const stream = client.stream('ExecuteTask', {
      title: 'Long',
      steps: [sleeping, { tool: 'list_directory', arguments: struct({ path: root }) }],
    });
    const ended = said(stream);
    await atOnce(1);

    stream.cancel();

    expect((await ended).code).toBe(status.CANCELLED);
    await atOnce(0);
  });

  test('ends when the time of its client is over', async () => {
    const options = { deadline: Date.now() + 1_500 };
    const { code } = await said(client.stream('ExecuteTask', { title: 'Long', steps: [sleeping] }, options));

    expect(code).toBe(status.DEADLINE_EXCEEDED);
    await atOnce(0);
  });
});

describe('A token', () => {
  test('that may not write at the agent has nothing done by it', async () => {
    const reader = await clientOf('reader', 'agent-qa:read', 'python:write');

    const { code, details } = await execute({ title: 'x', steps: [python('1')] }, reader);

    expect(code).toBe(status.PERMISSION_DENIED);
    expect(details).toContain('agent-qa:write');
    expect(await reader.call('GetStatus')).not.toHaveProperty('at_once');
  });

  test('has no more done by an agent than it may do itself', async () => {
    const weak = await clientOf('weak', 'agent-qa:write', 'python:read');

    const { messages } = await execute({ title: 'x', steps: [python('1')] }, weak);

    expect(messages.at(-1)).toMatchObject({
      failure: {
        code: 'forbidden',
        message: expect.stringMatching(
          /token weak.*lacks the scope python:write.*Nothing was done/,
        ) as string,
      },
    });
  });

  test('that is none is told so', async () => {
    using nobody = grpcClient({ url: qa.url }, service);

    expect((await execute({ title: 'x' }, nobody)).code).toBe(status.UNAUTHENTICATED);
  });

  test('leaves room for others, and is told when there is none for it', async () => {
    const other = await clientOf('other', 'agent-qa:write', 'python:write');
    const mine = [1, 2].map(() => client.stream('ExecuteTask', { title: 'Long', steps: [sleeping] }));
    const ends = mine.map(said);
    await atOnce(2);

    const third = await execute({ title: 'x', steps: [python('1')] });
    const others = await execute({ title: 'x', steps: [python('1')] }, other);

    expect(third).toMatchObject({ messages: [], code: status.UNAVAILABLE });
    expect(third.details).toMatch(/make the task at the orchestrator/);
    expect(others.messages.at(-1)?.['told']).toBe('result');
    for (const stream of mine) stream.cancel();
    await Promise.all(ends);
    await atOnce(0);
  });
});

describe('A conversation', () => {
  /** What is said of each task at the end, in its order. */
  const endsIn = (messages: readonly Message[]) =>
    messages
      .filter((message) => message['told'] !== 'progress')
      .map((message) => {
        const failure = message['failure'] as { readonly code: string } | undefined;
        return `${(message['id'] as string | undefined) ?? 'nameless'} ${failure?.code ?? (message['told'] as string)}`;
      });

  test('has several tasks done side by side, and each answer says which it is of', async () => {
    const talk = client.talk('Converse');
    const heard = said(talk);
    talk.write({ id: 'long', execute: { title: 'Long', steps: [sleeping] } });
    await atOnce(1);
    talk.write({ id: 'long', execute: { title: 'Again', steps: [python('1')] } });
    talk.write({ id: 'short', execute: { title: 'Short', steps: [python('1')] } });
    await atOnce(2);
    await atOnce(1);
    talk.write({ id: 'long', cancel: {} });
    await atOnce(0);
    talk.write({ id: 'asked', execute: { title: 'Asked' } });
    talk.end();

    const { messages, code } = await heard;

    expect(code).toBe(status.OK);
    expect(endsIn(messages)).toEqual(['long conflict', 'short result', 'long cancelled', 'asked question']);
    expect(messages.some(({ id, told }) => id === 'short' && told === 'progress')).toBe(true);
  });

  test('says of each message why it is refused, and goes on', async () => {
    const talk = client.talk('Converse');
    const heard = said(talk);
    talk.write({ execute: { title: 'Without an id' } });
    talk.write({ id: 'a'.repeat(201), cancel: {} });
    talk.write({ id: 'nothing' });
    talk.write({ id: 'unknown', cancel: {} });
    talk.write({ id: 'bad', execute: { title: '' } });
    talk.write({ id: 'good', execute: { title: 'Good', steps: [python('1')] } });
    talk.end();

    expect(endsIn((await heard).messages)).toEqual([
      'nameless invalid_input',
      `${'a'.repeat(201)} invalid_input`,
      'nothing invalid_input',
      'unknown not_found',
      'bad invalid_input',
      'good result',
    ]);
  });

  test('whose client does not read loses nothing, and stops nobody', async () => {
    const talk = client.talk('Converse');
    talk.on('error', () => {});
    talk.pause();
    const count = 3_000;
    for (let at = 0; at < count; at += 1) talk.write({ id: `${at}`, cancel: {} });
    talk.end();

    expect((await execute({ title: 'x', steps: [python('1')] })).messages.at(-1)?.['told']).toBe('result');
    const heard = said(talk);
    talk.resume();
    const { messages, code } = await heard;

    expect(code).toBe(status.OK);
    expect(messages.map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, at) => `${at}`));
  });

  test('is ended by the stop of the agent, and its tasks with it', async () => {
    const settings = {
      FLOTILLA_DATA: fleet.gateway.dataRoot,
      FLOTILLA_PORT_OFFSET: String(offset),
      FLOTILLA_ROOTS: root,
    };
    const devops = await serve(await loadService('agent-devops'), settings);
    using its = grpcClient(devops, service);
    const talk = its.talk('Converse');
    const heard = said(talk);
    talk.write({ id: 'long', execute: { title: 'Long', steps: [sleeping] } });
    await vi.waitFor(async () => expect(await its.call('GetStatus')).toMatchObject({ at_once: 1 }), {
      timeout: 60_000,
      interval: 20,
    });

    await devops.stop();

    expect((await heard).code).toBe(status.UNAVAILABLE);
  });
});

const protos = readProtos(agentFace.protos);
const messageOf = (name: string) => protos.getMessage(`flotilla.v1.${name}`) as DescMessage;

describe('A client that speaks HTTP/2 itself', () => {
  let session: ClientHttp2Session;
  beforeAll(() => {
    // It reads nothing but headers.
    session = connect(qa.url, { settings: { initialWindowSize: 0 } });
  });
  afterAll(() => session.destroy());

  function ask(method: string, more: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${service}/${method}`,
      'content-type': 'application/grpc',
      authorization: `Bearer ${qa.token}`,
      ...more,
    });
    return stream.on('error', () => {}).resume();
  }
  const message = (name: string, value: JsonValue) =>
    framed(toBinary(messageOf(name), fromJson(messageOf(name), value, { registry: protos })));
  const step = (code: string) => ({
    tool: 'run_python_code',
    arguments: { python_code: code, timeout_ms: 600_000 },
  });
  const task = (code: string) => message('ExecuteTaskRequest', { title: 'x', steps: [step(code)] });
  async function statusOf(stream: ClientHttp2Stream): Promise<number> {
    const [headers] = (await once(stream, 'response')) as [Readonly<Record<string, string>>];
    return Number(headers['grpc-status']);
  }

  test.each([
    ['nothing before its time is over', [], { 'grpc-timeout': '200m' }, status.DEADLINE_EXCEEDED],
    ['a task whose time is over', [task('1')], { 'grpc-timeout': '1n' }, status.DEADLINE_EXCEEDED],
    ['two tasks', [task('1'), task('2')], {}, status.UNIMPLEMENTED],
  ])('and sends %s is told so', async (_what, messages, headers, code) => {
    const stream = ask('ExecuteTask', headers);
    for (const one of messages) stream.write(one);
    if (messages.length > 0) stream.end();

    expect(await statusOf(stream)).toBe(code);
    stream.close();
    await atOnce(0);
  });

  test('has no work done after a conversation that it broke, though it reads nothing of that', async () => {
    const stream = ask('Converse');
    stream.write(
      message('ConverseRequest', {
        id: 'a',
        execute: { title: 'x', steps: [step('import time\ntime.sleep(600)')] },
      }),
    );
    await once(stream, 'response');
    await atOnce(1);

    stream.write(framed(Buffer.from([255, 255, 255])));

    await atOnce(0);
    expect(stream.closed).toBe(false);
    stream.close();
  });
});

describe('The .proto file', () => {
  test('has the methods that agents answer, and says what they say', () => {
    const { methods } = serviceIn(protos, service);
    const used = new Set<DescField>();
    const found = (name: string, schema: object, isInput: boolean) => [
      ...differences(messageOf(name), schema, name, isInput, used),
    ];

    expect(methods.map(({ name }) => name).toSorted()).toEqual(Object.keys(agentFace.methods).toSorted());
    expect([
      ...found('GetAgentResponse', getAgent.output, false),
      ...found('GetStatusResponse', getStatus.output, false),
      ...found('ExecuteTaskRequest', executeTask.input, true),
      ...found('ExecuteTaskResponse', executeTask.output, false),
      ...found('ConverseResponse', executeTask.output, false),
    ]).toEqual([]);
    const unsaid = ['Agent', 'GetStatusResponse'].flatMap((name) =>
      messageOf(name).fields.filter((field) => !used.has(field)),
    );
    expect(unsaid.map(String)).toEqual([]);
  });
});
