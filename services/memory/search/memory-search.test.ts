import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { openDatabase } from '#runtime/database.ts';

import { atOnce } from '../store.fixture.ts';
import { questions, sessions } from './conversations.fixture.ts';
import { openMemoryIndex } from './memory-index.ts';
import { openMemorySearch, type SearchRequest } from './memory-search.ts';

const nowIso = '2026-01-01T00:00:00.000Z';

interface Memory {
  text: string;
  project?: string;
  session?: string;
  speaker?: string;
  tags?: string[];
  occurredAt?: string;
  expiresAt?: string;
}

function openStore() {
  const db = openDatabase(':memory:', fileURLToPath(new URL('../migrations', import.meta.url)));
  for (const id of [1, 2])
    db.prepare("INSERT INTO change (id, at, caller, tool) VALUES (?, '', '', '')").run(id);
  const index = openMemoryIndex(db);
  const search = openMemorySearch(db, index);
  const insert = db.prepare(
    `INSERT INTO memory (text, project, session, speaker, tags, occurred_at, created_at, expires_at, valid_from, memory_id)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, (SELECT count(*) + 1 FROM memory))`,
  );

  return {
    db,
    index,
    add({
      text,
      project,
      session,
      speaker,
      tags = [],
      occurredAt = '2025-01-01T00:00:00.000Z',
      expiresAt,
    }: Memory) {
      const row = { text, project: project ?? null, speaker: speaker ?? null, tags };
      const id = Number(
        insert.run(
          text,
          row.project,
          session ?? null,
          row.speaker,
          JSON.stringify(tags),
          occurredAt,
          occurredAt,
          expiresAt ?? null,
        ).lastInsertRowid,
      );
      index.prepare([], [{ id, ...row }]).write();
      return id;
    },
    search(query: string, request: Partial<SearchRequest> = {}) {
      return atOnce(search.searchMemories({ query, limit: 10, nowIso, ...request }));
    },
    find(query: string, request: Partial<SearchRequest> = {}) {
      return this.search(query, request).hits.map(({ id }) => id);
    },
    [Symbol.dispose]() {
      db.close();
    },
  };
}

test('word forms, case, accents and irregular verbs do not matter', () => {
  using store = openStore();
  const cafe = store.add({ text: 'She went to the Café' });
  const cities = store.add({ text: 'Painting cities' });

  expect(store.find('go')).toEqual([cafe]);
  expect(store.find('CAFE')).toEqual([cafe]);
  expect(store.find('paint a city')).toEqual([cities]);
});

test.each([
  ['short forms', 'My mom and the kids sent pics', ['mother', 'child', 'photograph']],
  ['short forms with an ending', 'biking, with veggies', ['bicycles', 'vegetable']],
  ['spellings of another country', 'two coloured neighbours', ['color', 'neighbor']],
  ['-ship', 'our friendships', ['friends']],
])('what is written otherwise is found: %s', (_, text, queries) => {
  using store = openStore();
  const id = store.add({ text });

  expect(queries.map((query) => store.find(query))).toEqual(queries.map(() => [id]));
});

test('one word in common is enough, and rare words decide', () => {
  using store = openStore();
  const [common, rare] = [
    store.add({ text: 'the garden in spring' }),
    store.add({ text: 'the heron in spring' }),
  ];
  store.add({ text: 'a garden party' });

  expect(store.find('heron garden unheard')[0]).toBe(rare);
  expect(store.find('heron garden unheard')).toContain(common);
});

test('stop words decide only when the query has no other word', () => {
  using store = openStore();
  const question = store.add({ text: 'to be or not to be' });
  const tax = store.add({ text: 'tax office' });

  expect(store.find('What is the tax?')).toEqual([tax]);
  expect(store.find('To be, or not?')).toEqual([question]);
});

test.each([
  ['Chinese, one character', '我昨天在东京吃了拉面', '面'],
  ['Chinese, two characters', '我昨天在东京吃了拉面', '东京'],
  ['Japanese', 'きのう東京でラーメンを食べました', 'ラーメン'],
  ['Korean with a particle', '어제 서울에서 친구를 만났다', '서울'],
  ['Thai', 'เมื่อวานฉันกินข้าวที่กรุงเทพ', 'ข้าว'],
  ['mixed scripts', 'We use Redis作为缓存 in production', '缓存'],
  ['an emoji', 'party tonight 🎉', '🎉'],
])('text without spaces is found: %s', (_, text, query) => {
  using store = openStore();
  store.add({ text: 'something else, 其他, その他, 기타, อื่น' });
  const id = store.add({ text });

  expect(store.find(query)[0]).toBe(id);
});

