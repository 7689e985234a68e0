/**
 * Brings alerts to webhooks: one message after the other to each, kept on disk until it was taken, tried again with growing
 * delays. An address may be a secret: it is in the settings alone, never on disk, in a log or in an answer.
 */
import { createHash, createHmac, randomUUID } from 'node:crypto';

import type { Log } from '#runtime/account/log.ts';

import type { News } from './alerts.ts';
import type { AlertStore } from './alert-store.ts';
import { shown } from './evidence.ts';
import { bodyFor, messageOf, type Message, type WebhookKind } from './messages.ts';

export interface Webhook {
  readonly kind: WebhookKind;
  readonly url: string;
  /** Sent as a bearer token. */
  readonly token?: string | undefined;
  /** Signs the body (HMAC with SHA-256). */
  readonly secret?: string | undefined;
}

const deadlineMs = 10_000;
/** As much of an answer is read; the rest is left. */
const mostAnswerBytes = 1_024;
const firstDelayMs = 5_000;
const longestDelayMs = 15 * 60_000;
const longestRetryAfterMs = 3_600_000;
/** What nobody took for so long is no news any more. */
const giveUpAfterMs = 24 * 3_600_000;
/** Of each webhook; the oldest go first. */
const mostWaiting = 500;

interface Entry {
  readonly message: Message;
  attempts: number;
  nextMs: number;
  failure: string | null;
}

interface Line {
  readonly webhook: Webhook;
  /** Names it to people: `slack 1`. */
  readonly name: string;
  /** Names it on disk. */
  readonly key: string;
  readonly entries: Entry[];
  delivered: number;
  dropped: number;
  lastDeliveredMs: number | null;
  lastFailure: string | null;
  timer: NodeJS.Timeout | undefined;
  sending: Promise<void> | undefined;
}

export interface LineState {
  readonly name: string;
  readonly kind: WebhookKind;
  /** Of its address only the host. */
  readonly host: string;
  readonly waiting: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly lastDeliveredAt: string | null;
  readonly lastFailure: string | null;
}

export interface Answer {
  readonly name: string;
  readonly kind: WebhookKind;
  readonly host: string;
  readonly isTaken: boolean;
  /** In words: how it answered, or why it did not. */
  readonly answer: string;
  readonly tookMs: number;
}

interface Options {
  readonly webhooks: readonly Webhook[];
  readonly store: AlertStore;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly now: () => number;
  /** From 0 up to 1, for the jitter. */
  readonly random?: () => number;
  /** The name of this host, for people. */
  readonly host: string;
  readonly deadlineMs?: number;
  readonly firstDelayMs?: number;
  /** Whether this is a unit, whose network is closed unless it was opened. */
  readonly isUnit: boolean;
}

interface OutboxRow {
  readonly webhook: string;
  readonly message: string;
  readonly attempts: number;
  readonly nextMs: number;
  readonly failure: string | null;
}

export class Webhooks implements AsyncDisposable {
  readonly #options: Options;
  readonly #lines: readonly Line[];
  readonly #stop = new AbortController();

