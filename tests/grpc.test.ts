/** gRPC on a process's port, as a stock client meets it: calls, streams, errors, tokens, and the end. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

import { loadSync } from '@grpc/proto-loader';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';
import type { AnyService } from '#runtime/service.ts';

import { grpcClient, type GrpcClient, type Message } from './support/grpc-client.ts';
import { grpcService } from './support/grpc-service.ts';
import { callTool } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { secretOfTheBug, type Moments } from './support/wire-service.ts';

const wire = 'flotilla.test.v1.WireService';

let served: Served;
let moments: Moments;
let client: GrpcClient;

beforeAll(async () => {
  const made = grpcService();
  ({ moments } = made);
  served = await serve(made.service);
  client = grpcClient(served, wire);
});

afterAll(async () => {
  client[Symbol.dispose]();
  await served[Symbol.asyncDispose]();
});

async function failureOf(work: Promise<unknown>): Promise<ServiceError> {
  return work.then(
    (value) => {
      throw new Error(`It did not fail: ${JSON.stringify(value)}`);
    },
    (error: ServiceError) => error,
  );
}

/** How a stream ended. */
async function endOf(stream: NodeJS.ReadableStream): Promise<ServiceError> {
  const [error] = (await once(stream, 'error')) as [ServiceError];
  return error;
}

const tokenWith = async (name: string, scope: readonly string[], more: object = {}) =>
  createToken(served.dataRoot, { name, scope, expiresAt: null, ...more });

/** The records of one trace, as the audit trail has them. */
async function recordsOf(trace: string): Promise<readonly Message[]> {
  return vi.waitFor(async () => {
    const response = await fetch(`${served.url}/admin/audit`, {
      headers: { authorization: `Bearer ${served.token}` },
    });
    const records = (await response.text())
      .split('\n')
      .filter((line) => line.includes(trace))
      .map((line) => JSON.parse(line) as Message);
    if (records.length === 0) throw new Error('not written yet');
    return records;
  });
}

/** The details of an error, decoded as a client decodes them. */
function detailsOf({ metadata }: ServiceError): Message {
  const [bytes] = metadata.get('grpc-status-details-bin');
  const definition = loadSync('google/rpc/error_details.proto', {
    includeDirs: [fileURLToPath(new URL('../proto', import.meta.url))],
    keepCase: true,
  });
  const parse = (name: string) =>
    (definition[`google.rpc.${name}`] as unknown as { fileDescriptorProtos: unknown }) && name;
  expect(['ErrorInfo', 'RetryInfo'].map(parse)).toEqual(['ErrorInfo', 'RetryInfo']);
  return { text: (bytes as Buffer).toString('latin1') };
}

describe('One port', () => {
  test('speaks HTTP/1.1, MCP and gRPC at once', async () => {
    const [health, tool, grpc] = await Promise.all([
      fetch(`${served.url}/health`),
      callTool(served, 'echo', { nonce: 'mcp' }),
      client.call('Echo', { nonce: 'grpc' }),
    ]);

    expect(health.status).toBe(200);
    expect(tool).toMatchObject({ result: { structuredContent: { nonce: 'mcp' } } });
    expect(grpc).toEqual({ nonce: 'grpc' });
  });
});

describe('A message', () => {
  test('is the arguments of a tool and its value, with enums in the words of both', async () => {
    const message = {
      text: '',
      count: 0,
      share: 0.25,
      flag: false,
      colour: 'COLOUR_DARK_BLUE',
      colours: ['COLOUR_RED', 'COLOUR_DARK_BLUE'],
      named: { one: 'COLOUR_RED' },
      part: { colour: 'COLOUR_RED', parts: [{ colour: 'COLOUR_DARK_BLUE' }] },
      anything: { fields: { deep: { stringValue: 'COLOUR_RED' } } },
      at: { seconds: 1_700_000_000, nanos: 500_000_000 },
      numbers: [1, -2, 3],
      long: 9_007_199_254_740_991,
    };

    expect(await client.call('Repeat', message)).toMatchObject(message);
  });

  test('without a value leaves the argument out', async () => {
    const answer = await client.call('Repeat', {});

    expect(answer).toEqual({});
  });

  test('with a word that the enum lacks is refused by the tool', async () => {
    const error = await failureOf(client.call('Repeat', { colour: 77 }));

    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toContain('colour');
  });

  test('with a number that is none is refused', async () => {
    const error = await failureOf(
      client.call('Repeat', { anything: { fields: { a: { numberValue: Number.NaN } } } }),
    );

    expect(error.code).toBe(status.INVALID_ARGUMENT);
  });

  test('that is longer than the process takes is refused, and the connection goes on', async () => {
    const error = await failureOf(client.call('Echo', { nonce: 'x'.repeat(5_000_000) }));

    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(error.details).toContain('longer than');
    expect(await client.call('Echo', { nonce: 'y' })).toEqual({ nonce: 'y' });
  });

  test('that is long comes through in both directions', async () => {
    const nonce = 'ü'.repeat(1_500_000);

    expect(await client.call('Echo', { nonce })).toEqual({ nonce });
  });
});

