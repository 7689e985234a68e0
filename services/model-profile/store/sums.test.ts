/** Sums against what they are sums of. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ToolError } from '#runtime/errors.ts';

import { testLedger } from '../store.fixture.ts';
import { sources } from '../vocabulary.ts';
import { addError, addVerdict, addVolume, decodeCell, emptyCell, encodeCell, type Cell } from './cell.ts';
import { dayOf } from './day.ts';
import type { StoredDecision } from './reading.ts';
import { addTo, emptySketch, merge, sketchError, valueAt } from './sketch.ts';

/** The sums of a cell as they would be if all decisions came now. */
function recomputed(rows: readonly StoredDecision[]): Cell {
  const cell = emptyCell();
  for (const row of rows) {
    addVolume(cell, {
      cluster: row.cluster,
      latencyMs: row.latency_ms,
      costUsd: row.cost_usd,
      inputTokens: row.input_tokens,
      outputTokens: row.output_tokens,
      reasoningTokens: row.reasoning_tokens,
    });
    if (row.outcome !== null && row.source !== null)
      addVerdict(cell, { outcome: row.outcome, source: row.source, confidence: row.confidence }, 1);
    if (row.error_kind !== null) addError(cell, row.error_kind, 1);
  }
  return cell;
}

const maybe = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
const chance = fc.oneof(
  fc.constantFrom(0, 0.1, 0.29, 0.5, 0.9, 1),
  fc.double({ min: 0, max: 1, noNaN: true }),
);
const outcome = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const uid = fc.nat(30).map((n) => `d${n}`);

const recording = fc.record({
  is: fc.constant('record' as const),
  owner: fc.constantFrom('anna', 'bert'),
  uid,
  model: fc.constantFrom('model:a', 'model:b'),
  task_type: fc.constantFrom('code', 'text'),
  time: fc.constantFrom('2026-11-18T23:59:59Z', '2026-11-19T00:00:00Z', '2026-11-20T11:00:00Z'),
  confidence: maybe(chance),
  judged: maybe(fc.record({ outcome, source: fc.constantFrom(...sources) })),
  latency_ms: maybe(fc.double({ min: 0, max: 1e6, noNaN: true })),
  cost_usd: maybe(fc.double({ min: 0, max: 100, noNaN: true })),
  input_tokens: maybe(fc.nat(1e6)),
  cluster_id: maybe(fc.constant('c')),
});
const resolving = fc.record({
  is: fc.constant('resolve' as const),
  uid,
  outcome,
  source: fc.nat(sources.length - 1),
  errorKind: fc.option(fc.nat(11)),
});
const restart = fc.record({ is: fc.constant('restart' as const) });

test('After any order of decisions, late outcomes, revisions and restarts, all sums are those of the rows', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          { weight: 6, arbitrary: recording },
          { weight: 6, arbitrary: resolving },
          { weight: 1, arbitrary: restart },
        ),
        { maxLength: 60 },
      ),
      (steps) => {
        using store = testLedger(undefined, 7);
        store.register('a');
        store.register('b');
        for (const step of steps) {
          if (step.is === 'restart') store.reopen();
          else if (step.is === 'record') {
            const { is: _, owner, judged, ...decision } = step;
            store.record([{ ...decision, ...judged }], owner);
          } else {
            try {
              store.resolve(step.uid, step.outcome, step.source, {
                errorKind: step.outcome === 1 ? null : step.errorKind,
              });
            } catch (error) {
              if (!(error instanceof ToolError && error.code === 'not_found')) throw error;
            }
          }
        }
        const rows = store.database.prepare<[], StoredDecision>('SELECT * FROM decision').all();
        const cells = store.database
          .prepare<[], { model: number; day: number; task_type: number; sums: Buffer }>('SELECT * FROM cell')
          .all();
        for (const { model, day, task_type: type, sums } of cells) {
          const own = rows.filter(
            (row) => row.model === model && dayOf(row.at_ms) === day && row.task_type === type,
          );
          expect(sums.equals(encodeCell(recomputed(own)))).toBe(true);
        }
        expect(cells.reduce((n, { sums }) => n + decodeCell(sums).n, 0)).toBe(rows.length);
        // Each model's list leads to each of its decisions once.
        for (const key of ['model:a', 'model:b']) {
          const found: number[] = [];
          const model = store.reading.model(key);
          const walk = store.reading.decisions(store.reading.newestOf(model), ({ id }) => found.push(id) > 0);
          while (!walk.next().done);
          expect(found).toEqual(
            rows
              .filter((row) => row.model === model.id)
              .map(({ id }) => id)
              .toReversed(),
          );
        }
        // Every change has a number of its own.
        const changes = store.reading.changes(0, 1_000).map(({ change }) => change);
        expect(changes).toEqual(Array.from({ length: changes.length }, (_, at) => at + 1));
        expect(store.reading.change()).toBe(changes.length);
      },
    ),
    { numRuns: 40 },
  );
});

test('A cell is read as it was written', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(chance, outcome, fc.nat(3), fc.double({ min: 0, max: 1e8, noNaN: true })), {
        maxLength: 50,
      }),
      (list) => {
        const cell = emptyCell();
        for (const [confidence, result, source, latencyMs] of list) {
          addVolume(cell, {
            cluster: null,
            latencyMs,
            costUsd: latencyMs / 1e6,
            inputTokens: 1,
            outputTokens: null,
            reasoningTokens: 3,
          });
          addVerdict(cell, { outcome: result, source, confidence }, 1);
          addError(cell, source, 1);
        }
        const read = decodeCell(encodeCell(cell));
        expect(encodeCell(read).equals(encodeCell(cell))).toBe(true);
        expect(read.judged).toEqual(cell.judged);
      },
    ),
    { numRuns: 100 },
  );
});

describe('a sketch', () => {
  test('finds each quantile within its error, and sketches add up', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1e12 }), { minLength: 1, maxLength: 200 }), (values) => {
        const [whole, left, right] = [emptySketch(), emptySketch(), emptySketch()];
        for (const [at, value] of values.entries()) {
          addTo(whole, value);
          addTo(at % 2 === 0 ? left : right, value);
        }
        merge(left, right);
        const sorted = values.toSorted((a, b) => a - b);
        for (const [rank, value] of sorted.entries()) {
          const found = valueAt(whole, rank);
          expect(Math.abs(found - value)).toBeLessThanOrEqual(value * sketchError * 1.000_001);
          expect(valueAt(left, rank)).toBe(found);
        }
      }),
    );
  });
});
