import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Comparing } from '../comparing.ts';
import { nameField } from '../fields.ts';
import { maxBattles, maxListed, maxTextLength } from '../limits.ts';
import { sources, winners } from '../vocabulary.ts';

const text = (description: string) => ({ type: 'string', description }) as const;

/** As clients are told; `battleOf` enforces it. */
const battleProperties = {
  model_a: text('Shown first, unless swapped.'),
  model_b: text('The other, of the same kind.'),
  winner: { type: 'string', enum: winners, description: 'Who was better.' },
  item_id: text('What it was about.'),
  task_type: text('Kind of task.'),
  judge: text('Name of the judge.'),
  source: { type: 'string', enum: sources, description: 'What kind of judge.' },
  swapped: { type: 'boolean', description: 'model_b was shown first.' },
  len_a: { type: 'integer', description: 'Length of a.' },
  len_b: { type: 'integer', description: 'Length of b.' },
  time: text('ISO 8601.'),
} as const;

const bodyField = (description: string) =>
  z
    .string()
    .refine(
      (body) => body.length <= maxTextLength && body.isWellFormed(),
      `must be well-formed, of at most ${maxTextLength} characters`,
    )
    .optional()
    .describe(description);

export const recordBattles = defineTool({
  name: 'record_battles',
  title: 'Record Battles',
  description: `Store who was better of two, up to ${maxListed} as a list or ${maxBattles} as CSV or JSONL. On disk when answered. With a batch_id, sending the same again stores nothing.`,
  effect: 'write',
  untrusted: 'as-is',
  hints: adding,
  input: z.object({
    battles: z
      .array(
        z.unknown().meta({
          type: 'object',
          properties: battleProperties,
          required: ['model_a', 'model_b', 'winner'],
          additionalProperties: false,
        }),
      )
      .refine((list) => list.length <= maxListed, `must be at most ${maxListed}`)
      .optional()
      .describe('Battles. client:NAME is a client, other names are models.'),
    csv: bodyField('Instead: CSV with these columns, named in the first line.'),
    jsonl: bodyField('Instead: one battle as JSON in each line.'),
    batch_id: nameField('Your id of this batch.').optional(),
    judge: nameField('Judge of those that name none.').default(''),
    source: z.enum(sources).default('llm_judge').describe('What judges those that do not say.'),
    task_type: nameField('Of those that name none.').default('general'),
  }),
  output: z.object({
    batch_id: z.string().describe('Given, or made.'),
    accepted: z.int().describe('New, and on disk.'),
    duplicates: z.int().describe('There already, with this batch_id.'),
    rejected_count: z.int().describe('Refused.'),
    rejected: z
      .array(
        z.object({
          index: z.int().describe('Place in the list, from 0.'),
          message: z.string().describe('Why.'),
        }),
      )
      .describe('The first of those that were refused.'),
    ignored_columns: z.array(z.string()).describe('Columns of the CSV that mean nothing here.'),
    snapshot_id: z.string().describe('The state with them.'),
  }),
  async handler(
    { battles, csv, jsonl, batch_id: batch, judge, source, task_type: taskType },
    { store }: Comparing,
    call,
  ) {
    if ([battles, csv, jsonl].filter((given) => given !== undefined).length !== 1) {
      throw new ToolError('invalid_input', 'Give one of battles, csv and jsonl.');
    }
    const { caller: owner, nowMs } = call;
    const defaults = { judge, source: sources.indexOf(source), taskType: taskType.normalize('NFC'), nowMs };
    const recorded = await store.write('record', { owner, batch, battles, csv, jsonl, defaults }, call);
    const { accepted, duplicates, rejected, refused } = recorded;
    if (accepted + duplicates === 0) {
      const [first] = refused;
      throw new ToolError(
        'invalid_input',
        `None of ${rejected} battles can be stored. The first: ${first?.message ?? ''}`,
        {
          hint: 'Nothing was stored.',
        },
      );
    }
    return {
      batch_id: recorded.batch,
      accepted,
      duplicates,
      rejected_count: rejected,
      rejected: [...refused],
      ignored_columns: recorded.ignored.slice(0, 50).map((name) => name.slice(0, 100)),
      snapshot_id: `battle:${recorded.last},change:${store.reading.snapshot(nowMs).change}`,
    };
  },
});