describe('An error of a tool', () => {
  test.each([
    ['invalid_input', status.INVALID_ARGUMENT],
    ['not_found', status.NOT_FOUND],
    ['conflict', status.FAILED_PRECONDITION],
    ['forbidden', status.PERMISSION_DENIED],
    ['too_large', status.RESOURCE_EXHAUSTED],
    ['timeout', status.DEADLINE_EXCEEDED],
    ['cancelled', status.CANCELLED],
    ['unavailable', status.UNAVAILABLE],
  ])('%s has its status, says the remedy, and has details for programs', async (code, expected) => {
    const error = await failureOf(client.call('Refuse', { code, message: 'Größe: 100 % zu viel' }));

    expect(error.code).toBe(expected);
    expect(error.details).toBe('Größe: 100 % zu viel\nTry something else.');
    expect(detailsOf(error)['text']).toContain(code.toUpperCase());
    expect(detailsOf(error)['text']).toContain('Try something else.');
  });

  test('that is worth another try says when', async () => {
    const error = await failureOf(client.call('Refuse', { code: 'unavailable', message: 'later' }));

    expect(detailsOf(error)['text']).toContain('google.rpc.RetryInfo');
  });

  test('that is very long is cut, and not lost', async () => {
    const error = await failureOf(client.call('Refuse', { code: 'conflict', message: '😀'.repeat(20_000) }));

    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(error.details).toContain('Try something else.');
  });

  test.each(['BreakDown', 'AnswerWrongly'])('a bug (%s) is told by its reference alone', async (method) => {
    const error = await failureOf(client.call(method));

    expect(error.code).toBe(status.INTERNAL);
    expect(error.details).toMatch(/^Internal error \(ref [0-9a-f]{32}\)\./);
    expect(JSON.stringify(error.metadata.toJSON()) + error.details).not.toContain(secretOfTheBug);
    expect(detailsOf(error)['text']).not.toContain(secretOfTheBug);
  });
});

describe('A call', () => {
  test('leaves a record, and a trace goes through it', async () => {
    const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const metadata = client.metadata();
    metadata.set('traceparent', parent);

    const answer = await new Promise<Message>((resolve, reject) => {
      const methods = client.client as unknown as Record<string, (...args: unknown[]) => void>;
      methods['TraceOn']?.({}, metadata, (error: ServiceError | null, value: Message) =>
        error ? reject(error) : resolve(value),
      );
    });

    expect(answer['traceparent']).toContain('0af7651916cd43dd8448eb211c80319c');
    expect(await recordsOf('0af7651916cd43dd8448eb211c80319c')).toEqual([
      expect.objectContaining({ caller: 'first', target: 'trace_on', outcome: 'ok', method: 'tools/call' }),
    ]);
  });

  test('that its client waits no longer for is stopped', async () => {
    const failed = failureOf(
      client.call('WaitForSignal', { id: 'deadline' }, { deadline: Date.now() + 300 }),
    );
    await moments.seen('deadline started');

    expect((await failed).code).toBe(status.DEADLINE_EXCEEDED);
    await moments.seen('deadline aborted');
  });

  test('that its client takes back is stopped', async () => {
    const methods = client.client as unknown as Record<string, (...args: unknown[]) => { cancel(): void }>;
    let code: number | undefined;
    const call = methods['WaitForSignal']?.(
      { id: 'taken back' },
      client.metadata(),
      (error: ServiceError) => {
        code = error.code;
      },
    );
    await moments.seen('taken back started');

    call?.cancel();

    await moments.seen('taken back aborted');
    await vi.waitFor(() => expect(code).toBe(status.CANCELLED));
  });

  test('whose time was over before it began is refused', async () => {
    const error = await failureOf(client.call('Echo', { nonce: 'x' }, { deadline: Date.now() - 1_000 }));

    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
  });

  test('of a method that nobody knows is told so', async () => {
    using elsewhere = grpcClient(served, 'flotilla.v1.CoordinatorService');

    const error = await failureOf(elsewhere.call('ListProjects'));

    expect(error.code).toBe(status.UNIMPLEMENTED);
  });
});

