import fc from 'fast-check';
import { expect, test } from 'vitest';

import { battleOf, columns } from '../battle.ts';
import { readCsv } from '../exchange/csv.ts';
import { exportPage, type ExportRequest } from '../exchange/export.ts';
import { trialStore } from '../store.fixture.ts';
import { winners } from '../vocabulary.ts';

type Trial = ReturnType<typeof trialStore>;

/** A page, and in how many steps it was read. */
function exported({ reading }: Trial, request: ExportRequest) {
  const work = exportPage(reading, request);
  let [step, steps] = [work.next(), 0];
  for (; !step.done; step = work.next()) steps += 1;
  return { ...step.value, steps };
}

const fight = { model_a: 'a', model_b: 'b', winner: 'model_a' };

test('the sums of pairs are what a count of all battles gives, in whichever order they are named', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          model_a: fc.constantFrom('a', 'b', 'c', 'd'),
          model_b: fc.constantFrom('a', 'b', 'c', 'd'),
          winner: fc.constantFrom(...winners),
          judge: fc.constantFrom('x', 'y'),
          task_type: fc.constantFrom('t', 'u'),
        }),
        { minLength: 1, maxLength: 40 },
      ),
      (battles) => {
        const fair = battles.filter(({ model_a: a, model_b: b }) => a !== b);
        if (fair.length === 0) return;
        using store = trialStore();
        for (const part of [fair.slice(0, 7), fair.slice(7)])
          if (part.length > 0) store.record({ battles: part });
        const which = { kind: 'model' } as const;
        const rows = store.reading.pairs(which);
        const again = store.reading.summedBattles(which, false);
        for (const { a, b, wa, wb, t, bb } of rows) {
          const [forth, back] = [
            again.find((row) => row.a === a && row.b === b),
            again.find((row) => row.a === b && row.b === a),
          ];
          expect(wa).toBe((forth?.aWins ?? 0) + (back?.bWins ?? 0));
          expect(wb).toBe((forth?.bWins ?? 0) + (back?.aWins ?? 0));
          expect(t + bb).toBe((forth?.ties ?? 0) + (back?.ties ?? 0));
        }
        expect(rows.reduce((sum, { wa, wb, t, bb }) => sum + wa + wb + t + bb, 0)).toBe(fair.length);
      },
    ),
    { numRuns: 15, seed: 1 },
  );
});

test('a batch is stored once; the same id with other battles is a conflict', () => {
  using store = trialStore();
  const batch = { batch: 'first', battles: [fight, { ...fight, winner: 'draw' }] };
  expect(store.record(batch)).toMatchObject({ accepted: 1, rejected: 1, refused: [{ index: 1 }], last: 1 });
  expect(store.record(batch)).toMatchObject({ accepted: 0, duplicates: 1, last: 1 });
  expect(() => store.record({ ...batch, battles: [fight] })).toThrow(
    expect.objectContaining({ code: 'conflict' }) as Error,
  );
  expect(store.record({ ...batch, owner: 'another' })).toMatchObject({ accepted: 1, last: 2 });
  expect(store.record({ battles: [fight] })).toMatchObject({ accepted: 1, last: 3 });
});

test('a token keeps to its quota, and what is too much leaves nothing behind', () => {
  using store = trialStore({ items: 3, bytes: 1e6 });
  store.record({ battles: [fight, fight] });
  expect(() => store.record({ battles: [fight, { ...fight, model_a: 'new' }] })).toThrow(
    expect.objectContaining({ code: 'too_large' }) as Error,
  );
  expect(store.reading.snapshot(0).battles).toBe(2);
  expect(store.reading.subjects('model').map(({ key }) => key)).toEqual(['model:a', 'model:b']);
  // Names that were made in vain are not remembered.
  expect(store.record({ battles: [{ ...fight, model_a: 'new' }] }).accepted).toBe(1);
  expect(store.keeper().kept().holdings).toMatchObject([{ owner: 'test', items: 3 }]);
});

test('CSV and JSONL come back as they went in', () => {
  using store = trialStore();
  const csv = [
    columns.join(','),
    'gpt,"a ""quoted"", name",model_a,item 1,code,judge,human,true,10,20,2026-01-01T00:00:00.000Z',
    'gpt,claude,both_bad,,general,,llm_judge,,,,2026-01-02T00:00:00.000Z',
    'claude,gpt,tie,"two\nlines",general,,human,false,0,3,2026-01-03T00:00:00.000Z',
    '',
  ].join('\r\n');
  expect(store.record({ csv })).toMatchObject({ accepted: 3, rejected: 0 });
  const all = { kind: 'model', taskType: undefined, state: undefined, after: 0, bytes: 1e6 } as const;
  expect(exported(store, { ...all, format: 'battles_csv' })).toMatchObject({
    content: csv,
    battles: 3,
    isLast: true,
  });
  const jsonl = exported(store, { ...all, format: 'battles_jsonl' }).content;
  using other = trialStore();
  expect(other.record({ jsonl })).toMatchObject({ accepted: 3, rejected: 0 });
  expect(exported(other, { ...all, format: 'battles_csv' }).content).toBe(csv);
  // In pages, which join to the same.
  let [joined, after] = ['', 0];
  for (let isLast = false; !isLast;) {
    const page = exported(other, { ...all, format: 'battles_csv', after, bytes: 10 });
    joined += page.content;
    ({ last: after, isLast } = page);
  }
  expect(joined).toBe(csv);
});

