/** All that the tools of this service depend on: a thread that writes, one that looks for things, and short reads here. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { Log } from '#runtime/account/log.ts';
import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { Lane, orStopped } from '#runtime/lanes.ts';
import { Link } from '#runtime/link.ts';
import type { OtlpBody } from '#runtime/otlp/route.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { sizeOf, type NewStep, type Pack } from '../steps/step.ts';
import { openQueue } from './queue.ts';
import type { ReaderHandlers } from './reader-thread.ts';
import { openReads } from './reads.ts';
import type { Question } from './search.ts';
import type { Administered } from './tending.ts';
import type { Asked } from './verify.ts';
import type { WriterEvent, WriterHandlers, WriterSettings } from './writer-thread.ts';
import type {
  Appended,
  BatchOutcome,
  ChainFacts,
  EndOutcome,
  Evaluation,
  Rejection,
  Status,
  TraceOutcome,
} from './submission.ts';

export interface Opened {
  readonly file: string;
  readonly quota: Quota;
  readonly keepDays: number;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

export interface NewBatch {
  readonly batch: string;
  readonly sha256: Uint8Array;
  readonly pack: Pack;
  readonly rejected: readonly Rejection[];
  readonly refused: number;
}

type Who = Pick<Call, 'caller' | 'nowMs'>;

/** A thread answers one after the other: so one of each token in turn, however many it sends. */
const oneByOne = { perCaller: 1, inAll: 1, waiting: 256 };

/** Longer than a checkpoint of the whole log: a thread that has not ended a group by then hangs. */
const stuckMs = 30_000;
const probeMs = 500;
/** A request of OpenTelemetry is taken to its end, though its sender may be gone. */
const never = new AbortController().signal;

export type Store = ReturnType<typeof openStore>;

