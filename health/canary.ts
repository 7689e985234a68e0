/**
 * Whether a process does its job, asked in the way of its clients: what it is by the protocol, the list of its tools, and one small
 * call. A process that answers and lists nothing is found by it.
 */
import { request as httpRequest } from 'node:http';

import { z } from 'zod';

import type { Log } from '#runtime/account/log.ts';
import { errorCodes, type ErrorCode } from '#runtime/errors.ts';
import type { Offered, Probe } from '#runtime/process/probe.ts';
import { version } from '#runtime/process/version.ts';
import { defaultTimeoutMs } from '#runtime/tool.ts';
import { digestOf } from '#runtime/wire/looking.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import { afterLook, noRun, type Run } from './verdict.ts';

/** A process to ask, and what it says of itself. */
export interface Asked {
  readonly name: string;
  readonly port: number;
  /** Has no tools of its own, but those of all that it stands in front of. */
  readonly isFront: boolean;
}
export type Saying = Pick<Probe, 'mcp' | 'upstreams'>;

export interface Deadlines {
  readonly listMs: number;
  /** As long as users have. */
  readonly callMs: number;
}
const usualDeadlines: Deadlines = { listMs: 5_000, callMs: defaultTimeoutMs };

/** A tool as the list has it. */
const toolSchema = z.object({
  name: z.string(),
  annotations: z.object({ openWorldHint: z.boolean().optional() }).optional().catch(undefined),
  _meta: z.object({ 'dev.flotilla/fleetName': z.string().optional() }).optional().catch(undefined),
});
type Tool = z.output<typeof toolSchema>;

const resultSchemas = {
  'server/discover': z.object({ capabilities: z.object({ tools: z.object({}).optional() }) }),
  'tools/list': z.object({ tools: z.array(toolSchema) }),
  'tools/call': z.object({
    content: z.array(z.unknown()),
    isError: z.boolean().optional(),
    _meta: z
      .object({
        'dev.flotilla/error': z.object({ code: z.string(), message: z.string().optional() }).optional(),
      })
      .optional(),
  }),
};
type Method = keyof typeof resultSchemas;
const answerSchema = z.object({
  result: z.unknown().optional(),
  error: z.object({ message: z.string() }).optional(),
});

/** What a failed step says. */
class Failure extends Error {}

const mostAnswerBytes = 16 * 1024 * 1024;
const longestReason = 200;
/** The canary may find nothing; it may not fail in another way. */
const harmless: ReadonlySet<string> = new Set<ErrorCode>(['not_found', 'conflict']);

export interface Look {
  readonly result: Probe['result'];
  readonly reason: string | null;
  readonly durationMs: number;
  /** The tools that it lists, where it does. */
  readonly tools: readonly Tool[];
}

/**
 * All steps, one after the other; the first that fails is the reason. Always comes to a result.
 *
 * @param isListed judges the names that it lists. @throws Failure with what is wrong with them.
 */
export async function look(
  { port, isFront }: Pick<Asked, 'port' | 'isFront'>,
  { mcp }: Saying,
  options: {
    readonly secret: string;
    readonly isListed: (tools: readonly Tool[]) => void;
    readonly signal: AbortSignal;
    readonly deadlines?: Deadlines | undefined;
    readonly elapsedMs: () => number;
  },
): Promise<Look> {
  const { secret, isListed, signal, deadlines = usualDeadlines, elapsedMs } = options;
  const startedAtMs = elapsedMs();
  let step = 'server/discover';
  let tools: readonly Tool[] = [];
  const ask = async <M extends Method>(method: M, params: object, deadlineMs: number) =>
    answered(method, await post({ port, method, params, secret, deadlineMs, signal }));
  const ended = (result: Probe['result'], reason: string | null): Look => ({
    result,
    reason: reason === null ? null : `${step}: ${reason}`.slice(0, longestReason),
    durationMs: Math.round((elapsedMs() - startedAtMs) * 100) / 100,
    tools,
  });
  try {
    const { capabilities } = await ask('server/discover', {}, deadlines.listMs);
    if (!capabilities.tools) throw new Failure('it offers no tools');
    step = 'tools/list';
    ({ tools } = await ask('tools/list', {}, deadlines.listMs));
    if (tools.length === 0)
      throw new Failure(`it lists no tools${mcp?.tools ? `, and has ${mcp.tools}` : ''}`);
    if (!mcp) throw new Failure('it does not say what it offers');
    if (isFront) isListed(tools);
    else requireDigest(tools, mcp);
    if (!mcp.canary) return ended('up', null);
    const { tool, arguments: args } = mcp.canary;
    step = `canary ${tool}`;
    const { isError = false, _meta } = await ask(
      'tools/call',
      { name: tool, arguments: args },
      deadlines.callMs,
    );
    const { code = 'internal', message = '' } = (isError && _meta?.['dev.flotilla/error']) || {};
    if (!isError || harmless.has(code)) return ended('up', null);
    const words = `${message || (errorCodes[code as ErrorCode] ?? 'it failed')} (${code})`;
    if (code !== 'unavailable') return ended('down', words);
    // What lies outside may be away: that the process says so is its job.
    const isOutside = tools.find((one) => one.name === tool)?.annotations?.openWorldHint === true;
    return isOutside ? ended('up', null) : ended('not_ready', words);
  } catch (error) {
    return ended(
      'down',
      error instanceof Failure ? error.message : `it could not be asked: ${String(error)}`,
    );
  }
}