test('an export that finds few battles among many looks at few in each step', () => {
  using store = trialStore();
  const many = Array.from({ length: 1_000 }, () => fight);
  store.record({ battles: many });
  store.record({ battles: [{ ...fight, task_type: 'rare' }] });
  store.record({ battles: many });
  const all = { format: 'battles_csv', taskType: undefined, state: undefined, after: 0, bytes: 1e6 } as const;
  expect(exported(store, { ...all, kind: 'client' })).toMatchObject({ battles: 0, isLast: true, steps: 11 });
  expect(exported(store, { ...all, kind: 'model', taskType: 'rare' })).toMatchObject({
    battles: 1,
    last: 1_001,
    steps: 11,
  });
});

test('the columns of arena-rank are enough; others are named, and a cell that looks like a formula is defused', () => {
  using store = trialStore();
  const arena = 'question_id,model_a,model_b,winner,turn\n1,=cmd(),b,tie (bothbad),1\n2,a,b,model_b,1\n';
  expect(store.record({ csv: arena })).toMatchObject({ accepted: 2, ignored: ['question_id', 'turn'] });
  const { content } = exported(store, {
    kind: 'model',
    taskType: undefined,
    state: undefined,
    after: 0,
    bytes: 1e6,
    format: 'battles_csv',
  });
  expect(content).toContain("'=cmd(),b,both_bad");
});

test.each([
  ['no object', 7, 'is an object'],
  ['no winner', { model_a: 'a', model_b: 'b' }, 'winner is missing'],
  ['an unknown winner', { ...fight, winner: 'a' }, 'winner must be one of'],
  ['itself', { ...fight, model_b: 'model:a' }, 'the same'],
  ['a client', { ...fight, model_b: 'client:b' }, 'not compared'],
  ['an unknown field', { ...fight, mood: 'good' }, 'no field "mood"'],
  ['an unknown source', { ...fight, source: 'oracle' }, 'source must be'],
  ['half a length', { ...fight, len_a: 0.5 }, 'len_a must be'],
  ['NaN', { ...fight, len_b: Number.NaN }, 'len_b must be'],
  ['no flag', { ...fight, swapped: 'perhaps' }, 'swapped must be'],
  ['no time', { ...fight, time: 'yesterday' }, 'time must be'],
  ['a day that is none', { ...fight, time: '2026-02-30T00:00:00Z' }, 'time must be'],
  ['a number for a name', { ...fight, model_a: 5 }, 'model_a must be a text'],
  ['a long name', { ...fight, model_a: 'x'.repeat(301) }, 'at most 300'],
  ['NUL', { ...fight, item_id: 'a\0b' }, 'without NUL'],
])('a battle with %s is refused', (_, row, message) => {
  expect(() => battleOf(row, { judge: '', source: 3, taskType: 'general', nowMs: 0 }, true)).toThrow(message);
});

test.each([
  ['no columns', 'x,y\n1,2\n', 'no column model_a'],
  ['an open quotation', 'model_a,model_b,winner\n"a,b,tie\n', 'cannot be read'],
  ['a row too short', 'model_a,model_b,winner\na,b\n', 'cannot be read'],
])('CSV with %s is refused', (_, text, message) => {
  expect(() => [...readCsv(text).rows]).toThrow(message);
});

test('an empty batch, one of too many, and lines that are no JSON', () => {
  using store = trialStore();
  expect(() => store.record({ battles: [] })).toThrow('no battle');
  expect(() => store.record({ csv: 'model_a,model_b,winner\n' })).toThrow('no battle');
  expect(() => store.record({ jsonl: '{}\n'.repeat(100_001) })).toThrow('more than 100000');
  expect(store.record({ jsonl: `nonsense\n${JSON.stringify(fight)}\n` })).toMatchObject({
    accepted: 1,
    refused: [{ index: 0, message: 'This line is no JSON.' }],
  });
});

test('late and revised outcomes replace what was copied, and the oldest copies go', () => {
  using store = trialStore({ items: 1, bytes: 1 }, 100);
  store.decide([{ subject: 'm', uid: 'late' }]);
  store.decide([{ subject: 'm', uid: 'late', outcome: 0 }]);
  store.decide([{ subject: 'm', uid: 'late', outcome: 1, source: 0 }]);
  const copied = () => store.reading.decisions(store.reading.subject('m'), { kind: 'model' });
  expect(copied()).toMatchObject([{ outcome: 1, source: 0 }]);
  store.decide(Array.from({ length: 100 }, () => ({ subject: 'm' })));
  expect(copied()).toHaveLength(100);
  store.keeper().forgetCopy();
  expect(copied()).toEqual([]);
  expect(store.reading.changeOf('model')).toBe(0);
});

test('a token that names all that it may keeps neither others nor the copy of decisions from naming more', () => {
  using store = trialStore();
  const lines = (from: number, to: number, name: string) =>
    Array.from({ length: to - from }, (_, at) =>
      JSON.stringify({ model_a: `${name}${from + at}`, model_b: `${name}'${from + at}`, winner: 'tie' }),
    ).join('\n');
  expect(store.record({ jsonl: lines(0, 5_001, 'flood') })).toMatchObject({ accepted: 5_000, rejected: 1 });
  expect(store.record({ jsonl: lines(9_000, 9_001, 'flood') }).refused).toEqual([
    { index: 0, message: 'The token "test" has named 10000 models and clients already.' },
  ]);

  expect(store.record({ owner: 'other', jsonl: lines(0, 2, 'own') })).toMatchObject({ accepted: 2 });
  expect(store.record({ battles: [fight] })).toMatchObject({ accepted: 0, rejected: 1 });
  store.decide([{ subject: 'a model of decisions', taskType: 'another' }]);
  expect(
    store.reading.decisions(store.reading.subject('a model of decisions'), { kind: 'model' }),
  ).toHaveLength(1);
});
