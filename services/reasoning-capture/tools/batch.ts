/** Many steps at once. */
import { hash } from 'node:crypto';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { completing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurn, inTurns, type Steps } from '#runtime/turns.ts';

import { chainId, shortText } from '../fields.ts';
import { jsonlSchema } from '../formats/jsonl.ts';
import { maxJsonlLength, maxReasonsTold, maxStepsPerBatch } from '../limits.ts';
import { Refused, stepOf, stepOfRow } from '../steps/check.ts';
import { Packing, provenances, types, type Pack } from '../steps/step.ts';
import type { Store } from '../store/store.ts';
import type { Rejection } from '../store/submission.ts';

const described = (type: string, description: string, more: object = {}) => ({ type, description, ...more });

/**
 * Advertised in full, and checked by hand (`steps/check.ts`): to the runtime it is unknown, so that nothing looks at each step before
 * that.
 */
const steps = z
  .unknown()
  .optional()
  .meta({
    type: 'array',
    description: 'Steps as objects.',
    items: {
      type: 'object',
      description: 'A step.',
      properties: {
        chain_id: described('string', 'Unless given for all.'),
        seq: described('integer', 'The next unless given.'),
        type: described('string', 'Of the step.', { enum: [...types] }),
        content: described('string', 'What was stated: the question, the conclusion.'),
        ts: described('string', 'ISO 8601, or milliseconds since 1970; now unless given.'),
        duration_ms: described('number', 'How long it took.'),
        parent_seq: described('integer', 'The earlier step that it follows from.'),
        confidence: described('number', 'From 0 to 1.'),
        provenance: described('string', 'Where it comes from.', { enum: [...provenances] }),
        options: described('array', 'Of a decision.', {
          items: described('object', 'An option.', {
            properties: {
              label: described('string', 'Its name.'),
              score: described('number', 'Its rating.'),
            },
          }),
        }),
        chosen: described('string', 'Label of the chosen option.'),
        reasoning: described('string', 'Why it was chosen.'),
        premises: described('array', 'Of an inference.', { items: described('string', 'A premise.') }),
        opaque: described('array', 'Signatures and encrypted parts, kept byte for byte.', {
          items: described('object', 'A part.', {
            properties: {
              kind: described('string', 'Such as signature.'),
              data: described('string', 'As it came.'),
              encoding: described('string', 'base64, for bytes.'),
            },
          }),
        }),
        attrs: described('object', 'Anything else.'),
      },
      required: ['type', 'content'],
    },
  });

const rows = z
  .unknown()
  .optional()
  .meta({
    type: 'array',
    description:
      'Or as lists, which are shorter: [chain_id, seq, type, ts, parent_seq, confidence, content], null where unset.',
    items: { type: 'array', description: 'A step.', items: { type: 'string', description: 'A value.' } },
  });

export const captureBatch = defineTool({
  name: 'capture_batch',
  title: 'Capture Batch',
  description: `Keep up to ${maxStepsPerBatch} steps with one commit. Sent again with its batch_id, nothing is stored twice. A faulty step is refused alone, with its reason.`,
  effect: 'write',
  hints: completing,
  needsNoPlace: true,
  input: z.object({
    batch_id: shortText('Yours, for this batch alone.'),
    chain_id: chainId.optional().describe('Of steps that name none.'),
    steps,
    rows,
    steps_jsonl: z.string().optional().describe('Or as lines of JSON, objects or lists.'),
  }),
  output: z.object({
    accepted: z.int().describe('Stored now.'),
    duplicates: z.int().describe('Stored before.'),
    rejected: z
      .array(z.object({ index: z.int().describe('From 0.'), reason: z.string().describe('What is wrong.') }))
      .describe('The first of those refused.'),
    rejected_count: z.int().describe('All of them.'),
    durable: z.literal(true).describe('What was accepted is on disk.'),
  }),
  async handler({ batch_id: name, ...given }, store: Store, call) {
    const { pack, bytes, rejected, refused } = await inTurns((piece) => piece(), call, packed(given));
    const sha256 = await inTurn(call, () => digestOf(pack, refused, rejected));
    const batch = { batch: name, sha256, pack, rejected, refused };
    const outcome = await store.batch(call, batch, bytes);
    return {
      accepted: outcome.accepted,
      duplicates: outcome.duplicates,
      rejected: outcome.rejected.map(({ index, reason }) => ({ index, reason })),
      rejected_count: outcome.refused,
      durable: true as const,
    };
  },
});

