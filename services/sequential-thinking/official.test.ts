import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import recorded from './official.recorded.json' with { type: 'json' };
import { memoryStore } from './store.fixture.ts';
import { sequentialthinking } from './tools/sequentialthinking.ts';

// What @modelcontextprotocol/server-sequential-thinking 2026.8.31 answered to these calls, in this order, over stdio.
test('the official tool answers as the official server does, with keys of our own after its keys', async () => {
  using store = memoryStore();

  for (const { args, structured, text, isError } of recorded) {
    const said = JSON.stringify(args);
    if (isError) {
      await expect(invoke(sequentialthinking, args, store), said).rejects.toMatchObject({
        code: 'invalid_input',
      });
      continue;
    }
    const ours = await invoke(sequentialthinking, args, store);

    expect(ours, said).toMatchObject({ ...structured });
    const itsKeys = Object.fromEntries(Object.entries(ours).slice(0, 5));
    expect(JSON.stringify(itsKeys, null, 2), said).toBe(text);
  }
});
