import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { openStore } from '../store.ts';
import { getMemory, listMemories, searchMemories } from './read-memories.ts';
import { addMemory, deleteMemories, updateMemory } from './write-memories.ts';

const now = '2026-11-20T12:00:00.000Z';
const later = { nowMs: Date.parse(now) + 61_000 };

test('a memory is kept with all that was said about it', async () => {
  using store = openStore(':memory:');
  const given = { text: 'Tea at five', project: 'p', session: 's', speaker: 'Ada', tags: ['x'] };

  const { ids } = await invoke(
    addMemory,
    { ...given, occurred_at: '2026-01-02T03:04:05+01:00', ttl: 60 },
    store,
  );

  expect(ids).toEqual([1]);
  expect((await invoke(getMemory, { id: 1 }, store)).memory).toEqual({
    id: 1,
    ...given,
    occurred_at: '2026-01-02T02:04:05.000Z',
    created_at: now,
    expires_at: '2026-11-20T12:01:00.000Z',
  });
});

test('turns become memories of their speakers, in order', async () => {
  using store = openStore(':memory:');
  const messages = [
    { role: 'user', content: 'Where is the cat?' },
    { role: 'assistant', content: 'In the garden.' },
  ];

  await invoke(addMemory, { messages, session: 's' }, store);

  const { memories } = await invoke(searchMemories, { query: 'cat' }, store);
  expect(new Set(memories.map(({ speaker }) => speaker))).toEqual(new Set(['assistant', 'user']));
});

test.each([
  [{}],
  [{ text: 'a', messages: [{ role: 'user', content: 'b' }] }],
  [{ messages: [{ role: 'user', content: 'b' }], speaker: 'c' }],
  [{ messages: [] }],
  [{ messages: [{ role: 'user', content: 'b', extra: 1 }] }],
  [{ text: 'a', occurred_at: 'yesterday' }],
  [{ text: 'a', ttl: 0 }],
])('add_memory refuses %j', async (args) => {
  using store = openStore(':memory:');

  await expect(invoke(addMemory, args, store)).rejects.toMatchObject({ code: 'invalid_input' });
  expect(store.journal.count()).toBe(0);
});

test('projects, sessions and tags are the same in whichever form they are written', async () => {
  using store = openStore(':memory:');
  const nfd = 'é'.normalize('NFD');
  await invoke(addMemory, { text: 'tea', project: nfd, session: nfd, speaker: nfd, tags: [nfd] }, store);

  for (const form of [nfd, 'é']) {
    const filter = { project: form, tags: [form] };
    expect((await invoke(searchMemories, { query: 'tea', ...filter }, store)).memories).toHaveLength(1);
    const { memories } = await invoke(listMemories, { ...filter, session: form }, store);
    expect(memories).toMatchObject([{ project: 'é', session: 'é', speaker: 'é', tags: ['é'] }]);
  }
});

const said = (texts: readonly string[]) =>
  texts.map((content, index) => ({ role: index % 2 === 0 ? 'Ada' : 'Bob', content }));

test('hits come with the turns around them, each once, without those that are expired or elsewhere', async () => {
  using store = openStore(':memory:');
  await invoke(addMemory, { text: 'gone', session: 's', ttl: 60 }, store);
  await invoke(addMemory, { messages: said(['one', 'heron', 'two', 'three', 'four']), session: 's' }, store);
  await invoke(addMemory, { messages: said(['elsewhere']), session: 'other' }, store);

  const find = async (more: object) =>
    (await invoke(searchMemories, { query: 'heron', ...more }, store, later)).memories;

  expect((await find({ limit: 1, neighbours: 2 }))[0]).toMatchObject({
    id: 3,
    neighbours: [
      { id: 2, speaker: 'Ada', text: 'one' },
      { id: 4, speaker: 'Ada', text: 'two' },
      { id: 5, speaker: 'Bob', text: 'three' },
    ],
  });
  const all = await find({ limit: 3, neighbours: 5 });
  const ids = all.flatMap(({ id, neighbours = [] }) => [id, ...neighbours.map((one) => one.id)]);
  expect(ids.toSorted((x, y) => x - y)).toEqual([2, 3, 4, 5, 6]);
  const plain = await find({ limit: 3 });
  expect(plain.map(({ id }) => id)).toEqual(all.map(({ id }) => id));
  expect(plain.some((memory) => 'neighbours' in memory)).toBe(false);
});

test('neighbours take the room that the hits leave, and no page changes for them', async () => {
  using store = openStore(':memory:');
  const messages = said(['short', 'heron', 'x'.repeat(4_000), 'also short']);
  await invoke(addMemory, { messages, session: 's' }, store);

  const find = async (budget: number) =>
    invoke(searchMemories, { query: 'heron', limit: 1, neighbours: 2, token_budget: budget }, store);
  const shown = async (budget: number) => (await find(budget)).memories[0]?.neighbours?.map(({ id }) => id);

  expect(await shown(5_000)).toEqual([1, 3, 4]);
  expect(await shown(300)).toEqual([1, 4]);
  expect(await shown(1)).toBeUndefined();
  expect((await find(300)).memories[0]?.id).toBe((await find(5_000)).memories[0]?.id);
  for (const neighbours of [-1, 6, 1.5, 'many']) {
    const refused = invoke(searchMemories, { query: 'heron', neighbours }, store);
    await expect(refused).rejects.toMatchObject({ code: 'invalid_input' });
  }
});