describe('A token', () => {
  test.each([
    ['is asked for', undefined, 'missing'],
    ['that nobody made is refused', 'flt_unknown', 'unknown'],
  ])('%s', async (_title, token, words) => {
    using other = grpcClient({ url: served.url, ...(token !== undefined && { token }) }, wire);

    const [unary, streamed] = await Promise.all([
      failureOf(other.call('Echo', { nonce: 'x' })),
      endOf(other.stream('Listen', {})),
    ]);

    expect([unary.code, streamed.code]).toEqual([status.UNAUTHENTICATED, status.UNAUTHENTICATED]);
    expect(unary.details).toContain(words);
  });

  test('may do what its scope says, and no more, in streams as well', async () => {
    using other = grpcClient({ url: served.url, token: await tokenWith('reader', ['wire:read']) }, wire);

    const error = await failureOf(other.call('WriteNote'));
    const talk = other.talk('Talk');
    talk.write({ say: 'note' });
    talk.write({ say: 'hello' });
    talk.end();

    expect(error.code).toBe(status.PERMISSION_DENIED);
    expect(error.details).toContain('wire:write');
    expect(await talk.toArray()).toEqual([
      expect.objectContaining({ refused: 'forbidden' }),
      expect.objectContaining({ heard: 'hello' }),
    ]);
  });

  test('that reaches elsewhere alone is refused before anything is read', async () => {
    using other = grpcClient({ url: served.url, token: await tokenWith('elsewhere', ['memory']) }, wire);

    expect((await failureOf(other.call('Echo'))).code).toBe(status.PERMISSION_DENIED);
  });

  test('with a choice of tools may call those alone', async () => {
    const token = await tokenWith('chosen', ['*'], { tools: ['echo'] });
    using other = grpcClient({ url: served.url, token }, wire);

    expect(await other.call('Echo', { nonce: 'x' })).toEqual({ nonce: 'x' });
    expect((await failureOf(other.call('TraceOn'))).code).toBe(status.PERMISSION_DENIED);
  });

  test('that is revoked is no good any more on a connection that knew it, and another is', async () => {
    using other = grpcClient({ url: served.url, token: await tokenWith('known', ['*']) }, wire);
    const echo = async (token: string) =>
      new Promise<number>((resolve) => {
        const metadata = new Metadata();
        metadata.set('authorization', `Bearer ${token}`);
        const methods = other.client as unknown as Record<string, (...args: unknown[]) => void>;
        methods['Echo']?.({ nonce: 'x' }, metadata, (error: ServiceError | null) =>
          resolve(error?.code ?? status.OK),
        );
      });
    expect(await other.call('Echo', { nonce: 'x' })).toEqual({ nonce: 'x' });

    await revokeToken(served.dataRoot, 'known');

    await vi.waitFor(async () => {
      expect((await failureOf(other.call('Echo', { nonce: 'x' }))).code).toBe(status.UNAUTHENTICATED);
    });
    expect(await echo(served.token)).toBe(status.OK);
    expect(await echo('flt_unknown')).toBe(status.UNAUTHENTICATED);
  });

  test('that is revoked ends its streams, and says why', async () => {
    const token = await tokenWith('short', ['*']);
    using other = grpcClient({ url: served.url, token }, wire);
    const listening = other.stream('Listen', {});
    await once(listening, 'data');
    const talking = other.talk('Talk');
    talking.write({ say: 'hello' });
    await once(talking, 'data');
    const ends = Promise.all([endOf(listening), endOf(talking)]);

    await revokeToken(served.dataRoot, 'short');

    expect((await ends).map(({ code }) => code)).toEqual([status.UNAUTHENTICATED, status.UNAUTHENTICATED]);
  });
});

