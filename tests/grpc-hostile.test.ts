/** What a client of HTTP/2 may not do to a process that speaks gRPC, and that others do not notice. */
import { once } from 'node:events';
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';

import { create, toBinary, type DescMessage } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { readProtos } from '#runtime/wire/grpc/protos.ts';

import { grpcClient } from './support/grpc-client.ts';
import { grpcService } from './support/grpc-service.ts';
import { serve, type Served } from './support/serve.ts';
import type { Moments } from './support/wire-service.ts';

const wire = 'flotilla.test.v1.WireService';
const impatient = { headersMs: 400, requestMs: 500, slowCheckMs: 50, idleMs: 800 };

const protos = readProtos(new URL('support/wire-protos.json', import.meta.url));

let served: Served;
let moments: Moments;

beforeAll(async () => {
  const made = grpcService();
  ({ moments } = made);
  served = await serve(made.service, {}, 0, { limits: impatient });
});

afterAll(async () => {
  await served[Symbol.asyncDispose]();
});

/** On a connection of its own: one that is kept may be cut off for idleness in this moment. */
async function overHttp1(path: string, headers: Record<string, string> = {}, body?: Buffer) {
  const method = body ? 'POST' : 'GET';
  const outgoing = request(`${served.url}${path}`, { agent: false, method, headers });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode, text: (await incoming.toArray()).join('') };
}

/** Somebody else is served as ever. */
async function expectServed(): Promise<void> {
  using other = grpcClient(served, wire);
  expect(await other.call('Echo', { nonce: 'still here' })).toEqual({ nonce: 'still here' });
  expect((await overHttp1('/health')).status).toBe(200);
}

function open(url = served.url): ClientHttp2Session {
  const session = connectHttp2(url);
  session.on('error', () => {});
  return session;
}

const headersFor = (method: string, more: Record<string, string> = {}) => ({
  ':method': 'POST',
  ':path': `/${wire}/${method}`,
  'content-type': 'application/grpc',
  te: 'trailers',
  authorization: `Bearer ${served.token}`,
  ...more,
});

function framed(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

interface Answer {
  readonly status: number | undefined;
  readonly code: number | undefined;
  readonly message: string;
  readonly reset: number | undefined;
  /** Whether the headers were all, without trailers. */
  readonly isHeadersOnly: boolean;
}

const closed = async (emitter: NodeJS.EventEmitter & { readonly closed: boolean | null }) =>
  new Promise<void>((done) => {
    if (emitter.closed) done();
    emitter.once('close', done);
  });

/** What a call came to, however it ended. */
async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let found: Record<string, string | number | undefined> = {};
  stream.on('response', (headers) => (found = { ...found, ...(headers as typeof found) }));
  let isHeadersOnly = true;
  stream.on('trailers', () => (isHeadersOnly = false));
  stream.on('trailers', (trailers) => (found = { ...found, ...(trailers as typeof found) }));
  stream.on('error', () => {});
  stream.resume();
  await closed(stream);
  const code = found['grpc-status'];
  return {
    status: Number(found[':status'] ?? 0) || undefined,
    code: code === undefined ? undefined : Number(code),
    message: decodeURIComponent(String(found['grpc-message'] ?? '')),
    reset: stream.rstCode,
    isHeadersOnly,
  };
}

async function sent(session: ClientHttp2Session, method: string, body: Buffer, more = {}): Promise<Answer> {
  const stream = session.request(headersFor(method, more));
  const answer = answerOf(stream);
  stream.end(body);
  return answer;
}

