import { setImmediate as nextTurn } from 'node:timers/promises';

import { expect, test } from 'vitest';

import type { Caller } from '../access/tokens.ts';
import { Streams } from './http.ts';

test('a stream makes nothing that its client has not asked for', async () => {
  using streams = new Streams(() => true, { error: () => {} });
  let made = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        made += 1;
        controller.enqueue(new Uint8Array(1));
      },
    },
    { highWaterMark: 0 },
  );
  const guarded = streams.guard(new Response(body), { name: 'a' } as Caller, '');
  const reader = (guarded.body as ReadableStream<Uint8Array>).getReader();
  await nextTurn();
  expect(made).toBe(0);
  for (const count of [1, 2]) {
    await reader.read(); // oxlint-disable-line no-await-in-loop -- one after the other
    await nextTurn(); // oxlint-disable-line no-await-in-loop
    expect(made).toBe(count);
  }
  await reader.cancel();
});
