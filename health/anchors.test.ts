import { expect, test } from 'vitest';

import type { Break } from '#runtime/account/audit-breaks.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { Anchors, readAnchors } from './anchors.ts';

const minuteMs = 60_000;
const startMs = Date.parse('2026-11-20T12:00:00Z');
const [first, second, third] = ['1'.repeat(16), '2'.repeat(16), '3'.repeat(16)];

const memory = (sequence: number, chain = first, hash = String(sequence % 10).repeat(64)) => ({
  name: 'memory',
  audit: { chain, sequence, hash: sequence === 0 ? '0'.repeat(64) : hash },
});

function place(breaks: Break[] = []) {
  const folder = temporaryFolder();
  const anchors = new Anchors(folder.path, () => breaks);
  return {
    anchors,
    folder: folder.path,
    breaks,
    sequences: () =>
      readAnchors(folder.path)
        .get('memory')
        ?.map(({ sequence }) => sequence) ?? [],
    [Symbol.dispose]() {
      anchors[Symbol.dispose]();
      folder[Symbol.dispose]();
    },
  };
}

test('the last head of each minute is kept, and who only looks can read it beside health, or after it', () => {
  using here = place();

  for (const [atMs, sequence] of [0, 10_000, 50_000, 61_000, 62_000].entries())
    here.anchors.record(startMs + sequence, [memory(atMs * 10), { name: 'git' }]);

  expect(here.sequences()).toEqual([20, 40]);
  expect(readAnchors(here.folder).get('memory')?.[1]).toMatchObject({
    ...memory(40).audit,
    seenBy: 'health',
    seenAt: '2026-11-20T12:01:02.000Z',
  });
  expect(here.anchors.troubles).toEqual([]);
  here.anchors[Symbol.dispose]();
  expect(here.sequences()).toEqual([20, 40]);
});

test('none were seen where health never ran', () => {
  using folder = temporaryFolder();

  expect(readAnchors(folder.path).size).toBe(0);
});

test('what was seen is not overwritten by a trail that goes back, which is told at once and after a restart', () => {
  using here = place();
  here.anchors.record(startMs, [memory(43)]);
  here.anchors.record(startMs + 1_000, [memory(20)]);
  here.anchors.record(startMs + 2_000, [memory(50)]);

  expect(here.sequences()).toEqual([43, 50]);
  expect(here.anchors.troubles).toEqual(['the audit trail of memory went back; see: flotilla audit verify']);
  here.anchors[Symbol.dispose]();
  using again = new Anchors(here.folder, () => here.breaks);
  again.record(startMs + 3_000, [memory(51)]);
  expect(again.troubles).toHaveLength(1);

  here.breaks.push({ kind: 'accepted', name: 'memory', at: new Date(startMs + 4_000).toISOString() });
  again.record(startMs + minuteMs, [memory(52)]);
  expect(again.troubles).toEqual([]);
});

test('another head with the same number went back too', () => {
  using here = place();
  here.anchors.record(startMs, [memory(43)]);
  here.anchors.record(startMs + 1_000, [memory(43, first, 'a'.repeat(64))]);

  expect(here.anchors.troubles).toHaveLength(1);
});

test('another chain is told, unless a restore put it in place', () => {
  using here = place();
  here.anchors.record(startMs, [memory(43)]);
  here.anchors.record(startMs + 1_000, [memory(0, second)]);

  expect(here.anchors.troubles).toEqual([
    'memory has another audit trail than before, and no restore explains it; see: flotilla audit verify',
  ]);
  const at = new Date(startMs).toISOString();
  here.breaks.push({
    kind: 'restored',
    name: 'memory',
    at,
    archive: 'a',
    from: first,
    sequence: 11,
    to: third,
  });
  here.anchors.record(startMs + 2_000, [memory(12, third)]);
  expect(here.anchors.troubles).toEqual([]);
  here.anchors.record(startMs + 3_000, [memory(13, second)]);
  expect(here.anchors.troubles).toHaveLength(1);
});

test('a list of breaks that cannot be read is told', () => {
  using folder = temporaryFolder();
  using anchors = new Anchors(folder.path, () => {
    throw new Error('the list is damaged');
  });

  anchors.record(startMs, [memory(1)]);

  expect(anchors.troubles).toEqual(['the list is damaged']);
});

test('older heads are thinned to one an hour, then one a day, and the last one of all stays', () => {
  using here = place();
  const days = 12;
  for (let minute = 0; minute <= days * 24 * 60; minute += 15)
    here.anchors.record(startMs + minute * minuteMs, [memory(minute + 1)]);

  const left = here.sequences();

  expect(left.length).toBeLessThan(7 * 24 + days + 12);
  expect(left.length).toBeGreaterThan(7 * 24);
  expect(left.at(-1)).toBe(days * 24 * 60 + 1);
  // A quarter to midnight, of each day.
  expect(left.slice(0, 3)).toEqual([706, 706 + 24 * 60, 706 + 48 * 60]);
});