describe('The first bytes', () => {
  async function answered(...parts: string[]): Promise<string> {
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
    socket.setNoDelay(true);
    const text = once(socket, 'data');
    for (const part of parts) {
      socket.write(part);
      await new Promise((done) => {
        setTimeout(done, 5);
      });
    }
    const [bytes] = (await text) as [Buffer];
    socket.destroy();
    return bytes.toString('latin1');
  }

  test.each([
    ['whole', ['POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n'], /^HTTP\/1\.1 401/],
    ['like those of HTTP/2', ['P', 'R', 'OPFIND / HTTP/1.1\r\nhost: localhost\r\n\r\n'], /^HTTP\/1\.1 404/],
    ['one by one', ['G', 'E', 'T', ' /health HTTP/1.1\r\n', 'host: localhost\r\n\r\n'], /^HTTP\/1\.1 200/],
    ['of nothing that is known', ['\u0016\u0003\u0001\r\n\r\n'], /^HTTP\/1\.1 400/],
    ['of HTTP/2 in parts', ['P', 'RI * HT', 'TP/2.0\r\n\r\nSM\r\n\r\n', '\0\0\0\u0004\0\0\0\0\0'], /^\0\0/],
  ])('may come %s', async (_how, parts, expected) => {
    expect(await answered(...parts)).toMatch(expected);
  });

  test.each([
    ['nothing', ''],
    ['the beginning of a preface', 'PR'],
    ['a preface, and no more', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('are waited for in vain for a while only: %s', async (_what, text) => {
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
    socket.write(text);

    await closed(socket.resume());

    expect(socket.bytesWritten).toBe(text.length);
  });
});

describe('A message', () => {
  const repeat = protos.getMessage('flotilla.test.v1.RepeatRequest') as DescMessage;
  const some = toBinary(
    repeat,
    create(repeat, {
      text: 'Grüße',
      colours: [1, 2],
      part: { parts: [{ colour: 1 }] },
      numbers: [1, 2, 3],
      named: { a: 1 },
    }),
  );

  test.each([
    ['with a length beyond its end', Buffer.from([0x0a, 0xff, 0x01])],
    ['with another type in a field', Buffer.from([0x0d, 1, 2, 3, 4])],
    ['with a text that is no UTF-8', Buffer.from([0x0a, 0x02, 0xc3, 0x28])],
    ['with a number that is too long', Buffer.from([0x10, ...Array<number>(11).fill(0xff), 0x01])],
    ['with a field that has no number', Buffer.from([0x02, 0x00])],
    ['with a group', Buffer.from([0xa3, 0x06, 0xa4, 0x06])],
    ['nested too deep', nested(200)],
    ['of very many empty ones', Buffer.from('4200'.repeat(150_000), 'hex')],
    [
      'with very many numbers in one field',
      Buffer.concat([Buffer.from([0x5a, 0xc0, 0x9a, 0x0c]), Buffer.alloc(200_000)]),
    ],
  ])('%s is refused as that', async (_what, bytes) => {
    const session = open();

    const answer = await sent(session, 'Repeat', framed(bytes));
    session.close();

    expect(answer).toMatchObject({ status: 200, code: status.INVALID_ARGUMENT });
    expect(answer.message).toContain('RepeatRequest');
  });

  function nested(depth: number): Buffer {
    let bytes = Buffer.alloc(0);
    for (let n = 0; n < depth; n += 1) {
      const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
      bytes = Buffer.concat([Buffer.from([0x12, ...length]), bytes]);
    }
    return Buffer.concat([Buffer.from([0x42, (bytes.length & 0x7f) | 0x80, bytes.length >> 7]), bytes]);
  }

  test.each([
    ['that says it is compressed', framed(Buffer.from([]), 1), status.INVALID_ARGUMENT],
    ['that ends in the middle', framed(some).subarray(0, 9), status.INVALID_ARGUMENT],
    ['that is none', Buffer.alloc(0), status.UNIMPLEMENTED],
    ['beside a second one', Buffer.concat([framed(some), framed(some)]), status.UNIMPLEMENTED],
    ['that says it is endless', Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), status.RESOURCE_EXHAUSTED],
  ])('%s is refused', async (_what, bytes, code) => {
    const session = open();

    const answer = await sent(session, 'Repeat', bytes);
    session.close();

    expect(answer.code).toBe(code);
  });

  test('may come in many parts, and the end by itself', async () => {
    const session = open();
    const stream = session.request(headersFor('Repeat'));
    const answer = answerOf(stream);
    for (const byte of framed(some)) stream.write(Buffer.from([byte]));
    await new Promise(setImmediate);
    stream.end();

    expect((await answer).code).toBe(status.OK);
    session.close();
  });

  test('in very many small parts is refused, though the client has not said all', async () => {
    const session = open();
    const stream = session.request(headersFor('Echo'));
    const answer = answerOf(stream);
    stream.write(framed(Buffer.alloc(100_000)).subarray(0, 5));
    for (let part = 0; part < 3_000 && !stream.closed; part += 1) {
      await new Promise((done) => {
        stream.write(Buffer.from([0]), done);
      });
    }

    expect(await answer).toMatchObject({ code: status.INVALID_ARGUMENT, reset: 0 });
    session.close();
    await expectServed();
  });

  test('that is refused at its beginning ends the call, though the client has not said all', async () => {
    const session = open();
    const stream = session.request(headersFor('Echo'));
    const answer = answerOf(stream);
    stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));

    expect(await answer).toMatchObject({ code: status.RESOURCE_EXHAUSTED, reset: 0, isHeadersOnly: true });
    session.close();
  });

  test.each([
    ['none', Buffer.alloc(0), status.UNIMPLEMENTED],
    ['two', Buffer.concat([framed(Buffer.alloc(0)), framed(Buffer.alloc(0))]), status.UNIMPLEMENTED],
    ['half a one', framed(Buffer.alloc(9)).subarray(0, 8), status.INVALID_ARGUMENT],
  ])('is what begins a stream, and not %s', async (_what, bytes, code) => {
    const session = open();

    expect((await sent(session, 'Listen', bytes)).code).toBe(code);
    session.close();
  });

  test('in a conversation that is none ends it, after what was said before', async () => {
    const session = open();
    const stream = session.request(headersFor('Talk'));
    const answer = answerOf(stream);
    const heard = once(stream, 'data');
    stream.write(framed(Buffer.from([0x0a, 0x01, 0x78])));
    await heard;
    stream.write(framed(Buffer.from([0x0a, 0xff, 0x01])));

    expect(await answer).toMatchObject({ code: status.INVALID_ARGUMENT, reset: 0, isHeadersOnly: false });
    session.close();
  });

  test('of any bytes is understood or refused, and never a bug', async () => {
    const session = open();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      // Nearly right: cut, or with a byte changed.
      fc
        .record({ at: fc.nat(some.length - 1), byte: fc.nat(255), cut: fc.boolean() })
        .map(({ at, byte, cut }) => {
          const changed = Uint8Array.from(some);
          changed[at] = byte;
          return cut ? changed.subarray(0, at) : changed;
        }),
    );

    await fc.assert(
      fc.asyncProperty(bytes, async (message) => {
        const { code } = await sent(session, 'Repeat', framed(message));
        expect([status.OK, status.INVALID_ARGUMENT]).toContain(code);
      }),
      { numRuns: 200 },
    );
    session.close();
    await expectServed();
  });

  test('that comes too slowly ends its call', async () => {
    const session = open();
    const begun = session.request(headersFor('Echo'));
    const silent = session.request(headersFor('Echo'));
    begun.write(framed(Buffer.alloc(100)).subarray(0, 20));

    const answers = await Promise.all([answerOf(begun), answerOf(silent)]);
    session.close();

    expect(answers.map(({ code }) => code)).toEqual([status.DEADLINE_EXCEEDED, status.DEADLINE_EXCEEDED]);
  });
});

