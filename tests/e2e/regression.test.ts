/** The gate on speed: ratios of one run, never times, so that a slow or busy machine passes and a lost hot path does not. */
import { beforeAll, expect, test } from 'vitest';

import { measureRatios, type Ratios } from '../../scripts/bench/ratios.ts';
import { sharesOfBase } from '../../scripts/bench/tools.ts';

/**
 * Generous: far below what docs/performance.md shows for a quiet machine, and far above what the SDK alone reaches,
 * which is what is left when the hot path takes no calls.
 */
const least: Ratios = { ofBare: 0.25, ofSdk: 2.5 };

function complaints({ ofBare, ofSdk }: Ratios): string[] {
  return [
    ...(ofBare >= least.ofBare ? [] : [`${ofBare.toFixed(3)} of bare node:http, below ${least.ofBare}`]),
    ...(ofSdk >= least.ofSdk ? [] : [`${ofSdk.toFixed(2)} times the SDK alone, below ${least.ofSdk}`]),
  ];
}

let measured: Awaited<ReturnType<typeof measureRatios>>;

beforeAll(async () => {
  measured = await measureRatios();
});

test('Flotilla keeps its distance from bare Node and from the SDK alone', () => {
  expect(complaints(measured.flotilla)).toEqual([]);
});

test('a lost hot path would be found', () => {
  expect(complaints(measured.longWay)).toHaveLength(2);
});

test('a server that is the SDK alone would be found', () => {
  expect(complaints(measured.sdk)).toHaveLength(2);
});

/** The goal is a half of the base's rate; what reads or searches much has a hundredth. */
const leastShare = 0.15;

test('a real read and a real write of one small thing keep their distance from a large read', async () => {
  const {
    get_memory: read,
    add_observations: write,
    search_nodes: large,
  } = await sharesOfBase('memory', ['get_memory', 'add_observations', 'search_nodes']);

  expect(read).toBeGreaterThan(leastShare);
  expect(write).toBeGreaterThan(leastShare);
  expect(large).toBeLessThan(leastShare);
});
