/**
 * What the observers see of calls: each one becomes a decision record in model-profile, some time after its client was
 * answered. Who called which tool, how it turned out, how long it took and how many bytes it had; never what was said.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { allProcesses } from '#config/catalogue.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import type { Log } from '#runtime/account/log.ts';
import { randomHex } from '#runtime/account/trace.ts';
import type { ErrorCode } from '#runtime/errors.ts';

import { askTool, AskError } from './asking.ts';
import type { Upstream } from './upstream.ts';

/** A call that has ended. */
export interface Seen {
  readonly service: string;
  readonly tool: string;
  readonly caller: Caller;
  /** The model that the client says it works for, as it says it. */
  readonly model: string | undefined;
  readonly outcome: 'ok' | ErrorCode;
  /** Refused for the rate of its token. */
  readonly isOverRate?: boolean | undefined;
  /** A server of others says that its tool failed, and not how. */
  readonly isToolError?: boolean | undefined;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly atMs: number;
}

/** Calls that wait to be recorded: half an hour of 5 a second, in 3 MB. */
const mostWaiting = 10_000;
/** Recorded at once: of so many, model-profile makes one commit. */
const mostPerBatch = 500;
/** How long calls are gathered. */
const gatherMs = 1_000;
const shortestDelayMs = 250;
const longestDelayMs = 10_000;
/** A stop waits so long for what is not recorded yet. */
const stopMs = 900;
/** Models that clients of one token may name, of all tokens together, and the length of a name. */
const mostModelsOfCaller = 50;
const mostModels = 2_000;
const longestModel = 200;

/** Tokens of the fleet's own processes, of backups and of measurements: their calls say nothing about a client. */
const platformTokens: ReadonlySet<string> = new Set([
  ...allProcesses.map(({ name }) => name),
  'backup',
  'bench',
]);

export const isOfPlatform = ({ caller: { name } }: Pick<Seen, 'caller'>): boolean => platformTokens.has(name);

/** The model that a client names in `_meta` of its request; it is looked at when it is recorded. */
export function modelIn(params: Readonly<Record<string, unknown>>): string | undefined {
  const meta = params['_meta'] as Readonly<Record<string, unknown>> | null | undefined;
  if (typeof meta !== 'object' || meta === null) return undefined;
  const said = meta['dev.flotilla/model'] ?? meta['flotilla/model'];
  return typeof said === 'string' && said.length <= longestModel ? said : undefined;
}