describe('A call', () => {
  test.each([
    ['gRPC-Web', 'application/grpc-web+proto'],
    ['Connect', 'application/proto'],
    ['JSON', 'application/json'],
    ['JSON in frames of gRPC', 'application/grpc+json'],
  ])('of another protocol is refused: %s', async (_name, contentType) => {
    const session = open();

    const answer = await sent(session, 'Echo', framed(Buffer.alloc(0)), { 'content-type': contentType });
    session.close();

    expect(answer.status).toBe(415);
  });

  test('is a POST', async () => {
    const session = open();

    expect((await sent(session, 'Echo', framed(Buffer.alloc(0)), { ':method': 'PUT' })).status).toBe(405);
    session.close();
  });

  test('that says its messages are compressed is refused', async () => {
    const session = open();

    const answer = await sent(session, 'Echo', framed(Buffer.alloc(0)), { 'grpc-encoding': 'gzip' });

    expect(answer).toMatchObject({ status: 200, code: status.UNIMPLEMENTED });
    session.close();
  });

  test.each(['', '10', '10X', '-1S', '1.5S', '123456789S'])(
    'that says "%s" is the time it has is refused',
    async (timeout) => {
      const session = open();

      const answer = await sent(session, 'Echo', framed(Buffer.alloc(0)), { 'grpc-timeout': timeout });

      expect(answer).toMatchObject({ status: 200, code: status.INVALID_ARGUMENT, isHeadersOnly: true });
      session.close();
    },
  );

  test('that has all the time in the world is answered', async () => {
    const session = open();

    const answer = await sent(session, 'Echo', framed(Buffer.from([0x0a, 0x01, 0x78])), {
      'grpc-timeout': '99999999H',
    });

    expect(answer).toMatchObject({ status: 200, code: status.OK, isHeadersOnly: false });
    session.close();
  });

  const waitFor = (id: string) =>
    framed(Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(id)]), Buffer.from(id)]));

  test('whose time is over is ended here, though its client waits', async () => {
    const session = open();
    const watch = { ':path': '/grpc.health.v1.Health/Watch' };

    const answers = await Promise.all([
      sent(session, 'WaitForSignal', waitFor('late'), { 'grpc-timeout': '100m' }),
      sent(session, 'WaitForSignal', waitFor('too late'), { 'grpc-timeout': '1n' }),
      sent(session, '', framed(Buffer.alloc(0)), { ...watch, 'grpc-timeout': '100000u' }),
      answerOf(session.request(headersFor('Talk', { 'grpc-timeout': '100m' }))),
    ]);
    await moments.seen('late aborted');
    await moments.seen('conversation ended');

    expect(answers.map(({ code }) => code)).toEqual(answers.map(() => status.DEADLINE_EXCEEDED));
    expect(moments.hasHappened('too late started')).toBe(false);
    session.close();
  });

  test('whose connection breaks is stopped', async () => {
    const session = open();
    const stream = session.request(headersFor('WaitForSignal'));
    stream.on('error', () => {});
    stream.end(waitFor('broken'));
    await moments.seen('broken started');

    session.destroy();

    expect(await moments.seen('broken aborted')).toBeUndefined();
  });

  test.each([
    ['of another site', { ':authority': 'evil.example' }],
    ['of a page of another site', { origin: 'https://evil.example' }],
  ])('%s is refused', async (_what, more) => {
    const session = open();

    const answer = await sent(session, 'Echo', framed(Buffer.alloc(0)), more);
    session.close();

    expect(answer.status).toBe(403);
  });

  test('over HTTP/1.1 is none', async () => {
    const headers = { 'content-type': 'application/grpc', authorization: `Bearer ${served.token}` };

    const response = await overHttp1(`/${wire}/Echo`, headers, framed(Buffer.alloc(0)));

    expect(response.status).toBe(404);
  });

  test('with headers that are too long, or too many, is refused', async () => {
    const session = open();

    const long = await sent(session, 'Echo', Buffer.alloc(0), { padding: 'x'.repeat(20_000) });
    const many = await sent(
      session,
      'Echo',
      Buffer.alloc(0),
      Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`h${n}`, 'x'])),
    );
    session.destroy();

    expect([long.code, many.code]).toEqual([undefined, undefined]);
    expect(long.reset).not.toBe(0);
    await expectServed();
  });

  test('beyond a hundred on a connection is refused, and those there go on', async () => {
    const session = open();
    await once(session, 'remoteSettings');
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);

    const talks = Array.from({ length: 99 }, () => session.request(headersFor('Talk')));
    for (const talk of talks) talk.on('error', () => {});
    const echoed = await sent(session, 'Echo', framed(Buffer.from([0x0a, 0x01, 0x78])));
    session.destroy();

    expect(echoed.code).toBe(status.OK);
  });
});

