import type { Prompt } from '#runtime/service.ts';

import type { Store } from './store.ts';

export const prompts: readonly Prompt<Store>[] = [
  {
    name: 'think_through',
    title: 'Think a problem through',
    description: 'Have a problem thought through step by step, with the steps kept.',
    arguments: { problem: { description: 'What to think about.', required: true } },
    messages: ({ problem = '' }) => [
      {
        role: 'user',
        content: {
          type: 'text',
          text: `Think this problem through with the tool sequentialthinking before you answer.

Call it once per thought, with an estimate of totalThoughts that you change as you learn more, and pass the session_id of its first answer from then on. Where an earlier thought turns out wrong, revise it (isRevision, revisesThought). Where there are two ways, try both as branches (branchFromThought, branchId), and look at compare_branches before you choose. State what you believe the answer to be, and test it, before you set nextThoughtNeeded to false. Then give the answer and the reasons that decided it.

The problem:

${problem}`,
        },
      },
    ],
  },
];
