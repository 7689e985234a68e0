import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { catalogue } from '#config/catalogue.ts';

import { acknowledgedWrites, triedStores, withoutAcknowledgedWrites } from './acknowledged.ts';
import { disksRefused, inOwnMounts } from './own-mounts.ts';
import type { Cut } from './power-cut.ts';
import { isWhole } from '../support/trials.ts';

const cuts = isWhole ? 20 : 1;
const cutMs = 120_000;

const refusal = await disksRefused();
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

function report(title: string, all: readonly Cut[]): void {
  const times = all.flatMap(({ restartMs = [] }) => restartMs);
  const figures = [
    `${all.length} power cuts`,
    `${sum(all.map(({ acknowledged }) => acknowledged))} writes acknowledged`,
    `${sum(all.map(({ lost = [] }) => lost.length))} lost, in ${all.filter(({ lost }) => lost?.length).length} cuts`,
    `${sum(all.map(({ removals }) => removals))} removals recorded but for ${sum(all.map(({ unrecorded = [] }) => unrecorded.length))}`,
    `back after ${Math.min(...times)} to ${Math.max(...times)} ms but for ${all.length - times.length}`,
  ];
  process.stdout.write(`${title}: ${figures.join('; ')}\n`);
}

test('every process that keeps data says here what it acknowledges, or why nothing', () => {
  const known = [...Object.keys(acknowledgedWrites), ...Object.keys(withoutAcknowledgedWrites)];

  const keeping = catalogue.filter(({ data }) => data !== null).map(({ name }) => name);
  expect(known.toSorted()).toEqual(keeping.toSorted());
});

describe('after a power cut nothing is lost that was acknowledged', () => {
  test.concurrent.for(triedStores)('by %s', { timeout: cuts * cutMs }, async (name, context) => {
    if (refusal) context.skip(refusal);

    const all = await inOwnMounts<Cut>('power-cut.ts', [name, String(cuts)], context.signal);

    report(name, all);
    expect(all).toHaveLength(cuts);
    const removes = acknowledgedWrites[name]?.some(({ remove }) => remove) ?? false;
    for (const cut of all) {
      expect(cut.removals > 0).toBe(removes);
      expect(cut).toMatchObject({
        failures: [],
        refused: null,
        lost: [],
        damages: [],
        auditFaults: [],
        unrecorded: [],
      });
    }
  });

  test.concurrent.for(isWhole ? triedStores : triedStores.slice(0, 1))(
    'but by %s when SQLite does not wait for the disk: the trial can fail',
    { timeout: cuts * cutMs },
    async (name, context) => {
      if (refusal) context.skip(refusal);
      const preload = fileURLToPath(new URL('synchronous-off.ts', import.meta.url));

      const all = await inOwnMounts<Cut>(
        'power-cut.ts',
        [name, String(Math.ceil(cuts / 2)), preload],
        context.signal,
      );

      report(`${name} without synchronous=FULL`, all);
      expect(all.some(({ refused, lost = [] }) => refused !== null || lost.length > 0)).toBe(true);
    },
  );
});