describe('A client', () => {
  test('that opens calls and resets them without end is cut off', async () => {
    const session = open();
    const ended = closed(session);
    for (let n = 0; n < 20_000 && !session.closed && !session.destroyed; n += 1) {
      const stream = session.request(headersFor('Echo'));
      stream.on('error', () => {});
      stream.close(constants.NGHTTP2_CANCEL);
      if (n % 50 === 0) await new Promise(setImmediate);
    }

    await ended;
    expect(session.destroyed).toBe(true);
    await expectServed();
  });

  /** One that speaks the frames itself. */
  async function raw(frames: () => Buffer): Promise<boolean> {
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    while (!socket.destroyed) {
      const isFull = !socket.write(frames());
      await new Promise((done) => {
        if (!isFull) setImmediate(done);
        else socket.once('drain', done).once('close', done);
      });
    }
    return socket.destroyed;
  }

  const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const repeated = (frame: Buffer) => Buffer.concat(Array<Buffer>(200).fill(frame));

  test.each([
    ['pings', ping],
    ['settings', settings],
  ])('that sends %s without end is cut off', async (_what, frame) => {
    expect(await raw(() => repeated(frame))).toBe(true);
    await expectServed();
  });

  test('that never ends its headers is cut off', async () => {
    let isFirst = true;
    const frames = () => {
      // HEADERS without END_HEADERS, then CONTINUATION after CONTINUATION.
      const type = isFirst ? 1 : 9;
      isFirst = false;
      return Buffer.concat([Buffer.from([0, 0, 100, type, 0, 0, 0, 0, 1]), Buffer.alloc(100, 0x40)]);
    };

    expect(await raw(frames)).toBe(true);
    await expectServed();
  });

  test('that says nothing and asks for nothing is cut off', async () => {
    const session = open();
    await once(session, 'connect');

    await closed(session);

    expect(session.destroyed).toBe(true);
  });

  test('that listens in silence is not', async () => {
    using patient = grpcClient(served, wire);
    const talk = patient.talk('Talk');
    const told: unknown[] = [];
    talk.on('data', (message) => told.push(message));
    talk.write({ say: 'one' });
    await vi.waitFor(() => expect(told).toHaveLength(1));

    await new Promise((done) => {
      setTimeout(done, 3 * impatient.idleMs);
    });
    talk.write({ say: 'two' });

    await vi.waitFor(() => expect(told).toHaveLength(2));
    talk.end();
  });
});

