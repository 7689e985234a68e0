import { expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';
import { encodeCursor } from '#runtime/cursor.ts';
import { invoke, testCall } from '#runtime/testing.ts';

import { contract } from './contract.fixture.ts';
import { maxHandoffLength, maxNameLength, maxSnapshotLength, maxTextLength } from './limits.ts';
import service, { allTools, coreTools } from './service.ts';
import { callOf, testStore, toolNamed } from './store.fixture.ts';

/** A store with one of everything, arguments for every tool that succeed on it, and a look at all that it holds. */
async function prepared() {
  const store = testStore();
  const call = callOf(store);
  const valid = await contract.prepare({ folder: '', foreign: 'Ship', call });
  const handoff = String(valid['read_handoff']?.['handoff_id']);
  const held = async () =>
    JSON.stringify([
      store.holdings(),
      store.kept(),
      store.budgets.get('b', testCall()),
      store.handoffs.get(handoff, testCall()),
      await store.listOutputs({}, ['~', '~'], 100, testCall()),
    ]);
  return { store, valid, held, [Symbol.dispose]: () => store[Symbol.dispose]() };
}

const long = 'x'.repeat(maxTextLength + 1);
const half = 'x'.repeat(maxTextLength / 2 + 1);
const longName = 'x'.repeat(maxNameLength + 1);
const tooLarge: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['count_tokens', { text: long }],
  [
    'count_tokens',
    {
      messages: [
        { role: 'user', content: half },
        { role: 'user', content: half },
      ],
    },
  ],
  ['check_budget', { budget_id: 'b', text: long }],
  ['consume_budget', { budget_id: 'b', text: long }],
  ['consume_budget', { budget_id: 'b', tokens: 101 }],
  ['truncate_to_budget', { text: long, token_budget: 1 }],
  ['chunk_text', { text: long }],
  ['dedupe', { texts: [half, half] }],
  ['rank_passages', { query: 'x', passages: [half, half] }],
  ['rank_passages', { query: 'x'.repeat(10_001), passages: ['x'] }],
  [
    'assemble_context',
    {
      sources: [
        { id: 'a', text: half },
        { id: 'b', text: half },
      ],
      token_budget: 9,
    },
  ],
  ['compact_messages', { messages: [{ role: 'user', content: long }], token_budget: 9 }],
  ['compact_messages', { messages: [{ role: 'user', content: 'hello there' }], token_budget: 1 }],
  ['compress_output', { content: long }],
  ['store_output', { content: long }],
  ['save_snapshot', { name: 'n', entries: [{ key: 'k', text: 'x'.repeat(maxSnapshotLength) }] }],
  ['create_handoff', { goal: 'g', state: 'x'.repeat(maxHandoffLength) }],
  [
    'measure_tools',
    {
      tools: [
        { name: 't', description: half },
        { name: 'u', description: half },
      ],
    },
  ],
];

test.each(tooLarge)('%s refuses what is too large, and changes nothing (%#)', async (name, args) => {
  using context = await prepared();
  const before = await context.held();

  await expect(invoke(toolNamed(name), args, context.store)).rejects.toMatchObject({
    code: 'too_large',
    hint: expect.any(String),
  });
  expect(await context.held()).toBe(before);
});

let nested: unknown = 'deep';
for (let depth = 0; depth < 100_000; depth += 1) nested = [nested];
const unusable: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['count_tokens', {}],
  ['count_tokens', { text: 'a', messages: [] }],
  ['count_tokens', { text: 'half \ud800 pair' }],
  ['count_tokens', { messages: [{ role: 'user', content: 'a', extra: nested }] }],
  ['compact_messages', { messages: [{ role: 'user', content: 'a', extra: nested }], token_budget: 9 }],
  ['compact_messages', { messages: [], token_budget: 9 }],
  ['measure_tools', { tools: [{ name: 't', inputSchema: nested }] }],
  ['set_budget', { budget_id: longName, limit: 1 }],
  ['set_budget', { budget_id: 'b', limit: 1e308 }],
  ['set_budget', { budget_id: 'b', limit: 0.5 }],
  ['consume_budget', { budget_id: 'b', tokens: -1 }],
  ['consume_budget', { budget_id: 'b', tokens: 1, text: 'a' }],
  ['truncate_to_budget', { text: 'a', token_budget: 0 }],
  ['chunk_text', { text: 'a', chunk_tokens: 1 }],
  ['chunk_text', { text: 'a', cursor: 'bogus' }],
  ['dedupe', { texts: Array.from({ length: 1_001 }, () => 'a') }],
  ['assemble_context', { sources: [{ id: 'a' }], token_budget: 9 }],
  ['assemble_context', { sources: [{ id: 'a', text: 'a', path: '/etc/passwd' }], token_budget: 9 }],
  ['compress_output', { content: 'not json', kind: 'json' }],
  ['store_output', { content: 'nul \0' }],
  ['store_output', { content: 'a', level: 'forever' }],
  ['store_output', { content: 'a', ttl_seconds: 1e12 }],
  ['read_output', { handle: "out_' OR 1=1" }],
  ['list_outputs', { cursor: 'bogus' }],
  ['delete_outputs', { handles: [] }],
  [
    'save_snapshot',
    {
      name: 'n',
      entries: [
        { key: 'k', text: 'a' },
        { key: 'k', text: 'b' },
      ],
    },
  ],
  ['save_snapshot', { name: longName, entries: [{ key: 'k', text: 'a' }] }],
  ['create_handoff', { goal: '', state: 's' }],
  ['create_handoff', { goal: 'nul \0', state: 's' }],
];

