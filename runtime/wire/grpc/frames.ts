/**
 * The messages of a request before they are decoded: each is read whole, within a time and a size, looked over, and handed on when it is
 * its caller's turn. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import type { DescMessage } from '@bufbuild/protobuf';

import { ToolError } from '../../errors.ts';
import { takeTurn } from '../../turns.ts';
import type { Room } from '../loads.ts';
import { scan } from './scan.ts';

/** A flag, and the length. */
const prefixBytes = 5;
/** A longer message is looked over in a turn of its own. */
const bytesAtOnce = 100_000;

export interface Reading {
  readonly desc: DescMessage;
  readonly maxBytes: number;
  /** For the whole of one message, from its first byte; of a call that has one alone, from the beginning. */
  readonly slowMs: number;
  readonly isSingle: boolean;
  readonly caller: string;
  readonly room: Room;
  /** Told how long a message is. */
  readonly came: (bytes: number) => void;
}

/** One message after the other, each with its prefix. @throws ToolError for what is not taken. */
export async function* wholeMessages(
  body: AsyncIterable<Buffer>,
  reading: Reading,
): AsyncGenerator<Uint8Array> {
  const { desc, caller, came } = reading;
  const parts = body[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  for (;;) {
    const message = await readMessage(parts, rest, reading);
    if (!message) return;
    const { bytes } = message;
    ({ rest } = message);
    const isLong = bytes.length > bytesAtOnce;
    if (isLong) await turn(caller, isLong);
    await turn(caller, isLong);
    scan(desc, bytes.subarray(prefixBytes));
    if (isLong) await turn(caller, isLong);
    came(bytes.length - prefixBytes);
    yield bytes;
  }
}

const turn = async (caller: string, isLong: boolean) =>
  new Promise<void>((resolve) => {
    takeTurn(caller, resolve, isLong);
  });

interface Read {
  readonly bytes: Buffer;
  /** What came of the next. */
  readonly rest: Buffer;
}

async function readMessage(
  parts: AsyncIterator<Buffer>,
  begun: Buffer,
  { maxBytes, slowMs, isSingle, room }: Reading,
): Promise<Read | undefined> {
  const chunks: Buffer[] = begun.length > 0 ? [begun] : [];
  let received = begun.length;
  let expected = prefixBytes;
  using slow = patience(slowMs);
  for (;;) {
    if (received >= expected) {
      const [first = begun] = chunks;
      const all = chunks.length === 1 ? first : Buffer.concat(chunks);
      if (expected === prefixBytes) expected += lengthOf(all, maxBytes);
      if (received >= expected) return { bytes: all.subarray(0, expected), rest: all.subarray(expected) };
      chunks.splice(0, chunks.length, all);
    }
    const part = await (received > 0 || isSingle ? Promise.race([parts.next(), slow.over()]) : parts.next());
    if (part.done) {
      if (received === 0) return undefined;
      throw new ToolError('invalid_input', 'The message ends before it is whole.');
    }
    chunks.push(part.value);
    received += part.value.length;
    if (!room.resize(received)) {
      throw new ToolError('unavailable', 'The token has too much open here.', {
        hint: 'Read the answers, and try again.',
        retryAfterMs: 1_000,
      });
    }
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
  new ToolError('timeout', `The message was not sent to its end within ${slowMs / 1_000} s.`, {
    hint: 'Send it at once.',
  });
