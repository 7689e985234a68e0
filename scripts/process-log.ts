/** The log file of one process of a fleet in the foreground: lines appended, the file rotated. Under systemd the journal does this. */
import { createWriteStream, mkdirSync, renameSync, statSync, type WriteStream } from 'node:fs';
import { dirname } from 'node:path';

import { z } from 'zod';

import { logLevels } from '#runtime/account/log.ts';
import { plainText } from '#runtime/plain-text.ts';

/** Of a reason that a terminal shows; the file has all of it. */
const mostDetailLength = 500;
const rotateAtBytes = 10 * 1024 * 1024;
const keptFiles = 3;
/** A disk that is slower than its process has so much to catch up on; lines beyond it are dropped, and counted. */
const mostWaitingBytes = 4 * 1024 * 1024;
/** After a failed write lines are dropped for so long, and counted, before the file is tried again. */
const retryAfterMs = 1_000;

const lineSchema = z.looseObject({
  time: z.string(),
  level: z.enum(logLevels),
  service: z.string().default(''),
  event: z.string(),
});
export type LogLine = z.output<typeof lineSchema>;

/** `undefined` for what is no line of the log: words on stderr, or a line that a kill cut off. */
export function parseLogLine(line: string): LogLine | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

const detailSchema = z.looseObject({
  error: z.looseObject({ message: z.string() }).optional().catch(undefined),
  reason: z.string().optional().catch(undefined),
  /** Of whom the gateway tells it. */
  upstream: z.string().optional().catch(undefined),
});

/**
 * What a person in front of the terminal wants to see of a log: warnings and errors, in short. That a loop was held, on a busy
 * machine perhaps, is for whoever looks into the log or the metrics: nobody else can do anything about it.
 */
export function troubleIn(line: string): string | undefined {
  const record = parseLogLine(line);
  if (record?.level !== 'warn' && record?.level !== 'error') return undefined;
  if (record.event === 'loop_held') return undefined;
  const { error, reason, upstream } = detailSchema.parse(record);
  const detail = error?.message ?? reason;
  const whose = upstream === undefined ? '' : ` ${plainText(upstream, 100)}`;
  return `${record.level}: ${record.event}${whose}${detail === undefined ? '' : ` (${plainText(detail, mostDetailLength)})`}`;
}

/** Never throws: that a log cannot be written must not end what it is about. */
export class ProcessLog implements AsyncDisposable {
  readonly #file: string;
  readonly #onFailure: (reason: string) => void;
  #stream: WriteStream | undefined;
  #sizeBytes = 0;
  #lost = 0;
  #retryAtMs = 0;

  constructor(file: string, onFailure: (reason: string) => void) {
    this.#file = file;
    this.#onFailure = onFailure;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  }

  /** Whether lines would be dropped now. */
  get isBehind(): boolean {
    return (this.#stream?.writableLength ?? 0) > mostWaitingBytes;
  }

  append(line: string): void {
    const stream = this.#stream ?? this.#open();
    if (!stream || this.isBehind) {
      this.#lost += 1;
      return;
    }
    if (this.#lost > 0) {
      const time = new Date().toISOString();
      stream.write(`${JSON.stringify({ time, level: 'warn', event: 'log_lines_lost', lost: this.#lost })}\n`);
      this.#lost = 0;
    }
    this.#sizeBytes += line.length + 1;
    stream.write(`${line}\n`);
    if (this.#sizeBytes > rotateAtBytes) this.#rotate();
  }

  #open(): WriteStream | undefined {
    if (Date.now() < this.#retryAtMs) return undefined;
    this.#sizeBytes = statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0;
    const stream = createWriteStream(this.#file, { flags: 'a', mode: 0o600 });
    stream.on('error', (error) => {
      if (this.#lost === 0) this.#onFailure(`its log cannot be written: ${error.message}`);
      this.#lost += 1;
      this.#retryAtMs = Date.now() + retryAfterMs;
      this.#stream = undefined;
    });
    this.#stream = stream;
    return stream;
  }

  #rotate(): void {
    this.#stream?.end();
    this.#stream = undefined;
    const names = [
      this.#file,
      ...Array.from({ length: keptFiles }, (_, index) => `${this.#file}.${index + 1}`),
    ];
    for (let index = keptFiles; index >= 1; index--) {
      try {
        renameSync(names[index - 1] ?? '', names[index] ?? '');
      } catch {
        // Not there yet, or taken away by somebody: there is nothing to keep.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stream = this.#stream;
    if (!stream) return;
    await new Promise<void>((done) => {
      stream.once('error', () => done());
      stream.end(done);
    });
  }
}