interface Given {
  readonly chain_id?: string | undefined;
  readonly steps?: unknown;
  readonly rows?: unknown;
  readonly steps_jsonl?: string | undefined;
}

interface Packed {
  readonly pack: Pack;
  readonly bytes: number;
  readonly rejected: readonly Rejection[];
  readonly refused: number;
}

/** Well under a millisecond of work. */
const stepsAtOnce = 16;

const wrong = (message: string, hint?: string) =>
  new ToolError(
    'invalid_input',
    `Invalid arguments for capture_batch: ${message}.`,
    hint === undefined ? {} : { hint },
  );

/** As lists of what was given, whichever way. A list that came as its JSON in a text is read as it is meant. */
function listIn(name: 'steps' | 'rows', value: unknown): readonly unknown[] {
  const list: unknown = typeof value === 'string' && value.startsWith('[') ? parsed(value) : value;
  if (!Array.isArray(list)) throw wrong(`${name}: must be a list`);
  return list as unknown[];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function* packed({ chain_id: chain, steps: objects, rows: lists, steps_jsonl: lines }: Given): Steps<Packed> {
  const ways = [objects, lists, lines].filter((one) => one !== undefined && one !== null);
  if (ways.length !== 1) throw wrong('steps, rows or steps_jsonl: one of them must be given');
  if (lines !== undefined && lines.length > maxJsonlLength)
    throw new ToolError(
      'too_large',
      `steps_jsonl has ${lines.length} characters; at most ${maxJsonlLength} are taken.`,
      {
        hint: 'Send smaller batches.',
      },
    );
  const given =
    lines === undefined
      ? objects === undefined || objects === null
        ? listIn('rows', lists)
        : listIn('steps', objects)
      : linesOf(lines);
  if (given.length === 0) throw wrong('there are no steps in it');
  if (given.length > maxStepsPerBatch)
    throw new ToolError(
      'too_large',
      `The batch has ${given.length} steps; at most ${maxStepsPerBatch} are taken.`,
      {
        hint: 'Send smaller batches.',
      },
    );
  const packing = new Packing(given.length);
  const rejected: Rejection[] = [];
  let refused = 0;
  for (let index = 0; index < given.length; index += 1) {
    if (index % stepsAtOnce === stepsAtOnce - 1) yield;
    let one = given[index];
    if (lines !== undefined) {
      one = parsed(one as string);
      if (one === undefined) one = new Refused('is not JSON');
      else if (isHeader(one)) continue;
    }
    const step =
      one instanceof Refused ? one : Array.isArray(one) ? stepOfRow(one, chain) : stepOf(one, chain);
    if (!(step instanceof Refused)) {
      packing.add(step, index);
      continue;
    }
    refused += 1;
    if (rejected.length < maxReasonsTold) rejected.push({ index, reason: step.reason });
  }
  return { pack: packing.pack, bytes: packing.bytes, rejected, refused };
}

/** The first line of an export says what the chain is, and is no step. */
const isHeader = (line: unknown) =>
  typeof line === 'object' && line !== null && 'schema' in line && line.schema === jsonlSchema;

const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => line.trim() !== '');

/** Of all that is stored, and of what was refused: the same steps have the same, whichever way they were written. */
function digestOf(pack: Pack, refused: number, rejected: readonly Rejection[]): Buffer {
  const { count, chain, place, seq, type, prov, atUs, durUs, parent, confidence } = pack;
  const columns = [chain, place, seq, type, prov, atUs, durUs, parent, confidence];
  const numbers = columns.map((column) => hash('sha256', new Uint8Array(column.buffer), 'hex'));
  const { subtype, detail, opaque } = pack;
  const parts = Object.entries(opaque).map(([at, list]) => [
    at,
    list.map(({ kind, isText, data }) => [kind, isText, Buffer.from(data).toString('base64')]),
  ]);
  const rest = JSON.stringify([count, refused, rejected, pack.chains, numbers, subtype, detail, parts]);
  // No text has a NUL in it.
  return hash('sha256', `${rest}\0${pack.content.join('\0')}`, 'buffer');
}
