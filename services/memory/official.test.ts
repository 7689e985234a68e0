import { expect, test } from 'vitest';

import type { ToolError } from '#runtime/errors.ts';
import { invoke } from '#runtime/testing.ts';

import recorded from './official.recorded.json' with { type: 'json' };
import { coreTools } from './service.ts';
import { openStore } from './store.ts';

// What @modelcontextprotocol/server-memory 2026.8.31 answered to these calls, in this order, over stdio.
test('the official tools answer as the official server does', async () => {
  using store = openStore(':memory:');

  for (const { tool: name, args, ...answer } of recorded) {
    const tool = coreTools.find((candidate) => candidate.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);

    const ours = await invoke(tool, args, store).then(
      (structured) => ({
        structured,
        // What it would not say is in blocks of their own.
        text: [tool.text?.(structured) ?? JSON.stringify(structured, null, 2)].flat()[0],
      }),
      (error: ToolError) => ({ isError: true, text: error.message }),
    );

    expect(ours, `${name} ${JSON.stringify(args)}`).toMatchObject(answer);
  }
});