  constructor(options: Options) {
    this.#options = options;
    const { webhooks, store, log } = options;
    const numbers = new Map<string, number>();
    this.#lines = webhooks.map((webhook): Line => {
      const number = (numbers.get(webhook.kind) ?? 0) + 1;
      numbers.set(webhook.kind, number);
      const key = createHash('sha256').update(`${webhook.kind} ${webhook.url}`).digest('hex').slice(0, 16);
      return {
        webhook,
        name: `${webhook.kind} ${number}`,
        key,
        entries: [],
        delivered: this.#tally('delivered', key),
        dropped: this.#tally('dropped', key),
        lastDeliveredMs: null,
        lastFailure: null,
        timer: undefined,
        sending: undefined,
      };
    });
    const rows = store.database
      .prepare<[], OutboxRow>(
        // In the order in which they came: two of one moment have the same time, and a clock may be set back.
        'SELECT webhook, message, attempts, next_ms AS nextMs, failure FROM outbox ORDER BY rowid',
      )
      .all();
    const orphans = rows.filter(({ webhook }) => !this.#lines.some(({ key }) => key === webhook));
    if (orphans.length > 0) {
      log.warn('alert_messages_dropped', {
        count: orphans.length,
        reason: 'their webhook is not set any more',
      });
      const remove = store.database.prepare('DELETE FROM outbox WHERE webhook = ?');
      store.write(
        ...orphans.map(
          ({ webhook }) =>
            () =>
              void remove.run(webhook),
        ),
      );
    }
    for (const { webhook, message, attempts, nextMs, failure } of rows) {
      const line = this.#lines.find(({ key }) => key === webhook);
      line?.entries.push({ message: JSON.parse(message) as Message, attempts, nextMs, failure });
    }
    for (const line of this.#lines) this.#wake(line);
  }

  #tally(name: string, key: string): number {
    return (
      this.#options.store.database
        .prepare<[string], number>('SELECT count FROM tallies WHERE name = ?')
        .pluck()
        .get(`${name} ${key}`) ?? 0
    );
  }

  #count(name: 'delivered' | 'dropped', line: Line): () => void {
    line[name] += 1;
    const count = line[name];
    const put = this.#options.store.database.prepare(
      'INSERT INTO tallies VALUES (?, ?) ON CONFLICT DO UPDATE SET count = excluded.count',
    );
    return () => void put.run(`${name} ${line.key}`, count);
  }

  /** Takes news for every webhook. @returns what keeps it on disk, to be written with the alerts that it is about. */
  readonly tell = (news: News, nowMs: number): readonly (() => void)[] => {
    const { store, host } = this.#options;
    const insert = store.database.prepare('INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)');
    return this.#lines.flatMap((line) => {
      const message = messageOf(news, randomUUID(), host, nowMs);
      line.entries.push({ message, attempts: 0, nextMs: nowMs, failure: null });
      const changes: (() => void)[] = [
        () => void insert.run(message.id, line.key, JSON.stringify(message), nowMs, 0, nowMs, null),
      ];
      // Never the first: it may be under way.
      while (line.entries.length > mostWaiting) changes.push(...this.#drop(line, 1, 'too many wait'));
      setImmediate(() => this.#wake(line));
      return changes;
    });
  };

  #drop(line: Line, index: number, reason: string): readonly (() => void)[] {
    const [entry] = line.entries.splice(index, 1);
    if (!entry) return [];
    this.#options.log.warn('alert_message_dropped', {
      webhook: line.name,
      reason,
      alerts: entry.message.alerts.map(({ id }) => id),
    });
    return [this.#remove(entry), this.#count('dropped', line)];
  }

  #remove({ message }: Entry): () => void {
    const remove = this.#options.store.database.prepare('DELETE FROM outbox WHERE id = ?');
    return () => void remove.run(message.id);
  }

  #wake(line: Line): void {
    if (this.#stop.signal.aborted || line.sending) return;
    clearTimeout(line.timer);
    const [entry] = line.entries;
    if (!entry) return;
    // However the clock jumps, no message waits longer than any is meant to.
    const waitMs = Math.min(entry.nextMs - this.#options.now(), longestRetryAfterMs);
    if (waitMs > 0) {
      line.timer = setTimeout(() => this.#wake(line), waitMs);
      line.timer.unref();
      return;
    }
    line.sending = this.#send(line, entry).finally(() => {
      line.sending = undefined;
      this.#wake(line);
    });
  }

  async #send(line: Line, entry: Entry): Promise<void> {
    const { store, log, now } = this.#options;
    const sent = await this.#post(line, entry.message);
    if (this.#stop.signal.aborted && !sent.isTaken) return; // as it was: the next process tries
    const nowMs = now();
    if (sent.isTaken) {
      line.entries.splice(line.entries.indexOf(entry), 1);
      line.lastDeliveredMs = nowMs;
      line.lastFailure = null;
      store.write(this.#remove(entry), this.#count('delivered', line));
      return;
    }
    line.lastFailure = sent.answer;
    entry.attempts += 1;
    entry.failure = sent.answer;
    if (nowMs - entry.message.atMs > giveUpAfterMs) {
      store.write(
        ...this.#drop(line, line.entries.indexOf(entry), `nobody took it for a day: ${sent.answer}`),
      );
      return;
    }
    entry.nextMs = Math.round(nowMs + Math.max(sent.retryAfterMs, this.#delayMs(entry.attempts)));
    if (entry.attempts === 1)
      log.warn('alert_not_delivered', {
        webhook: line.name,
        host: hostOf(line.webhook),
        reason: sent.answer,
      });
    const update = store.database.prepare(
      'UPDATE outbox SET attempts = ?, next_ms = ?, failure = ? WHERE id = ?',
    );
    const { attempts, nextMs, failure, message } = entry;
    store.write(() => void update.run(attempts, nextMs, failure, message.id));
  }

  /** Twice as long after each attempt; spread, so that those who wait for one receiver do not come at once. */
  #delayMs(attempts: number): number {
    const { random = Math.random, firstDelayMs: first = firstDelayMs } = this.#options;
    const longestMs = Math.min(first * 2 ** (attempts - 1), longestDelayMs);
    return longestMs * (0.5 + random() / 2);
  }

  /** A real message to every webhook, now and once: nothing of it is kept. */
  async test(): Promise<readonly Answer[]> {
    const { host, now } = this.#options;
    return Promise.all(
      this.#lines.map(async (line) => {
        const beganAt = performance.now();
        const message: Message = { id: randomUUID(), event: 'test', host, atMs: now(), alerts: [] };
        const { isTaken, answer } = await this.#post(line, message);
        const { name, webhook } = line;
        const tookMs = Math.round(performance.now() - beganAt);
        return { name, kind: webhook.kind, host: hostOf(webhook), isTaken, answer, tookMs };
      }),
    );
  }

  state(): readonly LineState[] {
    return this.#lines.map(
      ({ name, webhook, entries, delivered, dropped, lastDeliveredMs, lastFailure }) => ({
        name,
        kind: webhook.kind,
        host: hostOf(webhook),
        waiting: entries.length,
        delivered,
        dropped,
        lastDeliveredAt: lastDeliveredMs === null ? null : new Date(lastDeliveredMs).toISOString(),
        lastFailure: lastFailure ?? entries[0]?.failure ?? null,
      }),
    );
  }

  async #post(
    { webhook }: Line,
    message: Message,
  ): Promise<{ readonly isTaken: boolean; readonly answer: string; readonly retryAfterMs: number }> {
    const { headers, body } = bodyFor(webhook.kind, message);
    const { token, secret } = webhook;
    const within = this.#options.deadlineMs ?? deadlineMs;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(within)]);
    try {
      const response = await fetch(webhook.url, {
        method: 'POST',
        body,
        signal,
        // Where it leads is for the operator to say, not for whoever answers.
        redirect: 'manual',
        headers: {
          'user-agent': 'flotilla',
          ...headers,
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(secret !== undefined && {
            'flotilla-signature': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
          }),
        },
      });
      const said = await beginningOf(response, webhook);
      const isRedirect = response.status >= 300 && response.status < 400;
      const answer = isRedirect
        ? `answers ${response.status}, which leads elsewhere: give the address that it leads to`
        : `answers ${response.status}${said === '' ? '' : `: ${said}`}`;
      return { isTaken: response.ok, answer, retryAfterMs: retryAfterMs(response) };
    } catch (error) {
      return { isTaken: false, answer: this.#failureOf(error, webhook, within), retryAfterMs: 0 };
    }
  }

  #failureOf(error: unknown, webhook: Webhook, withinMs: number): string {
    const { name, cause } = error as Error;
    const { code } = (cause ?? {}) as NodeJS.ErrnoException;
    const words =
      name === 'TimeoutError'
        ? `gives no answer within ${withinMs / 1_000} s`
        : name === 'AbortError'
          ? 'was not waited for: health stops'
          : code === 'ECONNREFUSED'
            ? 'refuses the connection'
            : code === 'ENOTFOUND' || code === 'EAI_AGAIN'
              ? 'has no address: its name is not known'
              : cause instanceof Error && cause.message === 'bad port'
                ? 'has a port that no web request goes to'
                : `cannot be reached (${code ?? name})`;
    const isHeldBack = name === 'TimeoutError' || heldBackCodes.has(code ?? '');
    return this.#options.isUnit && isHeldBack && !isLoopback(webhook)
      ? `${words}; a unit reaches this host alone, unless it was opened: flotilla install --egress health`
      : words;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const { timer } of this.#lines) clearTimeout(timer);
    await Promise.all(this.#lines.map(async ({ sending }) => sending));
  }
}

/** What a packet that the kernel drops may look like, and a name server that is not reached. */
const heldBackCodes = new Set([
  'EPERM',
  'EACCES',
  'ENETUNREACH',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

const hostOf = ({ url }: Webhook) => new URL(url).host;
const isLoopback = ({ url }: Webhook) => /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname);

/** The first words of an answer, without what it may have sent back of the address. */
async function beginningOf(response: Response, { url }: Webhook): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < mostAnswerBytes) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    bytes += value.length;
  }
  // Not waited for: whoever sends without end may not end here either.
  void reader.cancel().catch(() => {});
  const text = Buffer.concat(parts).subarray(0, mostAnswerBytes).toString('utf8');
  const { pathname, search } = new URL(url);
  const secrets = [url, pathname, search].filter((part) => part.length > 1);
  return shown(secrets.reduce((rest, secret) => rest.replaceAll(secret, '…'), text)).slice(0, 120);
}

/** https://www.rfc-editor.org/rfc/rfc9110#field.retry-after: seconds here; a date is left to our own delays. */
function retryAfterMs(response: Response): number {
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  return Number.isFinite(seconds) ? Math.min(Math.max(0, seconds) * 1_000, longestRetryAfterMs) : 0;
}