test('of two texts with the same characters, the one with the same word comes first', () => {
  using store = openStore();
  store.add({ text: '京城在东边' });
  const tokyo = store.add({ text: '他住在东京' });
  store.add({ text: '京城在东边' });

  expect(store.find('东京')[0]).toBe(tokyo);
});

test.each([
  '"',
  '"a',
  'a AND',
  'NEAR(a b)',
  'text:a',
  '^a',
  'a*',
  '-a',
  '(a',
  "'; DROP TABLE memory; --",
  'a\0b',
  '\ud800',
  '%',
  '{"a":1}',
])('a query is words, never syntax: %j', (query) => {
  using store = openStore();
  store.add({ text: 'a b text near drop' });

  expect(() => store.search(query)).not.toThrow();
});

test.each(['', '   ', '?!', '\0'])('a query without a word finds nothing: %j', (query) => {
  using store = openStore();
  store.add({ text: 'anything' });

  expect(store.search(query)).toEqual({ hits: [], hasMore: false });
});

test('of a query of 100 KB the first words are used', () => {
  using store = openStore();
  const id = store.add({ text: 'the heron' });
  store.add({ text: 'beyond' });
  const query = `heron ${Array.from({ length: 15_000 }, (_, i) => `word${i}`).join(' ')} beyond`;

  expect(store.find(query)).toEqual([id]);
});

test('filters apply before the limit', () => {
  using store = openStore();
  const wanted = store.add({
    text: 'heron and much other text',
    project: 'rare',
    tags: ['bird'],
    occurredAt: '2024-06-15T00:00:00.000Z',
  });
  for (let i = 0; i < 300; i += 1) store.add({ text: 'heron', project: 'common', tags: ['other'] });

  expect(store.find('heron', { project: 'rare', limit: 1 })).toEqual([wanted]);
  expect(store.find('heron', { tags: ['bird'], limit: 1 })).toEqual([wanted]);
  expect(store.find('heron', { since: '2024-06-01', until: '2024-07-01', limit: 1 })).toEqual([wanted]);
  expect(store.find('heron', { project: 'unknown' })).toEqual([]);
});

test('a time filter finds the one memory in a large store', () => {
  using store = openStore();
  const wanted = store.add({ text: 'heron and much other text', occurredAt: '2024-06-15T00:00:00.000Z' });
  store.db.transaction(() => {
    for (let i = 0; i < 10_000; i += 1) store.add({ text: 'heron' });
  })();

  expect(store.find('heron', { since: '2024-06-01', until: '2024-07-01', limit: 1 })).toEqual([wanted]);
});

test('a memory has to carry all tags', () => {
  using store = openStore();
  store.add({ text: 'heron', tags: ['bird'] });
  const both = store.add({ text: 'heron', tags: ['bird', 'lake'] });

  expect(store.find('heron', { tags: ['lake', 'bird'] })).toEqual([both]);
});

test('pages join without overlap in an order of descending scores', () => {
  using store = openStore();
  for (let i = 0; i < 130; i += 1) store.add({ text: `heron ${'and '.repeat(i % 7)}`, session: `s${i % 9}` });

  const all = store.search('heron', { limit: 200 });
  const pages = [0, 40, 80, 120].map((offset) => store.search('heron', { limit: 40, offset }));
  expect(pages.flatMap(({ hits }) => hits)).toEqual(all.hits);
  expect(pages.map(({ hasMore }) => hasMore)).toEqual([true, true, true, false]);
  expect(all.hits).toHaveLength(130);
  expect(all.hits.map(({ score }) => score)).toEqual(
    all.hits.map(({ score }) => score).toSorted((x, y) => y - x),
  );
});

test('of equal memories the newer comes first', () => {
  using store = openStore();
  const ids = [store.add({ text: 'heron' }), store.add({ text: 'heron' }), store.add({ text: 'heron' })];

  expect(store.find('heron')).toEqual(ids.toReversed());
});

test('an answer is found by the words of the question before it, in its session only', () => {
  using store = openStore();
  store.add({ text: 'Where is the spare key?', project: 'p', session: 'a' });
  store.add({ text: 'Thursday.', project: 'p', session: 'b' });
  const answer = store.add({ text: 'Below the blue pot.', project: 'p', session: 'a' });

  expect(store.find('spare key', { project: 'p' })).toContain(answer);
  expect(store.find('spare key', { project: 'p' })).toHaveLength(2);
});

