/** Tools that run long, and so become tasks where the client takes one. */
import { setTimeout as sleep } from 'node:timers/promises';

import { acceptedContent } from '@modelcontextprotocol/server';
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

import { ask, filledIn, form } from './asking-tools.ts';
import { contentTool, fixtureTool, requestOf, text } from './fixture.ts';

/** Longer than a call may take without becoming a task. */
const longMs = 1_000;

const confirmForm = form('Delete it?', { confirm: { type: 'boolean' } });
const nameForm = form('What is your name?', { name: { type: 'string' } });

const slow = z.object({ seconds: z.number(), label: z.string() });

export const taskTools = [
  contentTool('greet', (_call, { name }) => text(`Hello, ${name}!`), z.object({ name: z.string() })),
  {
    ...contentTool(
      'slow_compute',
      async ({ signal }, { seconds, label }) => {
        await sleep(Number(seconds) * 1_000, undefined, { signal });
        return text(`Computed ${label}.`);
      },
      slow,
    ),
    task: 'optional' as const,
    timeoutMs: 120_000,
  },
  {
    ...contentTool('failing_job', async () => {
      await sleep(longMs);
      throw new ToolError('conflict', 'The job failed.');
    }),
    task: 'required' as const,
  },
  {
    ...contentTool('protocol_error_job', async () => {
      await sleep(longMs);
      throw new TypeError('A bug.');
    }),
    task: 'optional' as const,
  },
  {
    ...fixtureTool(
      'confirm_delete',
      async (call, { filename }) => {
        if (filledIn(call, 'confirm')) return text(`Deleted ${filename}.`);
        await sleep(longMs);
        return ask({ confirm: confirmForm });
      },
      z.object({ filename: z.string() }),
    ),
    task: 'optional' as const,
  },
  {
    ...fixtureTool('multi_input', async (call) => {
      const answers = requestOf(call).inputResponses;
      const [first, second] = [acceptedContent(answers, 'first'), acceptedContent(answers, 'second')];
      if (first && second) return text(`${String(first['name'])} and ${String(second['name'])}`);
      await sleep(longMs);
      return ask({ first: nameForm, second: nameForm });
    }),
    task: 'optional' as const,
  },
  {
    ...fixtureTool('test_tool_with_task', async (call) => {
      const answer = filledIn(call, 'user_name');
      if (!answer) return ask({ user_name: nameForm });
      await sleep(longMs);
      return text(`Hello, ${Object.values(answer).join(' ')}!`);
    }),
    task: 'required' as const,
  },
];
