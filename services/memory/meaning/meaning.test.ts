import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { atOnce } from '../store.fixture.ts';
import { openStore, type Store } from '../store.ts';
import { purgeHistory } from '../tools/history.ts';
import { buildContext } from '../tools/build-context.ts';
import { memoryStats } from '../tools/memory-stats.ts';
import { searchMemories } from '../tools/read-memories.ts';
import { addMemory, deleteMemories, updateMemory } from '../tools/write-memories.ts';
import { answering, ollama, openAi, refusing, startEndpoint } from './endpoint.fixture.ts';
import { checked, endpointUrl } from './endpoint.ts';

type Told = [event: string, fields: Readonly<Record<string, unknown>>];

const quick = { firstPauseMs: 20, lookEveryMs: 10, queryTimeoutMs: 500, queryPauseMs: 20 };

function open(
  file: string,
  url: string,
  more: { model?: string; key?: string; queryPauseMs?: number; batchTimeoutMs?: number } = {},
) {
  const told: Told[] = [];
  const { model = 'm', key, ...times } = more;
  const store = openStore(file, undefined, {
    settings: { url, model, key },
    tell: (...each) => void told.push(each),
    times: { ...quick, ...times },
  });
  return Object.assign(store, { told });
}

const add = async (store: Store, texts: readonly string[], more: object = {}) => {
  for (const text of texts) await invoke(addMemory, { text, ...more }, store);
};
const found = async (store: Store, query: string, more: object = {}) => {
  const { memories, words_only } = await invoke(searchMemories, { query, ...more }, store);
  return { texts: memories.map(({ text }) => text), words_only };
};
const meaning = async (store: Store) => (await invoke(memoryStats, {}, store)).meaning;
const embedded = async (store: Store, count: number) =>
  vi.waitFor(async () => expect(await meaning(store)).toMatchObject({ embedded: count, waiting: 0 }), 5_000);

const texts = ['I am off to taekwondo', 'We had soup', 'A storm came'];

test.each([
  ['OpenAI and llama.cpp', openAi()],
  ['Ollama', ollama],
])('what has no word of the query is found by its meaning: %s', async (_, answer) => {
  await using endpoint = await startEndpoint(answer);
  await using store = open(':memory:', endpoint.url, { key: 'sesame' });
  await add(store, texts);
  await embedded(store, 3);

  const { texts: hits, words_only } = await found(store, 'martial arts');

  expect(hits[0]).toBe('I am off to taekwondo');
  expect(words_only).toBeUndefined();
  expect(endpoint.seen.at(-1)).toMatchObject({
    headers: { authorization: 'Bearer sesame' },
    request: { model: 'm', input: ['martial arts'] },
  });
  const context = await invoke(buildContext, { topic: 'martial arts' }, store);
  expect(context.memories[0]?.text).toBe('I am off to taekwondo');
  const asked = endpoint.seen.length;
  await found(store, 'martial arts');
  expect(endpoint.seen).toHaveLength(asked);
});

test('meaning stays within project, tags and time, and finds nothing that was deleted or replaced', async () => {
  await using endpoint = await startEndpoint(openAi());
  await using store = open(':memory:', endpoint.url);
  await add(store, ['judo today'], { project: 'p', tags: ['x'], occurred_at: '2024-01-01' });
  await add(store, ['kickboxing today'], { project: 'q' });
  await add(store, ['fighting today'], { project: 'p' });
  await add(store, ['judo again'], { project: 'p', tags: ['x'] });
  await add(store, ['tea at five'], { project: 'p' });
  await embedded(store, 5);
  const all = async (more: object) => (await found(store, 'martial', more)).texts.toSorted();

  expect(await all({ project: 'p' })).toEqual(['fighting today', 'judo again', 'judo today']);
  expect(await all({ project: 'none' })).toEqual([]);
  expect(await all({ tags: ['x'] })).toEqual(['judo again', 'judo today']);
  expect(await all({ until: '2025-01-01' })).toEqual(['judo today']);

  await invoke(deleteMemories, { ids: [1] }, store);
  await invoke(updateMemory, { id: 4, text: 'bread' }, store);
  await embedded(store, 6);
  expect(await all({ project: 'p' })).toEqual(['fighting today', 'tea at five']);
  expect(await all({ project: 'q' })).toEqual(['kickboxing today']);
  await invoke(purgeHistory, {}, store);
  expect(await all({ project: 'p' })).toEqual(['fighting today', 'tea at five']);
});

