/** The thread for what takes long and only reads: searching, checking seals, making steps of what OpenTelemetry and providers send. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';

import { openToRead } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { serveLink } from '#runtime/link.ts';
import { unpackedOtlp, type OtlpBody } from '#runtime/otlp/route.ts';

import { digestOf } from '../intake/documents.ts';
import { spansInJson, spansInProtobuf } from '../intake/spans.ts';
import { chainsOf, type Digest } from '../intake/traces.ts';
import { maxStepsPerImport } from '../limits.ts';
import { openSearch, type Question } from './search.ts';
import { verified, type Asked } from './verify.ts';
import type { ChainFacts } from './submission.ts';

const { file } = workerData as { readonly file: string };
const database = openToRead(file);
const search = openSearch(database);

const handlers = {
  search: (question: Question) => search(question),

  async verify(asked: Asked) {
    const steps = verified(database, asked);
    let step = steps.next();
    for (let untilMs = performance.now() + 20; !step.done; step = steps.next()) {
      if (performance.now() < untilMs) continue;
      await nextTurn();
      untilMs = performance.now() + 20;
    }
    return step.value;
  },

  async otlp(request: OtlpBody): Promise<Digest> {
    const digest = chainsOf(await unpackedOtlp(request, spansInJson, spansInProtobuf));
    const steps = digest.chains.reduce((sum, chain) => sum + chain.steps.length, 0);
    if (steps > maxStepsPerImport)
      throw new ToolError(
        'too_large',
        `The request has ${steps} steps, more than ${maxStepsPerImport}: send smaller batches.`,
      );
    return digest;
  },

  digest: ({
    content,
    uid,
    facts,
  }: {
    readonly content: string;
    readonly uid: string;
    readonly facts: ChainFacts;
  }) => digestOf(content, uid, facts),
};
export type ReaderHandlers = typeof handlers;

serveLink(handlers, () => void database.close());