describe('A stream that nobody reads', () => {
  test('is filled no further, keeps nobody waiting, and is cut off in the end', async () => {
    const session = open();
    const listen = protos.getMessage('flotilla.test.v1.ListenRequest') as DescMessage;
    const wish = toBinary(listen, create(listen, { count: 100_000, sizeBytes: 20_000 }));
    const stream = session.request(headersFor('Listen'));
    stream.on('error', () => {});
    stream.end(framed(wish));
    await moments.seen('sent 2');

    await expectServed();
    await moments.seen('listening ended');

    // Of two gigabytes, as many as are on their way at once.
    expect(moments.hasHappened('sent 100')).toBe(false);
    await closed(stream.resume());
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    await expectServed();
    session.close();
  });

  async function cutOffs(): Promise<number> {
    const { text: metrics } = await overHttp1('/metrics');
    return Number(/requests_refused_total\{[^}]*busy[^}]*\} (\d+)/.exec(metrics)?.[1] ?? 0);
  }

  test('counts among what its token has open, as far as it is not read', async () => {
    await using patient = await serve(grpcService().service);
    const session = connectHttp2(patient.url, { settings: { initialWindowSize: 0 } });
    session.on('error', () => {});
    const much = protos.getMessage('flotilla.test.v1.SayMuchRequest') as DescMessage;
    const wish = framed(toBinary(much, create(much, { sizeBytes: 4_300_000 })));
    async function codeOf(): Promise<number> {
      const stream = session.request(headersFor('SayMuch', { authorization: `Bearer ${patient.token}` }));
      stream.on('error', () => {});
      stream.end(wish);
      const [headers] = (await once(stream, 'response')) as [Record<string, string>];
      return Number(headers['grpc-status'] ?? 0);
    }

    const codes: number[] = [];
    while (codes.length < 20 && codes.at(-1) !== status.UNAVAILABLE) codes.push(await codeOf());

    // As long as there are sixteen, they are not added up.
    expect(codes).toHaveLength(17);
    session.destroy();
  });

  test('is cut off too when it is the answer of one call', async () => {
    const before = await cutOffs();
    const session = open();
    const much = protos.getMessage('flotilla.test.v1.SayMuchRequest') as DescMessage;
    const wish = toBinary(much, create(much, { sizeBytes: 8_000_000 }));
    const stream = session.request(headersFor('SayMuch'));
    stream.on('error', () => {});
    stream.end(framed(wish));

    await once(stream, 'response');
    await vi.waitFor(async () => expect(await cutOffs()).toBe(before + 1), 10_000);
    await closed(stream.resume());

    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    session.close();
  });
});
