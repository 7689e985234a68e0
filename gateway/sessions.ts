/**
 * Sessions of the older revisions at services that keep them, because they ask a client back in mid-call. A session at the
 * gateway gets one at such a service with its first call there, begun with the same words as the client began its own.
 */
import { version } from '#runtime/process/version.ts';

import { LineError } from './line.ts';
import type { Upstream } from './upstream.ts';

/** What clients said when they began, if it is not too long. */
const mostBegun = 10_000;
const longestBeginning = 16_384;
/** Sessions at services, of all clients. */
const mostOpen = 1_000;
const askMs = 10_000;
const mostAnswerBytes = 1024 * 1024;

interface Begun {
  readonly owner: string;
  readonly params: string;
  level: unknown;
}

interface Open {
  readonly owner: string;
  readonly upstream: Upstream;
  readonly id: Promise<string>;
  hasBegun: boolean;
}

/** Where there are too many, the owner of most of them loses the oldest: nobody pushes out what is another's. */
export class Shared<Value extends { readonly owner: string }> {
  readonly #most: number;
  /** The newest last. */
  readonly #values = new Map<string, Value>();
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  /** As the newest. */
  set(key: string, value: Value): void {
    this.delete(key);
    this.#values.set(key, value);
    this.#counts.set(value.owner, (this.#counts.get(value.owner) ?? 0) + 1);
    if (this.#values.size <= this.#most) return;
    let [first, most] = ['', 0];
    for (const [owner, count] of this.#counts) if (count > most) [first, most] = [owner, count];
    for (const [oldest, { owner }] of this.#values) {
      if (owner !== first) continue;
      this.delete(oldest);
      return;
    }
  }

  delete(key: string): void {
    const value = this.#values.get(key);
    if (!value) return;
    this.#values.delete(key);
    const left = (this.#counts.get(value.owner) ?? 1) - 1;
    if (left > 0) this.#counts.set(value.owner, left);
    else this.#counts.delete(value.owner);
  }

  [Symbol.iterator](): Iterator<[string, Value]> {
    return this.#values[Symbol.iterator]();
  }
}

export class UpstreamSessions {
  readonly #begun = new Shared<Begun>(mostBegun);
  /** By session and service, who was used last at the end. */
  readonly #open = new Shared<Open>(mostOpen);

  begin(session: string, tokenHash: string, params: unknown): void {
    const text = JSON.stringify(params ?? {});
    if (text.length > longestBeginning) return;
    this.#begun.set(session, { owner: tokenHash, params: text, level: undefined });
  }

  /** What the client can do, as it said when it began. */
  capabilitiesOf(session: string): unknown {
    const { params = '{}' } = this.#begun.get(session) ?? {};
    return (JSON.parse(params) as { readonly capabilities?: unknown }).capabilities;
  }

  /** The headers for a message of this session there. @throws LineError */
  async headers(session: string, upstream: Upstream, tokenHash: string): Promise<readonly string[]> {
    const key = `${session} ${upstream.name}`;
    const open = this.#open.get(key) ?? {
      owner: tokenHash,
      upstream,
      id: this.#start(session, upstream, tokenHash),
      hasBegun: false,
    };
    this.#open.set(key, open);
    try {
      const id = await open.id;
      open.hasBegun = true;
      return ['mcp-session-id', id];
    } catch (error) {
      this.#open.delete(key);
      throw error;
    }
  }

  /**
   * Hands a message without an answer of its own to each service where the session has one: only one of them knows it. Where it has
   * not begun yet, nothing can be meant.
   */
  async tell(session: string, tokenHash: string, body: Buffer): Promise<void> {
    await this.#tell(session, tokenHash, body, ({ hasBegun }) => hasBegun);
  }

  async #tell(session: string, tokenHash: string, body: Buffer, isMeant: (open: Open) => boolean) {
    const own = [...this.#open].filter(([key, open]) => key.startsWith(`${session} `) && isMeant(open));
    await Promise.allSettled(
      own.map(async ([, { upstream, id }]) =>
        upstream.line.ask(headersOf(upstream, tokenHash, await id), body.toString(), {
          timeoutMs: askMs,
          maxBytes: mostAnswerBytes,
        }),
      ),
    );
  }

  /** How much the session wants to hear; those that begin later are told as well. */
  async setLevel(session: string, tokenHash: string, level: unknown, body: Buffer): Promise<void> {
    const begun = this.#begun.get(session);
    if (begun) begun.level = level;
    await this.#tell(session, tokenHash, body, () => true);
  }

  async #start(session: string, upstream: Upstream, tokenHash: string): Promise<string> {
    const { params = '{}', level } = this.#begun.get(session) ?? {};
    const said = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'flotilla-gateway', version },
      ...(JSON.parse(params) as object),
    };
    const post = async (message: object, id?: string) =>
      upstream.line.ask(headersOf(upstream, tokenHash, id), JSON.stringify({ jsonrpc: '2.0', ...message }), {
        timeoutMs: askMs,
        maxBytes: mostAnswerBytes,
      });
    const { headers, status } = await post({ id: 0, method: 'initialize', params: said });
    const id = headers['mcp-session-id'];
    if (typeof id !== 'string')
      throw new LineError(`it begins no session, and answers with status ${status}`, true);
    await post({ method: 'notifications/initialized' }, id);
    if (level !== undefined) await post({ id: 1, method: 'logging/setLevel', params: { level } }, id);
    return id;
  }
}

function headersOf(upstream: Upstream, tokenHash: string, id: string | undefined): string[] {
  return [
    'content-type',
    'application/json',
    'accept',
    'application/json, text/event-stream',
    'authorization',
    `Bearer ${upstream.authorization(tokenHash)}`,
    ...(id === undefined ? [] : ['mcp-session-id', id]),
  ];
}