describe('A stream', () => {
  test('tells what happens, until it ends', async () => {
    const events = await client.stream('Listen', { count: 3 }).toArray();

    expect(events.map(({ id, event }: Message) => `${String(event)} ${String(id)}`)).toEqual([
      'tick 0',
      'tick 1',
      'tick 2',
    ]);
  });

  test('that cannot be is refused as a call is', async () => {
    const error = await endOf(client.stream('Listen', { count: -1, size_bytes: 1 }, {}).resume());

    expect(error.code).toBe(status.INVALID_ARGUMENT);
  });

  test('goes in both directions, each message a call of its own', async () => {
    const talk = client.talk('Talk');
    const heard: unknown[] = [];
    talk.on('data', ({ heard: words }: Message) => heard.push(words));

    talk.write({ say: 'one' });
    await vi.waitFor(() => expect(heard).toEqual(['one']));
    talk.write({ say: 'two' });
    talk.end();
    await once(talk, 'end');

    expect(heard).toEqual(['one', 'two']);
  });

  test('whose client goes is ended', async () => {
    const made = grpcService();
    await using own = await serve(made.service);
    const other = grpcClient(own, wire);
    const listening = other.stream('Listen', {});
    const talking = other.talk('Talk');
    talking.write({ say: 'hello' });
    await Promise.all([once(listening, 'data'), once(talking, 'data')]);
    for (const stream of [listening, talking]) stream.on('error', () => {});

    listening.cancel();
    talking.cancel();

    await made.moments.seen('listening ended');
    await made.moments.seen('conversation ended');
    expect(made.moments.hasHappened('sent 1')).toBe(false);
    other[Symbol.dispose]();
  });
});

describe('Health', () => {
  test('is told to everybody, of the process and of each service', async () => {
    using health = grpcClient({ url: served.url }, 'grpc.health.v1.Health');

    expect(await health.call('Check')).toEqual({ status: 'SERVING' });
    expect(await health.call('Check', { service: wire })).toEqual({ status: 'SERVING' });
    expect((await failureOf(health.call('Check', { service: 'no.such.Service' }))).code).toBe(
      status.NOT_FOUND,
    );
  });

  test('is watched: what changes is told', async () => {
    let isReady = true;
    const made = grpcService({ check: () => ({ ready: isReady, reasons: ['it rests'] }) });
    await using own = await serve(made.service);
    using health = grpcClient({ url: own.url }, 'grpc.health.v1.Health');
    const told: unknown[] = [];
    const watching = health.stream('Watch');
    watching.on('data', (message: Message) => told.push(message['status'])).on('error', () => {});
    await vi.waitFor(() => expect(told).toEqual(['SERVING']));

    isReady = false;

    await vi.waitFor(() => expect(told).toEqual(['SERVING', 'NOT_SERVING']), 10_000);
    expect(await health.call('Check')).toEqual({ status: 'NOT_SERVING' });
    watching.cancel();
  });

  test('of a service that is not here is watched too', async () => {
    using health = grpcClient({ url: served.url }, 'grpc.health.v1.Health');
    const watching = health.stream('Watch', { service: 'no.such.Service' });
    watching.on('error', () => {});

    expect(await once(watching, 'data')).toEqual([{ status: 'SERVICE_UNKNOWN' }]);
    watching.cancel();
  });
});

