import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, telling } from '#runtime/turns.ts';

import { binCounts, calibrationOut, calibrationSteps } from '../calibration.ts';
import { modelField, sourceField, taskTypeField, windowFields, windowOf } from '../fields.ts';
import type { Store } from '../store/store.ts';

export const getCalibration = defineTool({
  name: 'get_calibration',
  title: 'Get Calibration',
  description:
    "Whether a model's stated confidence comes true as often as it says: Brier score with its parts, log score, calibration error with a bootstrap interval, and a reliability diagram as bins.",
  effect: 'read',
  hints: reading,
  input: z.object({
    model: modelField,
    task_type: taskTypeField,
    ...windowFields,
    source: sourceField,
    bins: z
      .int()
      .refine((count) => binCounts.includes(count), `must be one of ${binCounts.join(', ')}`)
      .default(10)
      .describe(`How many: ${binCounts.join(', ')}.`),
    method: z.enum(['equal_width', 'equal_mass']).default('equal_width').describe('Of the bins.'),
    resamples: z.int().min(50).max(2_000).default(500).describe('For the intervals.'),
    seed: z
      .int()
      .min(0)
      .max(2 ** 31)
      .default(1)
      .describe('The same seed gives the same intervals.'),
  }),
  output: calibrationOut,
  async handler(args, { reading: reader }: Store, call) {
    const model = reader.model(args.model);
    const window = windowOf(args, call.nowMs);
    const taskType = args.task_type === undefined ? undefined : reader.taskType(args.task_type);
    return inTurns(
      reader.read,
      call,
      telling(call, calibrationSteps(reader, { ...args, model, window, taskType, nowMs: call.nowMs })),
    );
  },
});
