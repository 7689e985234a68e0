import fc from 'fast-check';
import { expect, test } from 'vitest';

import { exportLines, exportStart, importLines, type ExportPosition } from './jsonl.ts';
import { maxTextLength } from '../limits.ts';
import { openStore, type Store } from '../store.ts';
import { atOnce, entity, graphOf, recorded, relation, storeWith, type Graph } from '../store.fixture.ts';

function exported(store: Store, limit: number, characters: number): string {
  const lines: string[] = [];
  for (let at: ExportPosition | undefined = exportStart; at;) {
    const page: { lines: string[]; next: ExportPosition | undefined } = atOnce(
      exportLines(store.graph, at, limit, characters),
    );
    lines.push(...page.lines);
    at = page.next;
  }
  return lines.join('\n');
}

const importing = (store: Store, jsonl: string) =>
  recorded(store, (change) => importLines(store.graph, change, jsonl, 'skip'));

const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 4 }).filter((text) => !text.includes('\0'));
const graph: fc.Arbitrary<Graph> = fc
  .uniqueArray(fc.record({ name, entityType: name, observations: fc.uniqueArray(name, { maxLength: 5 }) }), {
    selector: (one) => one.name,
    minLength: 1,
    maxLength: 6,
  })
  .chain((entities) => {
    const end = fc.constantFrom(...entities.map((one) => one.name));
    const relations = fc.uniqueArray(fc.record({ from: end, to: end, relationType: name }), {
      selector: (one) => JSON.stringify([one.from, one.to, one.relationType]),
    });
    return fc.record({ entities: fc.constant(entities), relations });
  });

test('a graph survives export and import, however small the answers are', () => {
  fc.assert(
    fc.property(
      graph,
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 40, max: 200 }),
      (given, limit, size) => {
        using source = storeWith(given);
        using target = openStore(':memory:');

        const report = importing(target, exported(source, limit, size));

        expect(report.refused).toEqual([]);
        expect(graphOf(target)).toEqual(given);
      },
    ),
  );
});

test('the lines are those of the official file', () => {
  using store = storeWith({ entities: [entity('a', 'x'), entity('b')], relations: [relation('a', 'b')] });

  expect(exported(store, 100, 1_000).split('\n')).toEqual([
    '{"type":"entity","name":"a","entityType":"thing","observations":["x"]}',
    '{"type":"entity","name":"b","entityType":"thing","observations":[]}',
    '{"type":"relation","from":"a","to":"b","relationType":"knows"}',
  ]);
});

test('bad lines are named by number and the others imported', () => {
  using store = openStore(':memory:');
  const lines = [
    '{"type":"relation","from":"a","to":"b","relationType":"before its entities"}',
    '{"type":"entity","name":"a","entityType":"t","observations":["x"]}',
    '{broken',
    '',
    '{"type":"entity","name":"b","entityType":"t"}',
    '{"type":"entity","name":"b","entityType":"t","observations":[],"more":"ignored"}',
    '{"type":"other"}',
    '{"type":"relation","from":"a","to":"gone","relationType":"r"}',
    `{"type":"entity","name":"c","entityType":"t","observations":["fine","${'x'.repeat(maxTextLength + 1)}"]}`,
    '/etc/passwd',
  ];

  const report = importing(store, lines.join('\n'));

  expect(report).toMatchObject({ entities: 2, observations: 1, relations: 1 });
  expect(report.refused.map(({ line }) => line)).toEqual([3, 5, 7, 8, 9, 10]);
  expect(report.refused[3]?.reason).toBe('Entity with name gone not found');
  expect(graphOf(store).entities.map((one) => one.name)).toEqual(['a', 'b']);
});

test('an entity that exists gains the observations that it lacks', () => {
  using store = storeWith({ entities: [entity('a', 'x')] });

  importing(store, '{"type":"entity","name":"a","entityType":"other","observations":["x","y"]}');

  expect(graphOf(store).entities).toEqual([entity('a', 'x', 'y')]);
});

test('an import of nothing but bad lines is not read to its end', () => {
  using store = openStore(':memory:');
  const jsonl = '{\n'.repeat(990_000);

  for (const onBadLine of ['refuse', 'skip'] as const) {
    expect(() => recorded(store, (change) => importLines(store.graph, change, jsonl, onBadLine))).toThrow(
      expect.objectContaining({
        code: 'invalid_input',
        message: expect.stringContaining('At least 1000 bad lines (read up to line 1000), nothing imported'),
      }),
    );
  }
});