describe('Reflection', () => {
  const reflection = 'grpc.reflection.v1.ServerReflection';

  async function ask(...questions: Message[]): Promise<Message[]> {
    using reflecting = grpcClient(served, reflection);
    const talk = reflecting.talk('ServerReflectionInfo');
    for (const question of questions) talk.write(question);
    talk.end();
    return (await talk.toArray()) as Message[];
  }

  test('lists the services, and gives the files that tell of them', async () => {
    const [list, bySymbol, byMethod, byName, unknown, extension] = await ask(
      { list_services: '' },
      { file_containing_symbol: wire },
      { file_containing_symbol: `${wire}.Echo` },
      { file_by_filename: 'google/protobuf/struct.proto' },
      { file_containing_symbol: 'no.such.Thing' },
      { all_extension_numbers_of_type: wire },
    );

    expect(list).toMatchObject({
      list_services_response: {
        service: [
          { name: wire },
          { name: 'grpc.health.v1.Health' },
          { name: reflection },
          { name: 'grpc.reflection.v1alpha.ServerReflection' },
        ],
      },
    });
    for (const found of [bySymbol, byMethod, byName]) {
      expect(found).toMatchObject({
        file_descriptor_response: { file_descriptor_proto: [expect.any(Buffer)] },
      });
    }
    for (const missing of [unknown, extension]) {
      expect(missing).toMatchObject({ error_response: { error_code: status.NOT_FOUND } });
    }
  });

  test('asks for a token', async () => {
    using reflecting = grpcClient({ url: served.url }, reflection);
    const talk = reflecting.talk('ServerReflectionInfo');
    talk.end({ list_services: '' });

    expect((await endOf(talk.resume())).code).toBe(status.UNAUTHENTICATED);
  });
});

describe('The first connection, with which it is loaded', () => {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

  async function connected(url: string): Promise<Socket> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => {});
    return socket;
  }

  test('is the first to hear what is wrong with it, and nobody else does', async () => {
    const { service } = grpcService();
    const grpc = { ...service.grpc, protos: new URL('file:///nowhere/at/all.json') };
    await using own = await serve({ ...service, grpc } as AnyService);
    using mine = grpcClient(own, wire);

    expect((await failureOf(mine.call('Echo'))).code).toBe(status.UNAVAILABLE);
    expect((await fetch(`${own.url}/health`)).status).toBe(200);
  });

  test('may be gone before, and others are answered', async () => {
    await using own = await serve(grpcService().service);
    using mine = grpcClient(own, wire);
    const gone = await connected(own.url);
    gone.write(preface);
    const calls = Array.from({ length: 20 }, async (_, at) => mine.call('Echo', { nonce: `${at}` }));
    gone.resetAndDestroy();

    expect((await Promise.all(calls)).map(({ nonce }) => nonce)).toEqual(calls.map((_, at) => `${at}`));
  });

  test('does not keep a process from its end', async () => {
    await using own = await serve(grpcService().service);
    const socket = await connected(own.url);
    const closed = once(socket, 'close');
    socket.write(preface);
    socket.resume();

    await own.stop();
    await closed;

    expect(socket.destroyed).toBe(true);
  });
});

describe('When the process stops', () => {
  test('calls that run are answered, streams are told, and nobody begins anew', async () => {
    const made = grpcService();
    await using own = await serve(made.service);
    using mine = grpcClient(own, wire);
    using health = grpcClient({ url: own.url }, 'grpc.health.v1.Health');
    using reflection = grpcClient(own, 'grpc.reflection.v1.ServerReflection');
    const held = mine.call('Hold', { id: 'a' });
    await made.moments.seen('a started');
    const listening = mine.stream('Listen', {});
    const talking = mine.talk('Talk');
    const watching = health.stream('Watch');
    const reflecting = reflection.talk('ServerReflectionInfo');
    const streams = [listening, talking, watching, reflecting];
    talking.write({ say: 'hello' });
    reflecting.write({ list_services: '' });
    await Promise.all(streams.map(async (stream) => once(stream, 'data')));
    watching.resume();
    const ends = Promise.all(streams.map(endOf));

    const stopped = own.stop();
    const codes = (await ends).map(({ code }) => code);
    made.moments.happen('a released');

    expect(codes).toEqual(streams.map(() => status.UNAVAILABLE));
    expect(await held).toEqual({});
    await stopped;
    expect((await failureOf(mine.call('Echo'))).code).toBe(status.UNAVAILABLE);
  });

  test('a call that does not end is cut off, and its work is stopped', async () => {
    const made = grpcService();
    await using own = await serve(made.service, {}, 0, { limits: { drainMs: 200 } });
    using mine = grpcClient(own, wire);
    const held = failureOf(mine.call('WaitForSignal', { id: 'a' }));
    await made.moments.seen('a started');

    await own.stop();

    await made.moments.seen('a aborted');
    expect([status.UNAVAILABLE, status.INTERNAL, status.CANCELLED]).toContain((await held).code);
  });
});
