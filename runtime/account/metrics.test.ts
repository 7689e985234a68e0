/** What a process pays for its metrics while nobody asks for them. */
import { expect, test } from 'vitest';

import { runModule } from '../../tests/support/child.ts';
import { createMetrics } from './metrics.ts';

test('Metrics do not measure the loop a second time', async () => {
  const told = await createMetrics('memory', '1.0.0').text();

  expect(told).toContain('process_cpu_seconds_total');
  expect(told).toContain('flotilla_event_loop_lag_seconds');
  expect(told).not.toContain('nodejs_eventloop');
});

test('Metrics do not wake a process that has nothing to do', async () => {
  await using child = runModule(
    `
      import { readFileSync } from 'node:fs';
      import { setTimeout as sleep } from 'node:timers/promises';
      import { createMetrics } from './runtime/account/metrics.ts';

      createMetrics('memory', '1.0.0');
      const waits = () => Number(/^voluntary_ctxt_switches:\\s+(\\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      await sleep(200);
      const before = waits();
      await sleep(1_000);
      console.log(waits() - before);
    `,
    [],
  );

  // The histogram of the loop's delay, which is left out, waits a hundred times a second.
  expect(Number(await child.line())).toBeLessThan(50);
});
