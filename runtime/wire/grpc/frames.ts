/**
 * The messages of a request before they are decoded: each is read whole, within a time and a size.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import type { ServerHttp2Stream } from 'node:http2';

import { ToolError } from '../../errors.ts';
import type { Room } from '../loads.ts';
import { notImplemented } from './status.ts';

/** A flag, and the length. */
const prefixBytes = 5;
/** A message may come in so many parts whatever their size, and in more if they are not small: each costs as much as a large one. */
const fewParts = 1_000;
const smallPartBytes = 256;

export interface Reading {
  readonly maxBytes: number;
  /** For the whole of one message, from its first byte; of a call that has one alone, from the beginning. */
  readonly slowMs: number;
  readonly room: Room;
}

/** What came of messages that were not taken yet. */
class Parts {
  readonly #reading: Reading;
  #parts: Buffer[] = [];
  #receivedBytes = 0;
  #wantedBytes = prefixBytes;
  #count = 0;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  get isEmpty(): boolean {
    return this.#receivedBytes === 0;
  }

  /** @throws ToolError for what takes too much room, or work. */
  add(part: Buffer): void {
    this.#parts.push(part);
    this.#count += 1;
    this.#receivedBytes += part.length;
    if (this.#count > fewParts && this.#receivedBytes < this.#count * smallPartBytes) {
      throw new ToolError('invalid_input', 'The message comes in very many small parts.', {
        hint: 'Send it at once.',
      });
    }
    if (!this.#reading.room.resize(this.#receivedBytes)) {
      throw new ToolError('unavailable', 'The token has too much open here.', {
        hint: 'Read the answers, and try again.',
        retryAfterMs: 1_000,
      });
    }
  }

  /** The next message, when it is whole. @throws ToolError for one that is not taken. */
  take(): Buffer | undefined {
    if (this.#receivedBytes < this.#wantedBytes) return undefined;
    const [first] = this.#parts;
    const all = first && this.#parts.length === 1 ? first : Buffer.concat(this.#parts);
    this.#wantedBytes = prefixBytes + lengthOf(all, this.#reading.maxBytes);
    const message = all.length < this.#wantedBytes ? undefined : all.subarray(prefixBytes, this.#wantedBytes);
    const rest = message ? all.subarray(this.#wantedBytes) : all;
    this.#parts = rest.length > 0 ? [rest] : [];
    this.#receivedBytes = rest.length;
    if (message) {
      this.#wantedBytes = prefixBytes;
      this.#count = 0;
    }
    return message;
  }

  /** At the end of the request. @throws ToolError where something is left. */
  requireEmpty(): void {
    if (!this.isEmpty) throw new ToolError('invalid_input', 'The message ends before it is whole.');
  }
}

/** @throws ToolError for a message that is packed, or too long. */
function lengthOf(bytes: Buffer, maxBytes: number): number {
  if (bytes[0] !== 0) {
    throw new ToolError('invalid_input', 'The message must not be compressed.', {
      hint: 'Leave grpc-encoding out.',
    });
  }
  const length = bytes.readUInt32BE(1);
  if (length > maxBytes) {
    throw new ToolError('too_large', `The message is longer than ${maxBytes} bytes.`, {
      hint: 'Send less at once.',
    });
  }
  return length;
}

/** Reads a request that has one message, to its end. Of one that breaks off nothing is told. */
export function readOnly(
  stream: ServerHttp2Stream,
  reading: Reading,
  done: (message: Buffer) => void,
  fail: (error: unknown) => void,
): void {
  const parts = new Parts(reading);
  let message: Buffer | undefined;
  const stop = () => {
    clearTimeout(slow);
    // What else comes is thrown away.
    stream.off('data', add).off('end', end).off('close', stop).resume();
  };
  const refuse = (error: unknown) => {
    stop();
    fail(error);
  };
  const slow = setTimeout(() => refuse(tooSlow(reading.slowMs)), reading.slowMs);
  const add = (part: Buffer) => {
    try {
      parts.add(part);
      message ??= parts.take();
      if (message && !parts.isEmpty) refuse(notImplemented('The method takes one message, and no more.'));
    } catch (error) {
      refuse(error);
    }
  };
  const end = () => {
    stop();
    try {
      parts.requireEmpty();
      if (!message) throw notImplemented('The method takes a message, and there is none.');
      done(message);
    } catch (error) {
      fail(error);
    }
  };
  stream.on('data', add).on('end', end).on('close', stop);
}

/** One message after the other. @throws ToolError for what is not taken. */
export async function* messagesOf(stream: ServerHttp2Stream, reading: Reading): AsyncGenerator<Buffer> {
  const parts = new Parts(reading);
  const coming = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  for (;;) {
    let message: Buffer | undefined;
    using slow = patience(reading.slowMs);
    while (!(message = parts.take())) {
      // oxlint-disable-next-line no-await-in-loop -- one part after the other
      const part = await (parts.isEmpty ? coming.next() : Promise.race([coming.next(), slow.over()]));
      if (part.done) {
        parts.requireEmpty();
        return;
      }
      parts.add(part.value);
    }
    yield message;
  }
}

/** Begins with the first wait. */
function patience(slowMs: number): Disposable & { over(): Promise<never> } {
  let timer: NodeJS.Timeout | undefined;
  let late: Promise<never> | undefined;
  return {
    async over() {
      late ??= new Promise((_done, fail) => {
        timer = setTimeout(() => fail(tooSlow(slowMs)), slowMs);
      });
      return late;
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

const tooSlow = (slowMs: number) =>
  new ToolError('timeout', `The message was not sent to its end within ${Math.ceil(slowMs) / 1_000} s.`, {
    hint: 'Send it at once.',
  });

/** A message as it is sent. */
export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(prefixBytes + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, prefixBytes);
  return bytes;
}
