/**
 * What changes on the pages, and who is told of it: each page is rendered once a second for all who look at it, and they are sent the
 * pieces that are not what they have. Nobody looks, and nothing is done.
 */
import { randomBytes } from 'node:crypto';

/** A page of one process, or of all of them for an empty name. */
export interface Rendered {
  readonly pieces: ReadonlyMap<string, string>;
  readonly polledAt: string | null;
}

interface Options {
  readonly render: (about: string) => Promise<Rendered>;
  readonly isAlive: (tokenHash: string) => boolean;
  readonly now: () => number;
  readonly failed: (error: unknown) => void;
  readonly intervalMs?: number;
  readonly mostStreams?: number;
  readonly mostPerToken?: number;
}

interface Piece {
  readonly contents: string;
  readonly meaning: string;
  readonly version: number;
}

interface State {
  version: number;
  readonly pieces: Map<string, Piece>;
}

interface Stream {
  readonly about: string;
  readonly tokenHash: string;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** The version of what it has. */
  has: number;
  beatMs: number;
}

const heartbeatMs = 15_000;
const retryMs = 2_000;
/** What may wait for a browser that reads slowly, before it is let go. */
const mostWaitingBytes = 1024 * 1024;

/** How long ago something was is the browser's to count: only what it counts from makes a difference. */
const meaningOf = (contents: string) => contents.replaceAll(/(<time datetime="[^"]*">)[^<]*/g, '$1');

export class Board implements Disposable {
  readonly #options: Options;
  /** Tells this process's versions from those of the one before. */
  readonly #boot = randomBytes(6).toString('hex');
  readonly #states = new Map<string, State>();
  readonly #streams = new Set<Stream>();
  #timer: NodeJS.Timeout | undefined;
  #isTicking = false;
  #isEnding = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Takes the pieces of a page as they are now. @returns how far it is, for a stream to go on from. */
  take(about: string, pieces: ReadonlyMap<string, string>): string {
    const state = this.#states.get(about) ?? { version: 0, pieces: new Map<string, Piece>() };
    this.#states.set(about, state);
    const version = state.version + 1;
    for (const [name, contents] of pieces) {
      const meaning = meaningOf(contents);
      if (state.pieces.get(name)?.meaning === meaning) continue;
      state.pieces.set(name, { contents, meaning, version });
      state.version = version;
    }
    return `${this.#boot}.${state.version}`;
  }

  /** @returns `undefined` when too many look already, all together or by this token. */
  async open(about: string, mark: string, tokenHash: string): Promise<Response | undefined> {
    const { mostStreams = 64, mostPerToken = 16 } = this.#options;
    const own = [...this.#streams].filter((stream) => stream.tokenHash === tokenHash);
    if (this.#isEnding || this.#streams.size >= mostStreams || own.length >= mostPerToken) return undefined;
    const [boot, version] = mark.split('.', 2);
    const has = boot === this.#boot && /^\d{1,15}$/.test(version ?? '') ? Number(version) : 0;
    let stream: Stream | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          stream = { about, tokenHash, controller, has, beatMs: this.#options.now() };
          this.#streams.add(stream);
          send(stream, `retry: ${retryMs}\n\n`);
        },
        cancel: () => {
          if (stream) this.#forget(stream);
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: mostWaitingBytes }),
    );
    this.#timer ??= setInterval(() => void this.#tick(), this.#options.intervalMs ?? 1_000);
    if (stream) await this.#updateSafely([stream]);
    return new Response(body, {
      headers: {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store, no-transform',
        'x-accel-buffering': 'no',
      },
    });
  }

  get count(): number {
    return this.#streams.size;
  }

  /** Before the process stops: nobody would end them else. */
  end(): void {
    this.#isEnding = true;
    for (const stream of this.#streams) this.#close(stream);
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return;
    this.#isTicking = true;
    try {
      const byPage = Map.groupBy(this.#streams, ({ about }) => about);
      await Promise.all([...byPage.values()].map(async (streams) => this.#updateSafely(streams)));
    } finally {
      this.#isTicking = false;
    }
  }

  /** A page that cannot be made is missed by those who look at it, and ends nothing else. */
  async #updateSafely(streams: readonly Stream[]): Promise<void> {
    try {
      await this.#update(streams);
    } catch (error) {
      this.#options.failed(error);
    }
  }

  /** All of them look at the same page. */
  async #update(streams: readonly Stream[]): Promise<void> {
    const { render, isAlive, now } = this.#options;
    for (const stream of streams) if (!isAlive(stream.tokenHash)) this.#close(stream);
    const about = streams[0]?.about ?? '';
    const { pieces, polledAt } = await render(about);
    const mark = this.take(about, pieces);
    const state = this.#states.get(about);
    for (const stream of streams) {
      if (!this.#streams.has(stream) || !state) continue;
      const nowMs = now();
      const news = [...state.pieces].filter(([, { version }]) => version > stream.has);
      if (news.length > 0) {
        const contents = Object.fromEntries(news.map(([name, piece]) => [name, piece.contents]));
        send(stream, `event: pieces\nid: ${mark}\ndata: ${JSON.stringify(contents)}\n\n`);
        stream.has = state.version;
      }
      const polledMs = polledAt === null ? 0 : Date.parse(polledAt);
      send(stream, `event: polled\ndata: ${JSON.stringify({ nowMs, polledMs })}\n\n`);
      if (Math.abs(nowMs - stream.beatMs) >= heartbeatMs) {
        send(stream, ': still here\n\n');
        stream.beatMs = nowMs;
      }
      // It has not read for long; it may come back.
      if ((stream.controller.desiredSize ?? 0) <= 0) this.#close(stream);
    }
  }

  #close(stream: Stream): void {
    this.#forget(stream);
    try {
      stream.controller.close();
    } catch {
      // It was cancelled meanwhile.
    }
  }

  #forget(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

const encoder = new TextEncoder();

function send({ controller }: Stream, text: string): void {
  controller.enqueue(encoder.encode(text));
}