test('what is said between two memories that have the word comes before what follows one', () => {
  using store = openStore();
  const between = ['The spare key.', 'Below the blue pot.', 'My spare key.'].map((text) =>
    store.add({ text, session: 'a' }),
  )[1];
  const after = ['The spare key.', 'Below the red pot.'].map((text) => store.add({ text, session: 'b' }))[1];
  const found = store.find('spare key');

  expect(found.filter((id) => id === between || id === after)).toEqual([between, after]);
});

test('an updated memory keeps its place in the session', () => {
  using store = openStore();
  const place = { project: 'p', session: 's' };
  const question = store.add({ text: 'Where is the spare key?', ...place });
  store.add({ text: 'Below the blue pot.', ...place });
  for (let i = 0; i < 5; i += 1) store.add({ text: 'Thursday.', ...place });
  const updated = store.add({ text: 'Below the red pot.', ...place });
  store.db.prepare('UPDATE memory SET valid_to = 2 WHERE id = ?').run(question + 1);
  store.db.prepare('UPDATE memory SET memory_id = ? WHERE id = ?').run(question + 1, updated);

  expect(store.find('spare key')[0]).toBe(updated);
});

test('a memory without session lends nothing', () => {
  using store = openStore();
  const key = store.add({ text: 'The spare key.' });
  store.add({ text: 'Below the blue pot.' });

  expect(store.find('spare key')).toEqual([key]);
});

test('the name of a speaker prefers what they said to what mentions them', () => {
  using store = openStore();
  const said = store.add({ text: 'I love to swim in the lake', speaker: 'Ana' });
  store.add({ text: 'Ana, I swim and swim', speaker: 'Ben' });
  store.add({ text: 'Good morning', speaker: 'Ben' });

  expect(store.find('Does Ana swim?')[0]).toBe(said);
});

test('a query of a name alone finds what its bearer said and what mentions them', () => {
  using store = openStore();
  const said = store.add({ text: 'I love to swim', speaker: 'Ana' });
  const mentions = store.add({ text: 'Lunch with Ana', speaker: 'Ben' });
  store.add({ text: 'Lunch alone', speaker: 'Ben' });

  expect(store.find('Ana').toSorted((x, y) => x - y)).toEqual([said, mentions]);
});

test('a date in the query prefers memories of that time', () => {
  using store = openStore();
  const may = store.add({ text: 'We met the team', occurredAt: '2023-05-09T10:00:00.000Z' });
  store.add({ text: 'We met the team', occurredAt: '2023-07-09T10:00:00.000Z' });

  expect(store.find('Whom did we meet on 8 May 2023?')[0]).toBe(may);
  expect(store.find('Whom did we meet on May 9th, 2023?')[0]).toBe(may);
  expect(store.find('Whom did we meet in May 2023?')[0]).toBe(may);
  expect(store.find('meet 2023-05-09')[0]).toBe(may);
});

test('a date brings the memories of that time, whatever their words, in its project only', () => {
  using store = openStore();
  const project = 'p';
  const third = store.add({ text: 'Rain all day', project, occurredAt: '2023-10-03T18:00:00.000Z' });
  const fourth = store.add({ text: 'Still wet', project, occurredAt: '2023-10-04T18:00:00.000Z' });
  store.add({ text: 'Sunshine', project, occurredAt: '2023-12-04T18:00:00.000Z' });
  store.add({ text: 'Elsewhere', project: 'q', occurredAt: '2023-10-03T18:00:00.000Z' });
  const sorted = (query: string) => store.find(query, { project }).toSorted((x, y) => x - y);

  expect(sorted('What happened on 3 October 2023?')).toEqual([third, fourth]);
  expect(sorted('What happened on October 3rd?')).toEqual([third, fourth]);
  expect(sorted('What happened in October?')).toEqual([third, fourth]);
  expect(sorted('What did we do last October?')).toEqual([third, fourth]);
  expect(sorted('What happened in June?')).toEqual([]);
});

test('a time of very many memories still counts for those that words find', () => {
  using store = openStore();
  const occurredAt = '2023-05-09T10:00:00.000Z';
  store.db.transaction(() => {
    for (let i = 0; i < 2_001; i += 1) store.add({ text: 'nothing', occurredAt });
  })();
  const may = store.add({ text: 'We met the team', occurredAt });
  store.add({ text: 'We met the team', occurredAt: '2023-07-09T10:00:00.000Z' });

  expect(store.find('Whom did we meet in May 2023?')).toEqual([may, may + 1]);
});

