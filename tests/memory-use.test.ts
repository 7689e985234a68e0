/** Requests leave nothing behind: the heap after thousands of them is as it was before. */
import { expect, test } from 'vitest';

import { runModule } from './support/child.ts';

const warmUp = 500;
const requests = 3_000;
/** A request that is kept whole takes about 16 KB: all of them would take 48 MB. */
const mostGrowthMb = 8;

test.each([
  { name: 'calls of the older revisions', era: 'legacy', method: 'tools/call' },
  { name: 'lists of the older revisions', era: 'legacy', method: 'tools/list' },
  { name: 'calls of 2026-07-28 on the long way', era: 'modern', method: 'tools/call' },
])('$name', async ({ era, method }) => {
  await using child = runModule(
    `
      import { serve } from './tests/support/serve.ts';
      import { send } from './tests/support/rpc.ts';
      import { wireService } from './tests/support/wire-service.ts';

      const [era, method] = process.argv.slice(1);
      await using served = await serve(wireService().service, {}, 0, { hotPath: false });
      const params = method === 'tools/call' ? { name: 'echo', arguments: { nonce: 'n' } } : {};
      const many = async (count) => {
        for (let left = count; left > 0; left -= 10) {
          await Promise.all(Array.from({ length: 10 }, async () => (await send(served, method, params, { era })).text()));
        }
      };
      const heapMb = async () => {
        for (let i = 0; i < 5; i++) {
          globalThis.gc();
          await new Promise((done) => setTimeout(done, 50)); // finalizers run between
        }
        return process.memoryUsage().heapUsed / 1e6;
      };
      await many(${warmUp});
      const before = await heapMb();
      await many(${requests});
      console.log(((await heapMb()) - before).toFixed(1));
    `,
    [era, method],
    ['--expose-gc'],
  );

  expect(Number(await child.line())).toBeLessThan(mostGrowthMb);
});