const modelPattern =
  /^(?:model:)?([^\s\p{C}@+#%]+)(?:@([^\s\p{C}@+#%]+))?(?:\+([^\s\p{C}@+#%]+))?(?:#([^\s\p{C}@+#%]+))?$/u;

/** Who decided, as model-profile registers it: `model:name@version+effort#prompt_hash`. @returns `undefined` for what is no such id. */
export function identityIn(said: string): Readonly<Record<string, string>> | undefined {
  const [, name, version, effort, prompt] = modelPattern.exec(said) ?? [];
  if (name === undefined) return undefined;
  return {
    kind: 'model',
    name,
    ...(version !== undefined && { version }),
    ...(effort !== undefined && { effort }),
    ...(prompt !== undefined && { prompt_hash: prompt }),
  };
}

/** What went wrong, in the words of model-profile. */
const errorKinds: Readonly<Record<ErrorCode, string | undefined>> = {
  invalid_input: 'format',
  not_found: 'tool_error',
  conflict: 'tool_error',
  forbidden: 'policy_violation',
  too_large: 'tool_error',
  timeout: 'timeout',
  internal: 'tool_error',
  // It was never done: that says nothing about who called.
  cancelled: undefined,
  unavailable: undefined,
};

export function decisionOf(seen: Seen, uid: string, model: string): Readonly<Record<string, unknown>> {
  const { service, tool, outcome, isOverRate, isToolError, durationMs, atMs } = seen;
  const usual = outcome === 'ok' ? undefined : errorKinds[outcome];
  const failed = isToolError ? 'tool_error' : usual;
  const kind = isOverRate ? 'rate_limit' : failed;
  const isJudged = outcome === 'ok' || failed !== undefined;
  return {
    uid,
    model,
    task_type: `${service}.${tool}`,
    time: new Date(atMs).toISOString(),
    ...(isJudged && { outcome: outcome === 'ok' ? 1 : 0, source: 'code_check', evaluator: 'gateway' }),
    ...(kind !== undefined && { error_kind: kind }),
    // What the gateway answers itself takes no time that says anything.
    ...(durationMs > 0 && { latency_ms: durationMs }),
    request_bytes: seen.requestBytes,
    response_bytes: seen.responseBytes,
  };
}

/** Calls on their way, made into decisions once: the same ones, however often they are sent. */
interface Batch {
  readonly id: string;
  readonly seen: readonly Seen[];
  decisions?: readonly Readonly<Record<string, unknown>>[];
}

const registeredSchema = z.looseObject({ model: z.string() });
const recordedSchema = z.looseObject({
  accepted: z.int(),
  duplicates: z.int(),
  rejected_count: z.int(),
  rejected: z.array(z.looseObject({ reason: z.string(), message: z.string() })),
});

export class Eyes implements AsyncDisposable {
  readonly #profile: Upstream;
  readonly #log: Log;
  /** Keys of clients and of models, by what they are called here, `null` for one that was refused; and how many models each client has named. */
  readonly #clients = new Map<string, string>();
  readonly #models = new Map<string, string | null>();
  readonly #modelsOf = new Map<string, number>();
  #waiting: Seen[] = [];
  #underWay = 0;
  #running: Promise<void> | undefined;
  /** Wakes who gathers or waits for a better moment: there are many, or no time is left. */
  #wake = new AbortController();
  #isStopping = false;
  /** Nothing is asked any more. */
  readonly #over = new AbortController();
  readonly #counts = { recorded: 0, dropped: 0, refused: 0 };

  constructor(profile: Upstream, log: Log) {
    this.#profile = profile;
    this.#log = log;
  }

  /** Takes notice of a call; never waits, never throws. */
  saw(call: Seen): void {
    if (this.#waiting.length >= mostWaiting) {
      this.#counts.dropped += 1;
      return;
    }
    this.#waiting.push(call);
    if (this.#waiting.length === mostPerBatch) this.#wake.abort();
    this.#running ??= this.#run();
  }

  /** Since the start. */
  get state() {
    return { ...this.#counts, waiting: this.#waiting.length + this.#underWay };
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0 && !this.#over.signal.aborted) {
        // oxlint-disable-next-line no-await-in-loop -- one batch after the other
        if (this.#waiting.length < mostPerBatch) await this.#pause(gatherMs);
        const seen = this.#waiting.splice(0, mostPerBatch);
        this.#underWay = seen.length;
        // oxlint-disable-next-line no-await-in-loop -- likewise
        await this.#deliver({ id: randomHex(12), seen });
        this.#underWay = 0;
      }
    } finally {
      this.#running = undefined;
    }
  }

  /** Until it is recorded, or can never be. */
  async #deliver(batch: Batch): Promise<void> {
    for (let delayMs = shortestDelayMs; ; delayMs = Math.min(2 * delayMs, longestDelayMs)) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
        await this.#send(batch);
        return;
      } catch (error) {
        const isPassing = error instanceof AskError && error.isPassing;
        if (isPassing && !this.#isStopping) {
          // oxlint-disable-next-line no-await-in-loop -- likewise
          await this.#pause(delayMs);
          continue;
        }
        this.#lose(batch.seen.length, error);
        return;
      }
    }
  }

  #lose(count: number, reason: unknown): void {
    this.#counts.refused += count;
    this.#log.warn('decisions_not_recorded', { count, reason: String(reason) });
  }

  async #send(batch: Batch): Promise<void> {
    const decisions: Readonly<Record<string, unknown>>[] = [];
    for (const [at, seen] of batch.decisions ? [] : batch.seen.entries()) {
      // oxlint-disable-next-line no-await-in-loop -- nearly always known already
      decisions.push(decisionOf(seen, `gateway/${batch.id}/${at}`, await this.#keyOf(seen)));
    }
    batch.decisions ??= decisions;
    const args = { decisions: batch.decisions };
    let answer = recordedSchema.parse(await this.#ask('record_decisions', args));
    if (answer.rejected.some(({ reason }) => reason === 'unknown_model')) {
      // It was restored to a time before they were registered.
      for (const map of [this.#clients, this.#models, this.#modelsOf]) map.clear();
      for (const seen of batch.seen) {
        // oxlint-disable-next-line no-await-in-loop -- once each
        await this.#keyOf(seen);
      }
      const { accepted } = answer;
      answer = recordedSchema.parse(await this.#ask('record_decisions', args));
      answer.accepted += accepted;
      answer.duplicates -= accepted;
    }
    this.#counts.recorded += answer.accepted + answer.duplicates;
    if (answer.rejected_count > 0) this.#lose(answer.rejected_count, answer.rejected[0]?.message);
  }

  /** Whose decision it is: the model's, where the client names one and there is room for it. */
  async #keyOf({ caller: { name: caller }, model }: Seen): Promise<string> {
    const client = this.#clients.get(caller) ?? (await this.#register({ kind: 'client', name: caller }));
    this.#clients.set(caller, client);
    if (model === undefined) return client;
    const known = this.#models.get(model);
    if (known !== undefined) return known ?? client;
    const identity = identityIn(model);
    const named = this.#modelsOf.get(caller) ?? 0;
    if (!identity || named >= mostModelsOfCaller || this.#models.size >= mostModels) return client;
    let key: string | null = null;
    try {
      key = await this.#register(identity);
    } catch (error) {
      // It takes no more models: the client's own place remains.
      if (!(error instanceof AskError) || error.isPassing) throw error;
    }
    this.#modelsOf.set(caller, named + 1);
    this.#models.set(model, key);
    return key ?? client;
  }

  async #register(identity: Readonly<Record<string, string>>): Promise<string> {
    return registeredSchema.parse(await this.#ask('register_model', identity)).model;
  }

  async #ask(tool: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    const authorization = () => this.#profile.ownAuthorization('write');
    return askTool(this.#profile, authorization, tool, args, this.#over.signal);
  }

  async #pause(ms: number): Promise<void> {
    if (this.#isStopping) return;
    await sleep(ms, undefined, { signal: this.#wake.signal, ref: false }).catch(() => {});
    if (!this.#isStopping) this.#wake = new AbortController();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#wake.abort();
    await Promise.race([this.#running, sleep(stopMs, undefined, { ref: false })]);
    this.#over.abort(new AskError('cancelled', 'the gateway stops'));
    await this.#running;
    const left = this.#waiting.splice(0).length;
    if (left > 0) this.#lose(left, 'the gateway stops');
  }
}
