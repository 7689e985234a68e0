/** How fast many models are ranked over HTTP: for the suite `load`. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { ask, toolCall } from './requests.ts';
import type { BenchContext } from './section.ts';
import { median } from './statistics.ts';
import { startWorkload, workloadOf } from './workload-server.ts';

const rankings = { quick: 11, normal: 51, full: 201 } as const satisfies Record<
  BenchContext['depth'],
  number
>;

/** Each ranking is of battles that no ranking has seen: one comes in before. */
export async function measureComparing({ depth }: BenchContext) {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-comparing-'));
  await using server = await startWorkload(
    'comparative-intelligence',
    await workloadOf('comparative-intelligence'),
    folder.path,
  );
  const rank = toolCall(server.token, 'rank_models', {});
  const msOf: number[] = [];
  let models = 0;
  for (let number = 0; number <= rankings[depth]; number += 1) {
    const battle = { model_a: 'model-1', model_b: 'model-2', winner: 'model_a', item_id: `item ${number}` };
    await ask(server.url, toolCall(server.token, 'record_battles', { battles: [battle] }));
    const startedAtMs = performance.now();
    const { result } = await ask(server.url, rank);
    const ms = performance.now() - startedAtMs;
    const ranked = (result?.['structuredContent'] as { readonly rows?: readonly unknown[] } | undefined)
      ?.rows;
    if (!ranked?.length) throw new Error(`Nothing was ranked: ${JSON.stringify(result).slice(0, 500)}`);
    models = ranked.length;
    // The first one loads the code that computes.
    if (number > 0) msOf.push(ms);
  }
  const medianMs = median(msOf);
  return { models, medianMs, perSecond: (models * 1_000) / medianMs };
}
