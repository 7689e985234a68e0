import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { engines, surroundings } from '../engine/engines.fixture.ts';
import { startMs } from './failures.fixture.ts';
import { openStrategies } from './kept-strategies.ts';

for (const [name, open] of Object.entries(engines)) {
  const around = surroundings[name];

  describe(`Strategies, kept by ${name},`, () => {
    let server: AsyncDisposable | undefined;
    beforeAll(async () => {
      if (around?.missing === undefined) server = await around?.start();
    });
    afterAll(async () => server?.[Symbol.asyncDispose]());
    beforeEach((context) => {
      if (around?.missing !== undefined) context.skip(around.missing);
    });

    test('are of one token each, replaced and taken away one by one', async () => {
      await using opened = await open();
      const strategies = openStrategies(opened.engine);
      const ignore = [{ do: 'ignore' }] as const;
      for (const owner of ['ann', 'ann-2', 'ann.b', 'ann0', 'Ann', 'an']) {
        expect(await strategies.set(owner, { agent: 'worker' }, ignore, startMs)).toBe(false); // oxlint-disable-line no-await-in-loop -- in order
      }
      expect(await strategies.set('ann', {}, [{ do: 'escalate' }], startMs)).toBe(false);
      expect(await strategies.set('ann', { agent: 'worker' }, [{ do: 'shut_down' }], startMs)).toBe(true);

      expect(await strategies.of('ann', startMs)).toEqual([
        expect.objectContaining({ steps: [{ do: 'escalate' }] }),
        expect.objectContaining({ agent: 'worker', steps: [{ do: 'shut_down' }] }),
      ]);
      expect(await strategies.set('ann', { agent: 'worker' }, [], startMs)).toBe(true);
      expect(await strategies.set('ann', { agent: 'worker' }, [], startMs)).toBe(false);
      expect(await strategies.of('ann', startMs)).toHaveLength(1);
      expect(await strategies.of('ann-2', startMs)).toHaveLength(1);
      expect(await strategies.of('nobody', startMs)).toEqual([]);
    });
  });
}
