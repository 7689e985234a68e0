import { expect, test } from 'vitest';

import { executeTool } from '#runtime/execute.ts';
import { testCall } from '#runtime/testing.ts';

import recorded from './official.recorded.json' with { type: 'json' };
import { coreTools } from './service.ts';
import { openStore } from './store.ts';

// What @modelcontextprotocol/server-memory 2026.8.31 answered to these calls, in this order, over stdio.
test('the official tools answer as the official server does', async () => {
  using store = openStore(':memory:');

  for (const { tool: name, args, text, structured } of recorded) {
    const tool = coreTools.find((candidate) => candidate.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);
    const answer = executeTool(tool, args, store, testCall());
    if (!structured) {
      await expect(answer).rejects.toMatchObject({ code: 'not_found', message: text });
      continue;
    }
    const { value } = (await answer) as { value: typeof structured };
    expect(value, `${name} ${JSON.stringify(args)}`).toEqual(structured);
    expect(tool.text?.(value) ?? JSON.stringify(value, null, 2)).toBe(text);
  }
});
