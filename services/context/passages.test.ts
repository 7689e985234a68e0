import { describe, expect, test } from 'vitest';

import { callOf, testStore } from './store.fixture.ts';

const ranked = async (query: string, passages: readonly string[], args: object = {}) => {
  using store = testStore();
  return await callOf(store)<{
    ranking: { index: number; score: number }[];
    matched: number;
    next_cursor?: string;
  }>('rank_passages', { query, passages, ...args });
};

describe('rank_passages', () => {
  test('prefers rare words, many of them, and short passages', async () => {
    const passages = [
      'the cat and the dog',
      'the the the the',
      'the kettle is on the stove, and the cat is under it, and nothing else happens all day long',
      'kettle kettle',
    ];

    const { ranking, matched } = await ranked('the kettle', passages);

    expect(ranking.map(({ index }) => index).slice(0, 2)).toEqual([3, 2]);
    expect(matched).toBe(4);
  });

  test('finds parts of names in code, and words in scripts without spaces', async () => {
    expect(
      (await ranked('token budget', ['const x = 1', 'function checkTokenBudget() {}'])).ranking,
    ).toMatchObject([{ index: 1 }]);
    expect((await ranked('公园', ['我们今天去公园散步', '天气很好'])).ranking).toMatchObject([{ index: 0 }]);
  });

  test('gives the same score the same order, and nothing for no match', async () => {
    expect((await ranked('a', ['a b', 'a b', 'c'])).ranking.map(({ index }) => index)).toEqual([0, 1]);
    expect(await ranked('zebra', ['a', 'b'])).toEqual({ ranking: [], matched: 0 });
    expect(await ranked('constructor __proto__', ['toString', 'the constructor'])).toMatchObject({
      matched: 1,
    });
  });

  test('goes on where it stopped', async () => {
    const passages = Array.from({ length: 5 }, (_, at) => `word ${'other '.repeat(at)}`);
    const first = await ranked('word', passages, { limit: 3 });
    const second = await ranked('word', passages, { limit: 3, cursor: first.next_cursor });

    expect([...first.ranking, ...second.ranking].map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(second).not.toHaveProperty('next_cursor');
  });
});

describe('dedupe', () => {
  const text =
    'The build failed because the disk of the runner was full, so that nothing could be written there, and whoever started it has to start it again after something was deleted, or wait until the night, when all is cleaned.';
  const deduped = async (texts: readonly string[], args: object = {}) => {
    using store = testStore();
    const call = callOf(store);
    const result = await call<{
      kept: number[];
      duplicates: { index: number; of: number; similarity: number; handle: string }[];
    }>('dedupe', { texts, ...args });
    const handles = result.duplicates.map(({ handle }) => handle);
    const originals = await Promise.all(
      handles.map(async (handle) => (await call<{ text: string }>('read_output', { handle })).text),
    );
    return { ...result, originals };
  };

  test('finds texts that are the same, or nearly, and keeps the first', async () => {
    const texts = [
      text,
      'Something else entirely happened.',
      text,
      text.replace('night', 'evening'),
      text.toUpperCase(),
    ];

    const { kept, duplicates, originals } = await deduped(texts);

    expect(kept).toEqual([0, 1]);
    expect(duplicates).toMatchObject([
      { index: 2, of: 0, similarity: 1 },
      { index: 3, of: 0 },
      { index: 4, of: 0, similarity: 1 },
    ]);
    expect(originals).toEqual([texts[2], texts[3], texts[4]]);
  });

  test('is as strict as it is asked to be', async () => {
    const texts = [text, text.replace('night', 'evening')];

    expect((await deduped(texts, { threshold: 0.98 })).kept).toEqual([0, 1]);
    expect((await deduped(texts, { threshold: 0.5 })).kept).toEqual([0]);
  });

  test('takes texts without words as alike only when they are equal', async () => {
    expect((await deduped(['', '!', '?', '', '!'])).kept).toEqual([0, 1, 2]);
  });

  test('ends in time where all texts share all words', async () => {
    const words = Array.from({ length: 40 }, (_, at) => `word${at}`);
    const texts = Array.from({ length: 1_000 }, (_, at) =>
      [...words.slice(at % 40), ...words.slice(0, at % 40), `only${at}`, `last${at}`].join(' '),
    );

    expect((await deduped(texts, { threshold: 1 })).kept).toHaveLength(1_000);
  });
});

describe('assemble_context', () => {
  const sources = [
    {
      id: 'kitchen',
      text: 'The kettle is on the stove.\n\nThe cat sleeps.\n\nThe kettle whistles when the water boils.',
    },
    { id: 'garden', text: 'Roses need water.\n\nThe shed holds an old kettle.\n\nThe fence is broken.' },
  ];
  interface Assembled {
    context: string;
    passages: { source: string; start: number; end: number; score: number }[];
    considered: number;
    sources: { id: string; included: number; handle: string }[];
  }
  const assembled = async (args: object) => {
    using store = testStore();
    return await callOf(store)<Assembled>('assemble_context', {
      sources,
      passage_tokens: 16,
      token_budget: 200,
      ...args,
    });
  };

  test('takes what is about the query, in the order of the sources, and says where it is from', async () => {
    const { context, passages, sources: cut } = await assembled({ query: 'kettle' });

    expect(context).toMatch(/^\[kitchen 0-\]\nThe kettle is on the stove/);
    expect(context.indexOf('whistles')).toBeLessThan(context.indexOf('shed'));
    expect(context).not.toContain('fence');
    expect(passages.map(({ source }) => source)).toEqual(['kitchen', 'garden']);
    expect(cut.map(({ id }) => id)).toContain('garden');
  });

  test('takes the best first where there is room for one only', async () => {
    const { passages } = await assembled({ query: 'whistles water boils', token_budget: 30 });

    expect(passages).toHaveLength(1);
    expect(sources[0]?.text.slice(passages[0]?.start, passages[0]?.end)).toContain('whistles');
  });

  test('takes no passage twice, and reads outputs by their handle', async () => {
    using store = testStore();
    const call = callOf(store);
    const text = sources[0]?.text ?? '';
    const { handle } = await call<{ handle: string }>('store_output', { content: text });

    const { context, sources: cut } = await call<Assembled>('assemble_context', {
      sources: [
        { id: 'stored', handle },
        { id: 'again', text },
      ],
      query: 'kettle',
      token_budget: 500,
      passage_tokens: 16,
    });

    expect(context.match(/whistles/g)).toHaveLength(1);
    expect(cut).toContainEqual({ id: 'again', included: 0, handle: expect.any(String) as string });
  });

  test('without a query takes passages as they come, and whole sources under one heading', async () => {
    const { context } = await assembled({});

    expect(context).toBe(`[kitchen 0-]\n${sources[0]?.text}\n\n[garden 0-]\n${sources[1]?.text}`);
  });
});