test('a memory is forgotten when its time has come', async () => {
  using store = openStore(':memory:');
  await invoke(addMemory, { text: 'tea', ttl: 60 }, store);

  await expect(invoke(getMemory, { id: 1 }, store, later)).rejects.toMatchObject({ code: 'not_found' });
  await expect(invoke(updateMemory, { id: 1, text: 'x' }, store, later)).rejects.toMatchObject({
    code: 'not_found',
  });
  expect((await invoke(listMemories, {}, store, later)).memories).toEqual([]);
  expect((await invoke(searchMemories, { query: 'tea' }, store, later)).memories).toEqual([]);
});

test('an update replaces what is given, and search finds the new text only', async () => {
  using store = openStore(':memory:');
  await invoke(addMemory, { text: 'tea', project: 'p', tags: ['x'] }, store);

  const { memory } = await invoke(updateMemory, { id: 1, text: 'coffee' }, store);

  expect(memory).toMatchObject({ id: 1, text: 'coffee', project: 'p', tags: ['x'] });
  expect((await invoke(searchMemories, { query: 'tea' }, store)).memories).toEqual([]);
  expect((await invoke(searchMemories, { query: 'coffee' }, store)).memories).toMatchObject([{ id: 1 }]);
});

test('an update of nothing, or of no memory, is refused', async () => {
  using store = openStore(':memory:');

  await expect(invoke(updateMemory, { id: 1 }, store)).rejects.toMatchObject({ code: 'invalid_input' });
  await expect(invoke(updateMemory, { id: 1, text: 'x' }, store)).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('deleting says what was there', async () => {
  using store = openStore(':memory:');
  await invoke(addMemory, { text: 'tea' }, store);

  expect(await invoke(deleteMemories, { ids: [1, 1, 7] }, store)).toEqual({ deleted: [1], unknown: [7] });
  expect((await invoke(searchMemories, { query: 'tea' }, store)).memories).toEqual([]);
});

test('a list goes on through its pages, newest first, within project, session, tags and time', async () => {
  using store = openStore(':memory:');
  for (const day of [1, 3, 2]) {
    await invoke(
      addMemory,
      { text: `day ${day}`, session: 's', occurred_at: `2026-01-0${day}T00:00:00Z` },
      store,
    );
  }
  await invoke(addMemory, { text: 'other', project: 'p', tags: ['x', 'y'] }, store);

  const args = { session: 's', limit: 2 };
  const first = await invoke(listMemories, args, store);
  const second = await invoke(listMemories, { ...args, cursor: first.next_cursor }, store);
  const list = async (filter: object) =>
    (await invoke(listMemories, filter, store)).memories.map(({ text }) => text);

  expect(first.memories.map(({ text }) => text)).toEqual(['day 3', 'day 2']);
  expect(second.memories.map(({ text }) => text)).toEqual(['day 1']);
  expect(second.truncated).toBeUndefined();
  expect(await list({ project: 'p' })).toEqual(['other']);
  expect(await list({ tags: ['y'] })).toEqual(['other']);
  expect(await list({ since: '2026-01-02T00:00Z', until: '2026-01-03' })).toEqual(['day 2']);
  expect(await list({ since: '2026-01-03', until: '2026-01-03T00:01+00:00' })).toEqual(['day 3']);
});

test('a search goes on through its pages and brings each memory once', async () => {
  using store = openStore(':memory:');
  const messages = Array.from({ length: 7 }, (_, number) => ({ role: 'user', content: `tea ${number}` }));
  await invoke(addMemory, { messages }, store);

  const found: number[] = [];
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const page = await invoke(searchMemories, { query: 'tea', limit: 3, ...(cursor && { cursor }) }, store);
    found.push(...page.memories.map(({ id }) => id));
    cursor = page.next_cursor;
  }

  expect(found).toHaveLength(7);
  expect(new Set(found).size).toBe(7);
});

test('a token budget bounds the text, and cuts the first memory rather than to bring none', async () => {
  using store = openStore(':memory:');
  await invoke(addMemory, { text: `tea ${'x'.repeat(96)}` }, store);
  await invoke(addMemory, { text: `tea ${'y'.repeat(96)}` }, store);
  const search = (budget: number) => invoke(searchMemories, { query: 'tea', token_budget: budget }, store);

  expect((await search(220)).memories).toHaveLength(2);
  expect((await search(120)).memories).toHaveLength(1);
  expect(await search(80)).toMatchObject({
    memories: [{ text: expect.stringMatching(/^tea (.)\1{20,69}$/), text_length: 100 }],
    truncated: true,
  });
});
