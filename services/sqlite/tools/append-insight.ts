import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storedText } from '#runtime/fields.ts';
import { adding } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Databases } from '../databases.ts';
import { memoUri } from '../insights.ts';
import { maxInsightLength } from '../limits.ts';

export const appendInsight = defineTool({
  name: 'append_insight',
  title: 'Append Insight',
  description: 'Add what you found out to the memo, the resource memo://insights, which is kept.',
  effect: 'write',
  hints: adding,
  input: z.object({ insight: storedText(maxInsightLength, 'What the data shows.') }),
  output: z.object({
    message: z.string().describe('What was done.'),
    insights: z.int().describe('How many the memo has.'),
  }),
  text: ({ message }) => message,

  handler({ insight }, { insights }: Databases, call) {
    if (insight.trim() === '') throw new ToolError('invalid_input', 'The insight is empty.');
    if (insight.length > maxInsightLength) {
      throw new ToolError('too_large', `An insight has at most ${maxInsightLength} characters.`, {
        hint: 'Shorten it.',
      });
    }
    const count = insights.add(call, insight);
    call.resourceUpdated(memoUri);
    return { message: 'Insight added to memo', insights: count };
  },
});
