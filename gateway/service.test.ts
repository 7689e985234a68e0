import { expect, test } from 'vitest';

import memory from '../services/memory/service.ts';
import { callTool, rpc } from '../tests/support/rpc.ts';
import { serveBehind } from './gateway.fixture.ts';

test('smoke', async () => {
  await using fronted = await serveBehind([memory]);
  const target = fronted.gateway;
  for (const era of ['modern', 'legacy'] as const) {
    const list = await rpc(target, 'tools/list', {}, { era });
    expect(list.result?.['tools'].length).toBeGreaterThan(5);
    const made = await callTool(target, 'add_memory', { text: 'The gateway stands.' }, { era });
    expect(made.error).toBeUndefined();
    expect(made.result?.['isError']).toBeUndefined();
  }
  console.log(JSON.stringify((await rpc(target, 'server/discover')).result).slice(0, 600));
});
