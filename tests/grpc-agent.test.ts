/** AgentService of an agent, as a stock client of gRPC meets it, before a real gateway with real services. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { status, type ClientReadableStream, type StatusObject } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import { readProtos, serviceIn } from '#runtime/wire/grpc/protos.ts';

import { agentFace } from '../agents/agent-face.ts';
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

describe('The .proto file', () => {
  const protos = readProtos(agentFace.protos);
  const messageOf = (name: string) => protos.getMessage(`flotilla.v1.${name}`) as DescMessage;

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