export function openStore({ file, quota, keepDays, log }: Opened) {
  const database = openDatabase(file, fileURLToPath(new URL('../migrations', import.meta.url)));
  const settings: WriterSettings = { file, quota, keepDays };
  const writer = new Link<WriterHandlers>(new URL('writer-thread.ts', import.meta.url), settings, (heard) => {
    const { level, event, fields } = heard as WriterEvent;
    log[level](event, fields);
  });
  const readerOf = () =>
    new Link<ReaderHandlers>(new URL('reader-thread.ts', import.meta.url), { file }, () => {});
  const reader = readerOf();
  /** What comes in, and checks of seals, take seconds: not where others search. Started for the first of them. */
  let digester: Link<ReaderHandlers> | undefined;
  const digesting = () => (digester ??= readerOf());
  const [searches, digests] = [new Lane(oneByOne), new Lane(oneByOne)];
  const { read } = transactionsOf(database);
  const reads = openReads(database);
  const queue = openQueue(async (submissions) => writer.ask('group', { submissions }));
  const { counts } = queue;
  const { kept } = openQuotas(database, quota, '');

  async function trace(who: Who, origin: 'import' | 'otlp', chains: readonly ImportedChains[number][]) {
    const steps = chains.reduce((sum, chain) => sum + chain.steps.length, 0);
    const bytes = chains.reduce(
      (sum, chain) =>
        chain.steps.reduce((all, one) => all + sizeOf(one.content, one.detail, one.opaque), sum),
      0,
    );
    const outcome = await queue.add<TraceOutcome>(
      { kind: 'trace', ...from(who), origin, chains },
      steps,
      bytes,
    );
    counts.accepted += outcome.accepted;
    counts.duplicates += outcome.duplicates;
    counts.rejected += outcome.refused;
    return outcome;
  }

  return {
    reads,
    counts,
    waiting: queue.waiting,
    kept,

    /** Several reads that see one state. */
    read,
    /** A read that others are served in between. */
    inTurns: <Value>(call: Call, steps: Steps<Value>) => inTurns(read, call, steps),

    /** @param uid the chain's own id, where the caller chose one. @returns the chain's id. */
    async start(
      who: Who,
      facts: ChainFacts,
      parent: string | undefined,
      uid = newChainId(),
    ): Promise<string> {
      await queue.add({ kind: 'start', ...from(who), uid, facts, parent }, 1, 500);
      return uid;
    },

    async end(who: Who, chain: string, status: Exclude<Status, 'open'>, outcome: Evaluation | undefined) {
      return queue.add<EndOutcome>({ kind: 'end', ...from(who), chain, status, outcome }, 1, 500);
    },

    async step(who: Who, step: NewStep): Promise<Appended> {
      const bytes = sizeOf(step.content, step.detail, step.opaque);
      const appended = await queue.add<Appended>({ kind: 'step', ...from(who), step }, 1, bytes);
      if (appended.isDuplicate) counts.duplicates += 1;
      else counts.accepted += 1;
      return appended;
    },

    async batch(who: Who, batch: NewBatch, bytes: number): Promise<BatchOutcome> {
      const outcome = await queue.add<BatchOutcome>(
        { kind: 'batch', ...from(who), ...batch },
        batch.pack.count,
        bytes,
      );
      counts.accepted += outcome.accepted;
      counts.duplicates += outcome.duplicates;
      counts.rejected += outcome.refused;
      return outcome;
    },

    // The place is held until the thread is free again, though the caller may be gone before.
    search: async (question: Question, call: Pick<Call, 'signal' | 'caller'>) =>
      orStopped(
        searches.run(call, async () => reader.ask('search', question)),
        call.signal,
      ),

    verify: async (asked: Asked) => digesting().ask('verify', asked),

    /** A document that a caller brings. */
    async importTrace(call: Call, content: string, facts: ChainFacts) {
      const digest = await orStopped(
        digests.run(call, async () => digesting().ask('digest', { content, uid: newChainId(), facts })),
        call.signal,
      );
      if (digest.chains.length === 0)
        throw new ToolError('invalid_input', 'content: None of its spans says anything of reasoning.', {
          hint: 'It takes spans with attributes of gen_ai, of OpenInference or of an export from here.',
        });
      return { digest, outcome: await trace(call, 'import', digest.chains) };
    },

    async otlp(who: Who, body: OtlpBody) {
      const { chains, refused } = await digests.run({ caller: who.caller, signal: never }, async () =>
        digesting().ask('otlp', body),
      );
      if (chains.length === 0) return { ...refused };
      try {
        const outcome = await trace(who, 'otlp', chains);
        return { ...refused, ...(outcome.refused > 0 && { not_stored: outcome.refused }) };
      } catch (error) {
        if (!(error instanceof ToolError && error.code === 'too_large')) throw error;
        // A sender that tried again would be refused again: it is told how many were not taken.
        const steps = chains.reduce((sum, chain) => sum + chain.steps.length, 0);
        counts.rejected += steps;
        return { ...refused, over_quota: Math.max(steps, 1) };
      }
    },

    delete: async (given: Administered) => writer.ask('delete', given),
    redact: async (given: Administered & { readonly seqs?: readonly number[] | undefined }) =>
      writer.ask('redact', given),

    /** Why nothing can be stored now; `undefined` where it can. */
    async obstacle(): Promise<string | undefined> {
      const gone = writer.gone ?? reader.gone ?? digester?.gone;
      if (gone) return `A thread of the store has ended: ${gone.message}`;
      if (queue.stuckMs() > stuckMs) return 'The thread that writes has not ended its last commit.';
      const probed = writer.ask('probe', undefined).then(
        () => undefined,
        (error: unknown) => (error as Error).message,
      );
      // Behind a large group: it is at work, or it is stuck.
      return Promise.race([probed, sleep(probeMs, undefined, { ref: false })]);
    },

    async [Symbol.asyncDispose]() {
      await Promise.all([writer, reader, digester].map(async (link) => link?.[Symbol.asyncDispose]()));
      database.close();
    },
  };
}

type ImportedChains = Awaited<ReturnType<ReaderHandlers['otlp']>>['chains'];

const from = ({ caller: owner, nowMs }: Who) => ({ owner, nowUs: nowMs * 1_000 });

/** As a trace id: random, and not all zeros. */
export const newChainId = (): string => randomBytes(16).toString('hex');