test.each([
  ['is down', undefined, /cannot be reached \(ECONNREFUSED\)/],
  ['is slow', () => {}, /did not answer within 500 ms/],
  ['answers no JSON', answering('<html>'), /something else than 1 vectors/],
  ['answers other JSON', answering('{"data":[{"embedding":["a"]}]}'), /something else/],
  ['answers vectors of nothing', answering('{"embeddings":[[0,0,0]]}'), /something else/],
  ['answers too few', answering('{"embeddings":[]}'), /something else/],
  ['answers vectors of another size', openAi(7), /vectors of 7 numbers, but those that are stored have 40/],
  ['wants another key', answering('{}', 401), /HTTP 401/],
  ['leads elsewhere', answering('', 307), /cannot be reached/],
] as const)('search goes on by words and says so when the endpoint %s', async (_, answer, problem) => {
  await using endpoint = await startEndpoint(openAi());
  await using store = open(':memory:', endpoint.url, { key: 'sesame' });
  await add(store, texts);
  await embedded(store, 3);
  if (answer) endpoint.answerWith(answer);
  else await endpoint.stop();

  const { texts: hits, words_only } = await found(store, 'soup');

  expect(hits).toEqual(['We had soup']);
  expect(words_only).toMatch(problem);
  expect((await invoke(buildContext, { topic: 'soup' }, store)).words_only).toBe(words_only);
  expect((await meaning(store))?.problem).toBe(words_only);
  expect(store.told).toContainEqual([
    'embeddings_failing',
    { what: 'queries', problem: expect.stringMatching(problem) as unknown },
  ]);
  expect(JSON.stringify([store.told, words_only])).not.toMatch(/sesame|v1/);
});

test('an endpoint that failed is not asked by each search, and is used again when it is back', async () => {
  await using endpoint = await startEndpoint(openAi());
  await using store = open(':memory:', endpoint.url, { queryPauseMs: 300 });
  await add(store, texts);
  await embedded(store, 3);
  endpoint.answerWith(answering('{}', 503));
  const before = endpoint.seen.length;
  for (let i = 0; i < 5; i += 1) await found(store, `soup ${i}`);
  expect(endpoint.seen.length - before).toBe(1);

  endpoint.answerWith(openAi());
  await vi.waitFor(async () => expect((await found(store, 'cooking')).words_only).toBeUndefined(), 5_000);
  expect(store.told).toContainEqual(['embeddings_back', { what: 'queries' }]);
  expect((await meaning(store))?.problem).toBeUndefined();
});

test('the queue survives a restart and an endpoint that is down; what is kept is not asked for again', async () => {
  await using endpoint = await startEndpoint(openAi());
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-meaning-'));
  const file = join(folder.path, 'memory.db');
  {
    await using store = open(file, endpoint.url);
    await add(store, texts.slice(0, 2));
    await embedded(store, 2);
    endpoint.answerWith(answering('', 503));
    await add(store, texts.slice(2));
    await vi.waitFor(() => expect(store.told).toHaveLength(1), 5_000);
    expect(await meaning(store)).toMatchObject({ embedded: 2, waiting: 1, problem: /HTTP 503/ });
  }
  endpoint.answerWith(openAi());
  const before = endpoint.seen.length;
  {
    await using store = open(file, endpoint.url);
    await embedded(store, 3);
    expect(endpoint.texts().slice(before - endpoint.seen.length)).toEqual([texts[2]]);
    expect((await found(store, 'martial')).texts[0]).toBe(texts[0]);
  }
  {
    await using store = open(file, endpoint.url, { model: 'another' });
    endpoint.answerWith(openAi(12));
    await embedded(store, 3);
    expect(endpoint.seen.at(-1)?.request).toEqual({ model: 'another', input: texts });
    expect((await found(store, 'martial')).texts[0]).toBe(texts[0]);
  }
});

