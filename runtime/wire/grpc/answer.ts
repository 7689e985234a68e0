/**
 * The answer of a call, on its stream of HTTP/2: headers, messages, and a status in the trailers.
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { constants, type ServerHttp2Stream } from 'node:http2';

import type { Trace } from '../../account/trace.ts';
import { framed } from './frames.ts';
import { trailersOf, type GrpcError } from './status.ts';

/** What is written at once: so much has to be read before the time is over that one who does not read is given. */
const pieceBytes = 65_536;

type Headers = Readonly<Record<string, string>>;

export class Answer {
  readonly stream: ServerHttp2Stream;
  /** In the trailers of every answer. */
  readonly #always: Headers;
  readonly #idleMs: number;
  readonly #unread: () => void;
  #timer: NodeJS.Timeout | undefined;
  #unwrittenBytes = 0;

  /** @param unread called when the client has read nothing for `idleMs`. */
  constructor(
    stream: ServerHttp2Stream,
    { traceparent }: Pick<Trace, 'traceparent'>,
    idleMs: number,
    unread: () => void,
  ) {
    this.stream = stream;
    this.#always = { traceparent };
    this.#idleMs = idleMs;
    this.#unread = unread;
    stream.once('close', () => clearTimeout(this.#timer));
  }

  /** What the client has not read. */
  get writableLength(): number {
    return this.stream.writableLength + this.#unwrittenBytes;
  }

  /** One message, and the end. */
  async only(message: Uint8Array, headers: Headers): Promise<void> {
    if (this.#isOver) return;
    this.#begin(headers);
    const bytes = framed(message);
    if (bytes.length <= pieceBytes) {
      this.#finish(ok, bytes);
    } else {
      await this.#write(bytes);
      this.end();
    }
  }

  /** One of many messages. Ends when the client has room for more, or is gone. */
  async say(message: Uint8Array): Promise<void> {
    if (this.#isOver) return;
    if (!this.stream.headersSent) this.#begin({});
    await this.#write(framed(message));
  }

  /** After what was said. */
  end(): void {
    if (this.#isOver) return;
    if (!this.stream.headersSent) this.#begin({});
    this.#finish(ok);
  }

  /** Where nothing was said, the headers are the trailers too. */
  fail(error: GrpcError): void {
    const { stream } = this;
    if (this.#isOver) return;
    if (stream.headersSent) {
      this.#finish(trailersOf(error));
      return;
    }
    stream.respond({ ...head, ...trailersOf(error), ...this.#always }, { endStream: true });
    this.#wait();
    this.#hangUp();
  }

  get #isOver(): boolean {
    return this.stream.closed || this.stream.writableEnded;
  }

  #begin(headers: Headers): void {
    this.stream.respond({ ...head, ...headers }, { waitForTrailers: true });
  }

  async #write(bytes: Buffer): Promise<void> {
    const { stream } = this;
    for (let at = 0; at < bytes.length && !this.#isOver; at += pieceBytes) {
      this.#unwrittenBytes = Math.max(0, bytes.length - at - pieceBytes);
      if (stream.write(bytes.subarray(at, at + pieceBytes))) continue;
      this.#wait();
      // oxlint-disable-next-line no-await-in-loop -- the next piece is for who has read this one
      await new Promise<void>((resolve) => {
        const ready = () => {
          stream.off('drain', ready).off('close', ready);
          resolve();
        };
        stream.on('drain', ready).on('close', ready);
      });
      clearTimeout(this.#timer);
    }
  }

  #finish(trailers: Headers, last?: Buffer): void {
    const { stream } = this;
    stream.once('wantTrailers', () => {
      stream.sendTrailers({ ...trailers, ...this.#always });
      this.#hangUp();
    });
    this.#wait();
    stream.end(last);
  }

  /** A client that has not said all is told that nobody listens: after what was said to it, which Node sends in its next immediate. */
  #hangUp(): void {
    const { stream } = this;
    if (!stream.readableEnded) setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#unread, this.#idleMs);
  }
}

const ok = { 'grpc-status': '0' };
const head = {
  ':status': 200,
  'content-type': 'application/grpc+proto',
  'grpc-accept-encoding': 'identity',
};
