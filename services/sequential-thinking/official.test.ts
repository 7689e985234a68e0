import { expect, test } from 'vitest';

import type { ToolError } from '#runtime/errors.ts';
import { invoke } from '#runtime/testing.ts';

import recorded from './official.recorded.json' with { type: 'json' };
import { memoryStore } from './store.fixture.ts';
import { sequentialthinking } from './tools/sequentialthinking.ts';

// What @modelcontextprotocol/server-sequential-thinking 2026.8.31 answered to these calls, in this order, over stdio.
test('the official tool answers as the official server does, with keys of our own after its keys', async () => {
  using store = memoryStore();

  for (const { args, ...answer } of recorded) {
    const ours = await invoke(sequentialthinking, args, store).then(
      (structured) => {
        const itsKeys = Object.fromEntries(Object.entries(structured).slice(0, 5));
        return { structured: itsKeys, text: JSON.stringify(itsKeys, null, 2) };
      },
      ({ code }: ToolError) => ({ isError: code === 'invalid_input' }),
    );

    expect(ours, JSON.stringify(args)).toEqual(answer);
  }
});