test('a question for a time prefers what tells one', () => {
  using store = openStore();
  const told = store.add({ text: 'We met the whole team last week, and it was good' });
  const untold = store.add({ text: 'We met the team' });

  expect(store.find('When did we meet the team?')).toEqual([told, untold]);
  expect(store.find('Where did we meet the team?')).toEqual([untold, told]);
});

test('expired and superseded memories are never found, nor as neighbours', () => {
  using store = openStore();
  const place = { project: 'p', session: 's' };
  const heron = store.add({ text: 'heron', ...place });
  store.add({ text: 'heron', expiresAt: nowIso, ...place });
  const superseded = store.add({ text: 'heron', ...place });
  store.add({ text: 'gone', expiresAt: nowIso, ...place });
  store.db.prepare('UPDATE memory SET valid_to = 2 WHERE id = ?').run(superseded);

  expect(store.find('heron')).toEqual([heron]);
});

test('unindexing removes every trace', () => {
  using store = openStore();
  const trace = () => store.db.prepare('SELECT * FROM memory_posting').all();
  store.add({ text: 'heron', project: 'p' });
  const before = trace();
  const memory = { text: 'A heron on the lake', project: 'p', speaker: 'Ana', tags: ['bird'] };
  const id = store.add(memory);

  store.index.prepare([{ id, ...memory }], []).write();

  expect(trace()).toEqual(before);
  expect(store.db.prepare('SELECT memories, terms FROM memory_scope').all()).toEqual([
    { memories: 1, terms: 1 },
  ]);
});

test('posting lists of many blocks stay in order, however many are added and removed at once', () => {
  using store = openStore();
  const heron = { text: 'heron', project: null, speaker: null, tags: [] };
  const rows = (ids: readonly number[]) => ids.map((id) => ({ id, ...heron }));
  const found = () => store.find('heron', { limit: 2_000 }).toSorted((x, y) => x - y);
  const ids = Array.from({ length: 1_000 }, () => store.add({ text: 'heron' }));
  const gone = ids.filter((id) => id % 3 === 0 || (id > 300 && id < 700));

  const [first, ...others] = gone;
  store.index.prepare(rows([first as number]), []).write();
  store.index.prepare(rows(others), []).write();
  expect(found()).toEqual(ids.filter((id) => !gone.includes(id)));

  store.index.prepare(rows(ids.filter((id) => !gone.includes(id))), []).write();
  store.index.prepare([], rows(ids)).write();
  expect(found()).toEqual(ids);
  expect(() => store.index.prepare([], rows([999])).write()).toThrow(RangeError);
});

test('ids may be far apart', () => {
  using store = openStore();
  const near = store.add({ text: 'heron' });
  const far = 2 ** 40;
  store.add({ text: 'stork' });
  store.db.prepare("UPDATE memory SET id = ?, text = 'heron' WHERE text = 'stork'").run(far);

  store.index.prepare([], [{ id: far, text: 'heron', project: null, speaker: null, tags: [] }]).write();

  expect(store.find('heron')).toEqual([far, near]);
});

test('the ranking finds the answers in the corpus', () => {
  using store = openStore();
  const texts = new Map<number, string>();
  for (const { project, session, at, turns } of sessions) {
    for (const [speaker, text] of turns)
      texts.set(store.add({ text, project, session, speaker, occurredAt: at }), text);
  }

  const ranks = questions.map(({ project, query, answer }) => {
    const rank =
      store.find(query, { project, limit: 100 }).findIndex((id) => texts.get(id)?.startsWith(answer)) + 1;
    return rank || Infinity;
  });
  const mean = (value: (rank: number) => number) =>
    ranks.reduce((sum, rank) => sum + value(rank), 0) / ranks.length;
  expect(questions.every(({ answer }) => [...texts.values()].some((text) => text.startsWith(answer)))).toBe(
    true,
  );
  // Measured: 1 and 0.89. Without context, stop words or stemming the first is below 0.94, without speaker, date or
  // the replies to questions the second is below 0.86.
  expect(mean((rank) => (rank <= 3 ? 1 : 0))).toBeGreaterThan(0.96);
  expect(mean((rank) => 1 / rank)).toBeGreaterThan(0.87);
});