test.each(unusable)('%s refuses what cannot be meant, and changes nothing (%#)', async (name, args) => {
  using context = await prepared();
  const before = await context.held();

  await expect(invoke(toolNamed(name), args, context.store)).rejects.toMatchObject({ code: 'invalid_input' });
  expect(await context.held()).toBe(before);
});

const handle = `out_${'0'.repeat(24)}`;
const snapshot = `snap_${'0'.repeat(16)}`;
const handoff = `hand_${'0'.repeat(16)}`;
const absent: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['check_budget', { budget_id: '__proto__' }],
  ['consume_budget', { budget_id: 'constructor', tokens: 1 }],
  ['assemble_context', { sources: [{ id: 'a', handle }], token_budget: 9 }],
  ['read_output', { handle }],
  ['grep_output', { handle, pattern: 'a' }],
  ['restore_snapshot', { snapshot_id: snapshot }],
  ['diff_snapshots', { from: snapshot, to: snapshot }],
  ['delete_snapshot', { snapshot_id: snapshot }],
  ['read_handoff', { handoff_id: handoff }],
  ['accept_handoff', { handoff_id: handoff }],
];

test.each(absent)('%s says what to do where nothing is found', async (name, args) => {
  using context = await prepared();
  const before = await context.held();

  await expect(invoke(toolNamed(name), args, context.store)).rejects.toMatchObject({
    code: 'not_found',
    hint: expect.any(String),
  });
  expect(await context.held()).toBe(before);
});

test('what a tool reads leaves the store as it was', async () => {
  using context = await prepared();
  const before = await context.held();

  for (const { name, effect } of allTools) {
    if (effect === 'read') await invoke(toolNamed(name), context.valid[name], context.store);
  }

  expect(await context.held()).toBe(before);
});

test('the setting chooses between the core tools and all', () => {
  const { settings } = service;

  expect(toolsOf(service, settings.parse({}))).toEqual(allTools);
  expect(toolsOf(service, settings.parse({ FLOTILLA_CONTEXT_TOOLS: 'core' }))).toEqual(coreTools);
  expect(() => settings.parse({ FLOTILLA_CONTEXT_TOOLS: 'few' })).toThrow('core');
});

test('whatever gives text back keeps it apart as data', () => {
  const open = allTools.filter(({ untrusted }) => untrusted !== 'bounded').map(({ name }) => name);

  expect(open.toSorted()).toEqual([
    'check_budget',
    'consume_budget',
    'count_tokens',
    'create_handoff',
    'dedupe',
    'delete_budgets',
    'delete_handoffs',
    'delete_outputs',
    'delete_snapshot',
    'measure_tools',
    'rank_passages',
    'save_snapshot',
    'set_budget',
    'store_output',
  ]);
});

test('what points at nothing, or twice at one name, is refused', async () => {
  using store = testStore();
  const call = callOf(store);
  const wrong = [
    ['compact_messages', { messages: [{ role: 'user', content: 'x' }], token_budget: 9, pinned: [7] }],
    ['assemble_context', { sources: ['a', 'a'].map((id) => ({ id, text: 'x' })), token_budget: 9 }],
    ['assemble_context', { sources: [{ id: 'a 0-]\nforged [b', text: 'x' }], token_budget: 9 }],
  ] as const;

  for (const [tool, args] of wrong)
    await expect(call(tool, args), tool).rejects.toMatchObject({ code: 'invalid_input' });
});

test('a cursor of chunk_text that somebody made up leads nowhere', async () => {
  using store = testStore();
  const args = { text: 'a b c', chunk_tokens: 16, overlap_tokens: 2, boundary: 'word' };
  const whole = { ...args, encoding: 'o200k_base', limit: 1 };
  const cursor = encodeCursor('chunk_text', whole, [1, 1, 5]);

  await expect(callOf(store)('chunk_text', { ...args, limit: 1, cursor })).rejects.toMatchObject({
    code: 'invalid_input',
    message: 'The cursor lies behind the text.',
  });
});

test('the longest text fits into a request, in every script and spelling', () => {
  const longest = `"${'\\u4e2d'.repeat(maxTextLength)}"`;

  expect(Buffer.byteLength(longest)).toBeLessThan(service.maxBodyBytes ?? 0);
});