function requireDigest(tools: readonly Tool[], { tools: count, digest }: Offered): void {
  if (digest === undefined) throw new Failure('it does not say what it offers');
  if (digestOf(tools.map((tool) => tool.name)) === digest) return;
  throw new Failure(`it lists ${tools.length} tools, which are not the ${count ?? '?'} that it has`);
}

function answered<M extends Method>(method: M, text: string): z.output<(typeof resultSchemas)[M]> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Failure('its answer is no JSON');
  }
  const { result, error } = answerSchema.safeParse(json).data ?? {};
  if (error) throw new Failure(`it answers: ${error.message}`);
  const parsed = resultSchemas[method].safeParse(result);
  if (!parsed.success) throw new Failure('its answer is none of the protocol');
  return parsed.data as z.output<(typeof resultSchemas)[M]>;
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': modernVersion,
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'flotilla-health', version },
};

/** On a fresh connection, as a client that comes new. @throws Failure */
async function post({
  port,
  method,
  params,
  secret,
  deadlineMs,
  signal,
}: {
  readonly port: number;
  readonly method: Method;
  readonly params: object;
  readonly secret: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}): Promise<string> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } });
  const within = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]);
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      const isLate = error.name === 'AbortError' || error.name === 'TimeoutError';
      const words = error.code === 'ECONNREFUSED' ? 'connection refused' : (error.code ?? error.message);
      reject(new Failure(isLate ? `no answer within ${deadlineMs / 1_000} s` : words));
    };
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port,
        path: '/mcp',
        method: 'POST',
        agent: false,
        signal: within,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          accept: 'application/json, text/event-stream',
          authorization: `Bearer ${secret}`,
          'mcp-protocol-version': modernVersion,
          'mcp-method': method,
          ...('name' in params && { 'mcp-name': String(params.name) }),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        let sizeBytes = 0;
        response.on('data', (part: Buffer) => {
          sizeBytes += part.length;
          if (sizeBytes > mostAnswerBytes) response.destroy(new Error('too long an answer'));
          else parts.push(part);
        });
        response.on('error', fail);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          if (response.statusCode !== 200) reject(new Failure(`it answers ${response.statusCode}`));
          else
            resolve(
              response.headers['content-type']?.startsWith('text/event-stream') ? lastEvent(text) : text,
            );
        });
      },
    );
    request.on('error', fail);
    request.end(body);
  });
}

const lastEvent = (text: string): string =>
  text
    .split(/\r?\n\r?\n/)
    .flatMap((event) => {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
      return data.length === 0 ? [] : [data.map((line) => line.slice('data:'.length)).join('\n')];
    })
    .at(-1) ?? '';

/** What canaries say of a process now. */
export interface CanaryState {
  readonly run: Run;
  readonly reason: string | null;
  readonly durationMs: number | null;
  /** When the last good one ended; before the first one, when the process came up. */
  readonly goodAtMs: number | undefined;
}

interface Watched {
  readonly target: Asked;
  state: CanaryState;
  dueAtMs: number | undefined;
  isAtWork: boolean;
  /** What it said of itself with the last poll. */
  saying: Saying;
  /** What it listed last, by its digest then, under the names that the fleet has for them. */
  listed: { readonly digest: string | undefined; readonly names: readonly string[] } | undefined;
  /** Counts how often it went down: a look that began before tells nothing of what came after. */
  lives: number;
}

interface Options {
  readonly targets: readonly Asked[];
  /** Says at this process that health asks. */
  readonly secretFor: (name: string) => string;
  readonly log: Log;
  readonly elapsedMs: () => number;
  /** Told of each look. */
  readonly looked?: (name: string, look: Look) => void;
  readonly everyMs?: number;
  /** After a failure, and until it is up again. */
  readonly againMs?: number;
  readonly deadlines?: Deadlines;
}