test('a text that is refused is tried by its beginning, and then left out; the others get theirs', async () => {
  await using endpoint = await startEndpoint(refusing('poison', 1_000));
  await using store = open(':memory:', endpoint.url);
  await add(store, [...texts, 'poison', `judo ${'and '.repeat(5_000)}`]);

  await vi.waitFor(
    async () => expect(await meaning(store)).toMatchObject({ embedded: 4, waiting: 0, refused: 1 }),
    5_000,
  );
  expect((await found(store, 'martial')).texts.map((text) => text.slice(0, 12))).toContain('judo and and');
  expect((await found(store, 'poison')).texts).toContain('poison');
});

test('an endpoint that has no time for a batch gets fewer at once', async () => {
  await using endpoint = await startEndpoint((request, response) => {
    if (request.input.length <= 2) openAi()(request, response);
  });
  await using store = open(':memory:', endpoint.url, { batchTimeoutMs: 200 });
  await add(store, [...texts, ...texts, ...texts]);

  await embedded(store, 9);

  expect(endpoint.seen.filter(({ request }) => request.input.length > 2).length).toBeGreaterThan(0);
});

test('writes do not wait for the endpoint', async () => {
  await using endpoint = await startEndpoint(() => {});
  await using store = open(':memory:', endpoint.url);
  await add(store, texts);
  await vi.waitFor(() => expect(endpoint.seen.length).toBeGreaterThan(0), 5_000);

  await add(store, ['more bread']);

  expect((await found(store, 'bread')).texts).toEqual(['more bread']);
  expect(await meaning(store)).toMatchObject({ embedded: 0, waiting: 4 });
});

test('the nearest of many are found by their bits, in short steps', async () => {
  await using endpoint = await startEndpoint(openAi());
  await using store = open(':memory:', endpoint.url);
  const messages = Array.from({ length: 500 }, (_, i) => ({ role: 'u', content: `Soup number ${i}` }));
  for (let i = 0; i < 4; i += 1) await invoke(addMemory, { messages }, store);
  await add(store, ['A storm came', 'Rain and sunshine']);
  await embedded(store, 2_002);

  const asked = await store.meaning?.ofQuery('weather', new AbortController().signal);
  if (!store.meaning || !asked) throw new Error('The store should have a meaning.');
  const nearest = atOnce(store.meaning.nearest(asked, undefined)).slice(0, 2);

  expect(nearest.map(({ id }) => id).toSorted((x, y) => x - y)).toEqual([2_001, 2_002]);
});

test.each([
  'http://127.0.0.1:1/v1/embeddings',
  'http://localhost/api/embed',
  'http://[::1]:80/',
  'https://models.example/v1/embeddings',
])('the address %s may be set, with a key too', (url) => {
  expect(endpointUrl.parse(url)).toBe(url);
  expect(checked({ url, model: '', key: 'sesame' }).url).toBe(url);
});

test.each(['http://models.example/v1/embeddings', 'http://127.0.0.1.example/'])(
  'to %s a key would go for all to read',
  (url) => {
    expect(checked({ url: endpointUrl.parse(url), model: '' }).url).toBe(url);
    expect(() => checked({ url, model: '', key: 'sesame' })).toThrow(/must begin with https/);
    expect(() => checked({ url, model: '', key: 'sesame' })).not.toThrow(/sesame/);
  },
);

test.each(['http://user:word@127.0.0.1/', 'file:///etc/passwd', 'ftp://127.0.0.1/', 'tea', ''])(
  'the address %j is refused',
  (url) => {
    expect(endpointUrl.safeParse(url).success).toBe(false);
  },
);
