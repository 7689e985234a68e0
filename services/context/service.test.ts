import { expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';
import { encodeCursor } from '#runtime/cursor.ts';
import { invoke, testCall } from '#runtime/testing.ts';

import { maxHandoffLength, maxNameLength, maxSnapshotLength, maxTextLength } from './limits.ts';
import service, { allTools, coreTools } from './service.ts';
import { callOf, testStore, toolNamed } from './store.fixture.ts';

/** A store with one of everything, arguments for every tool that succeed on it, and a look at all that it holds. */
async function prepared() {
  const store = testStore();
  const call = callOf(store);
  const { handle } = await call<{ handle: string }>('store_output', { content: 'one\ntwo' });
  const save = async (text: string) =>
    (await call<{ snapshot_id: string }>('save_snapshot', { name: 'work', entries: [{ key: 'plan', text }] }))
      .snapshot_id;
  const [first, second] = [await save('a\nb'), await save('a\nc')];
  const { handoff_id: handoff } = await call<{ handoff_id: string }>('create_handoff', {
    goal: 'Ship',
    state: 'Built',
  });
  await call('set_budget', { budget_id: 'b', limit: 100 });

  const kept = { level: 'task', session_id: 's' };
  const paged = { limit: 5 };
  const text = 'One. Two. Three.';
  const amount = { tokens: 5, encoding: 'cl100k_base' };
  const valid: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    count_tokens: { text, encoding: 'claude' },
    set_budget: { budget_id: 'b', limit: 200, reset: true },
    list_budgets: { ...paged },
    delete_budgets: { budget_ids: ['b'] },
    check_budget: { budget_id: 'b', ...amount },
    consume_budget: { budget_id: 'b', ...amount },
    truncate_to_budget: { text, token_budget: 2, strategy: 'sentence', encoding: 'o200k_base', ...kept },
    chunk_text: {
      text,
      chunk_tokens: 16,
      overlap_tokens: 2,
      boundary: 'word',
      encoding: 'o200k_base',
      ...paged,
    },
    dedupe: { texts: [text, text], threshold: 0.5, ...kept, ...paged },
    rank_passages: { query: 'two', passages: [text], ...paged },
    assemble_context: {
      sources: [
        { id: 'a', text },
        { id: 'b', handle },
      ],
      query: 'two',
      token_budget: 50,
      passage_tokens: 20,
      encoding: 'o200k_base',
      limit: 10,
      ...kept,
    },
    compact_messages: {
      messages: [{ role: 'user', content: text.repeat(99) }],
      token_budget: 99,
      keep_recent: 0,
      keep_system: false,
      pinned: [],
      exclude_tools: ['read'],
      encoding: 'o200k_base',
      ...kept,
    },
    compress_output: {
      content: `${text}\n`.repeat(50),
      kind: 'log',
      token_budget: 60,
      encoding: 'o200k_base',
      ...kept,
    },
    store_output: { content: text, label: 'l', ttl_seconds: 60, ...kept },
    read_output: { handle, startLine: 1, endLine: 2, limit: 100 },
    grep_output: {
      handle,
      pattern: 't.o',
      contextLines: 1,
      beforeLines: 1,
      afterLines: 0,
      ignoreCase: true,
      ...paged,
    },
    list_outputs: { ...kept, ...paged },
    delete_outputs: { handles: [handle] },
    save_snapshot: { name: 'n', entries: [{ key: 'k', text }], ...kept },
    list_snapshots: { name: 'work', ...kept, ...paged },
    restore_snapshot: { snapshot_id: first, keys: ['plan'], limit: 100 },
    diff_snapshots: { from: first, to: second, context_lines: 1, limit: 100 },
    delete_snapshot: { snapshot_id: first },
    create_handoff: {
      goal: 'g',
      state: 's',
      decisions: ['d'],
      open_questions: ['q'],
      files: ['f'],
      next_actions: ['n'],
      session_id: 's',
      meant_for: 'x',
    },
    read_handoff: { handoff_id: handoff },
    delete_handoffs: { handoff_ids: [handoff] },
    accept_handoff: { handoff_id: handoff },
    list_handoffs: { status: 'open', session_id: 's', ...paged },
    measure_tools: { tools: [{ name: 't' }], context_window: 1_000, encoding: 'o200k_base', ...paged },
  };
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

const names = allTools.map(({ name }) => name);

test('every tool has arguments in this file', async () => {
  using context = await prepared();

  expect(Object.keys(context.valid).toSorted()).toEqual(names.toSorted());
});

test.each(names)('%s accepts its arguments', async (name) => {
  using context = await prepared();

  await expect(invoke(toolNamed(name), context.valid[name], context.store)).resolves.toBeDefined();
});

test.each(names)('%s names an unknown argument and changes nothing', async (name) => {
  using context = await prepared();
  const before = await context.held();

  await expect(
    invoke(toolNamed(name), { ...context.valid[name], bogus: 1 }, context.store),
  ).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('bogus') });
  expect(await context.held()).toBe(before);
});

test.each(names)('%s names each argument of a wrong type, and changes nothing', async (name) => {
  using context = await prepared();
  const before = await context.held();

  for (const field of Object.keys(context.valid[name] ?? {})) {
    await expect(
      invoke(toolNamed(name), { ...context.valid[name], [field]: { wrong: true } }, context.store),
    ).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining(field) });
  }
  expect(await context.held()).toBe(before);
});

test.each(names.filter((name) => !name.startsWith('list_')))(
  '%s says that it needs arguments, and changes nothing',
  async (name) => {
    using context = await prepared();
    const before = await context.held();

    await expect(invoke(toolNamed(name), {}, context.store)).rejects.toMatchObject({ code: 'invalid_input' });
    expect(await context.held()).toBe(before);
  },
);

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

test('names and hints of all tools are unique and complete', () => {
  expect(new Set(names).size).toBe(names.length);
  for (const { effect, hints } of allTools) {
    expect(hints.readOnly).toBe(effect === 'read');
    expect(hints.openWorld).toBe(false);
    expect({ read: [false], write: [false, true], destroy: [true] }[effect]).toContain(hints.destructive);
  }
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