const nothingKnown: CanaryState = { run: noRun, reason: null, durationMs: null, goodAtMs: undefined };

/** Canaries of all processes, spread over the minute. */
export class Canaries implements AsyncDisposable {
  readonly #options: Options;
  readonly #everyMs: number;
  readonly #againMs: number;
  readonly #watched: ReadonlyMap<string, Watched>;
  readonly #stop = new AbortController();
  readonly #atWork = new Set<Promise<void>>();

  constructor(options: Options) {
    this.#options = options;
    this.#everyMs = options.everyMs ?? 60_000;
    this.#againMs = options.againMs ?? 5_000;
    this.#watched = new Map(
      options.targets.map((target) => [
        target.name,
        {
          target,
          state: nothingKnown,
          dueAtMs: undefined,
          isAtWork: false,
          saying: {},
          listed: undefined,
          lives: 0,
        },
      ]),
    );
  }

  state(name: string): CanaryState {
    return this.#watched.get(name)?.state ?? nothingKnown;
  }

  /** It answers polls, and says this of itself: it is asked when its time has come. */
  answers(name: string, saying: Saying): void {
    const one = this.#watched.get(name);
    if (!one) return;
    const nowMs = this.#options.elapsedMs();
    one.saying = saying;
    if (one.dueAtMs === undefined) {
      one.state = { ...one.state, goodAtMs: nowMs };
      const place = [...this.#watched.keys()].indexOf(name) + 0.5;
      one.dueAtMs = nowMs + (this.#everyMs * place) / this.#watched.size;
    }
    if (nowMs < one.dueAtMs || one.isAtWork) return;
    const looking = this.#look(one)
      .catch((error: unknown) => this.#options.log.error('canary_broke', { process: name, error }))
      .finally(() => {
        one.isAtWork = false;
        this.#atWork.delete(looking);
      });
    one.isAtWork = true;
    this.#atWork.add(looking);
  }

  /** It went down: whatever comes after is another process, of which nothing is known. */
  fell(name: string): void {
    const one = this.#watched.get(name);
    if (!one) return;
    one.state = nothingKnown;
    one.lives += 1;
    one.listed = undefined;
    one.dueAtMs = undefined;
  }

  async #look(one: Watched): Promise<void> {
    const { elapsedMs, secretFor, looked, deadlines } = this.#options;
    const { target, saying, lives, dueAtMs = elapsedMs() } = one;
    const seen = await look(target, saying, {
      secret: secretFor(target.name),
      isListed: (tools) => this.#requireAllOf(saying, tools),
      signal: this.#stop.signal,
      deadlines,
      elapsedMs,
    });
    if (this.#stop.signal.aborted || lives !== one.lives) return;
    looked?.(target.name, seen);
    const { result, reason, durationMs } = seen;
    const run = afterLook(one.state.run, result);
    const nowMs = elapsedMs();
    const goodAtMs = result === 'down' ? one.state.goodAtMs : nowMs;
    one.state = {
      run,
      reason: run.status === 'up' ? null : (reason ?? one.state.reason),
      durationMs,
      goodAtMs,
    };
    if (result === 'up')
      one.listed = { digest: saying.mcp?.digest, names: seen.tools.map((tool) => fleetNameOf(tool)) };
    const isUsual = run.status === 'up' && result === 'up';
    // On its own place in the minute, however long it took.
    const nextMs = dueAtMs + this.#everyMs;
    one.dueAtMs = isUsual && nextMs > nowMs ? nextMs : nowMs + (isUsual ? this.#everyMs : this.#againMs);
  }

  /** What stands in front of others lists what they list, as long as they have it. @throws Failure */
  #requireAllOf({ upstreams = [] }: Saying, tools: readonly Tool[]): void {
    const listed = new Set(tools.map((tool) => tool.name));
    const missing = [...this.#watched.values()].flatMap(({ target, saying, listed: own }) =>
      upstreams.includes(target.name) && own && own.digest === saying.mcp?.digest
        ? own.names.filter((name) => !listed.has(name))
        : [],
    );
    if (missing.length === 0) return;
    throw new Failure(`it lacks ${missing.length} tools that services list, ${missing[0]} among them`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#atWork);
  }
}

const fleetNameOf = ({ name, _meta }: Tool): string => _meta?.['dev.flotilla/fleetName'] ?? name;
