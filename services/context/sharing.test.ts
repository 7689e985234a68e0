/** What clients share: budgets, snapshots and handoffs. */
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { modernClient } from '../../tests/support/clients.ts';
import { serve, temporaryFolder } from '../../tests/support/serve.ts';
import { budgetTtl, handoffTtl, levels } from './limits.ts';
import service from './service.ts';
import { callOf, later, testStore } from './store.fixture.ts';

const idIn = (value: unknown) => String(Object.values(value as object)[0]);

interface Budget {
  readonly consumed: number;
  readonly remaining: number;
  readonly uses: number;
}

describe('A budget', () => {
  test('is consumed up to its limit and never beyond, whatever comes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.nat(40), { maxLength: 20 }),
        async (limit, amounts) => {
          using store = testStore();
          const call = callOf(store);
          await call('set_budget', { budget_id: 'b', limit });
          let expected = 0;
          for (const tokens of amounts) {
            const { fits } = await call<{ fits: boolean }>('check_budget', { budget_id: 'b', tokens });
            const isTaken = await call('consume_budget', { budget_id: 'b', tokens }).then(
              () => true,
              () => false,
            );
            expect(isTaken).toBe(fits);
            if (isTaken) expected += tokens;
          }

          const { consumed, remaining } = await call<Budget>('check_budget', { budget_id: 'b' });
          expect(consumed).toBe(expected);
          expect(consumed + remaining).toBe(limit);
          expect(remaining).toBeGreaterThanOrEqual(0);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('holds when two processes draw on it at once', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'context.db');
    using one = testStore(file);
    using other = testStore(file);
    await callOf(one)('set_budget', { budget_id: 'b', limit: 50 });

    const drawn = await Promise.allSettled(
      Array.from({ length: 100 }, async (_, at) =>
        callOf(at % 2 ? one : other)('consume_budget', { budget_id: 'b', tokens: 1 }),
      ),
    );

    expect(drawn.filter(({ status }) => status === 'fulfilled')).toHaveLength(50);
    expect(await callOf(one)('check_budget', { budget_id: 'b' })).toMatchObject({
      consumed: 50,
      remaining: 0,
      uses: 50,
    });
  });

  test('counts a text, keeps what was consumed when the limit changes, and begins again when asked', async () => {
    using store = testStore();
    const call = callOf(store);
    await call('set_budget', { budget_id: 'b', limit: 10 });

    expect(await call('consume_budget', { budget_id: 'b', text: 'one two three' })).toMatchObject({
      asked: 3,
      consumed: 3,
    });
    expect(await call('set_budget', { budget_id: 'b', limit: 20 })).toMatchObject({
      consumed: 3,
      remaining: 17,
    });
    await expect(call('set_budget', { budget_id: 'b', limit: 2 })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(await call('set_budget', { budget_id: 'b', limit: 2, reset: true })).toMatchObject({
      consumed: 0,
      uses: 0,
    });
  });

  test('is forgotten some time after its last use', async () => {
    using store = testStore();
    const call = callOf(store);
    await call('set_budget', { budget_id: 'b', limit: 10 });
    await call('consume_budget', { budget_id: 'b', tokens: 1 }, later(budgetTtl - 1));

    await call('check_budget', { budget_id: 'b' }, later(2 * budgetTtl - 2));
    await expect(call('check_budget', { budget_id: 'b' }, later(2 * budgetTtl))).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('A snapshot', () => {
  const entries = [
    { key: 'plan', text: 'one\ntwo\nthree' },
    { key: '__proto__', text: 'odd' },
    { key: 'notes', text: 'é🎉'.repeat(400) },
  ];
  const saved = async (call: ReturnType<typeof callOf>, args: object) =>
    (await call<{ snapshot_id: string }>('save_snapshot', { name: 'work', entries, ...args })).snapshot_id;

  test('comes back as it was, in pages or in parts', async () => {
    using store = testStore();
    const call = callOf(store);
    const id = await saved(call, {});
    const texts = new Map<string, string>();
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await call<{
        entries: { key: string; text: string; offset?: number }[];
        next_cursor?: string;
      }>('restore_snapshot', { snapshot_id: id, limit: 100, ...(cursor && { cursor }) });
      for (const { key, text, offset = 0 } of page.entries) {
        expect(text.isWellFormed()).toBe(true);
        expect(texts.get(key) ?? '').toHaveLength(offset);
        texts.set(key, (texts.get(key) ?? '') + text);
      }
      cursor = page.next_cursor;
    }

    expect([...texts]).toEqual(entries.map(({ key, text }) => [key, text]));
    expect(await call('restore_snapshot', { snapshot_id: id, keys: ['plan'] })).toMatchObject({
      entries: [{ key: 'plan', text: 'one\ntwo\nthree' }],
    });
    await expect(call('restore_snapshot', { snapshot_id: id, keys: ['none'] })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('is compared with another, entry by entry', async () => {
    using store = testStore();
    const call = callOf(store);
    const from = await saved(call, {});
    const to = await saved(call, {
      entries: [
        { key: 'plan', text: 'one\n2\nthree' },
        { key: 'new', text: 'n' },
        { key: 'notes', text: 'é🎉'.repeat(400) },
      ],
    });

    expect(await call('diff_snapshots', { from, to })).toEqual({
      changes: [
        { key: '__proto__', status: 'removed', lines_added: 0, lines_removed: 1 },
        { key: 'new', status: 'added', lines_added: 1, lines_removed: 0 },
        { key: 'plan', status: 'changed', lines_added: 1, lines_removed: 1 },
      ],
      changed: 3,
      diff: [
        '--- __proto__\n+++ /dev/null\n@@ -1 +0,0 @@\n-odd\n\\ No newline at end of file\n',
        '--- /dev/null\n+++ new\n@@ -0,0 +1 @@\n+n\n\\ No newline at end of file\n',
        '--- plan\n+++ plan\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n\\ No newline at end of file\n',
      ].join(''),
    });
    expect(await call('diff_snapshots', { from, to: from })).toEqual({ changes: [], changed: 0, diff: '' });
  });

  test('stays until it is deleted; an ephemeral one for a day', async () => {
    using store = testStore();
    const call = callOf(store);
    const durable = await saved(call, {});
    const ephemeral = await saved(call, { level: 'ephemeral' });
    const muchLater = later(10 * levels.audit.ttl);

    expect(await call('list_snapshots', { name: 'work' })).toMatchObject({
      snapshots: expect.arrayContaining([expect.objectContaining({ snapshot_id: ephemeral })]) as unknown,
    });
    await call('restore_snapshot', { snapshot_id: durable }, muchLater);
    await expect(call('restore_snapshot', { snapshot_id: ephemeral }, muchLater)).rejects.toMatchObject({
      code: 'not_found',
    });
    await call('delete_snapshot', { snapshot_id: durable });
    await expect(call('restore_snapshot', { snapshot_id: durable })).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('A handoff', () => {
  const work = {
    goal: 'Ship the service',
    state: 'Built, not tested',
    decisions: ['SQLite, because it is there'],
    open_questions: ['Who reviews?'],
    files: ['a.ts: the store'],
    next_actions: ['Write tests', 'Then\nship'],
  };

  test('is written by one agent and accepted by another, once', async () => {
    using store = testStore();
    const call = callOf(store);
    const { handoff_id: id } = await call<{ handoff_id: string }>('create_handoff', work, { caller: 'ada' });
    const updated: string[] = [];

    expect(await call('list_handoffs', { status: 'open' })).toMatchObject({
      handoffs: [{ handoff_id: id, created_by: 'ada' }],
    });
    const accepted = await call(
      'accept_handoff',
      { handoff_id: id },
      {
        caller: 'bob',
        resourceUpdated: (uri) => updated.push(uri),
        ...later(60),
      },
    );

    expect(accepted).toMatchObject({
      goal: work.goal,
      document: expect.stringContaining('Then\n  ship') as string,
      status: 'accepted',
      created_by: 'ada',
      accepted_by: 'bob',
      accepted_at: '2026-11-20T12:01:00.000Z',
    });
    expect(updated).toEqual([`context://handoff/${id}`]);
    await expect(call('accept_handoff', { handoff_id: id }, { caller: 'eve' })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('bob') as string,
    });
    expect(await call('list_handoffs', { status: 'open' })).toEqual({ handoffs: [] });
    expect(await call('read_handoff', { handoff_id: id })).toEqual(accepted);
  });

  test('is accepted by one of many who try at once, from two processes', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'context.db');
    using one = testStore(file);
    using other = testStore(file);
    const { handoff_id: id } = await callOf(one)<{ handoff_id: string }>('create_handoff', work);

    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, async (_, at) =>
        callOf(at % 2 ? one : other)('accept_handoff', { handoff_id: id }),
      ),
    );

    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('has its sections in a fixed order, empty ones too', async () => {
    using store = testStore();
    const call = callOf(store);
    const { handoff_id: id } = await call<{ handoff_id: string }>('create_handoff', {
      goal: 'g',
      state: 's',
    });

    const { document } = await call<{ document: string }>('read_handoff', { handoff_id: id });

    expect(document.match(/^## .*$/gm)).toEqual([
      '## Goal',
      '## State',
      '## Decisions',
      '## Open questions',
      '## Files',
      '## Next actions',
    ]);
    expect(document.match(/^None\.$/gm)).toHaveLength(4);
  });

  test('stays while it is open, and its time after it was accepted', async () => {
    using store = testStore();
    const call = callOf(store);
    const { handoff_id: id } = await call<{ handoff_id: string }>('create_handoff', work);
    await call('accept_handoff', { handoff_id: id }, later(10 * handoffTtl));

    await call('read_handoff', { handoff_id: id }, later(11 * handoffTtl - 1));
    await expect(call('read_handoff', { handoff_id: id }, later(11 * handoffTtl))).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('goes from one client to another over the wire, as resource and as prompt too', async () => {
    await using served = await serve(service);
    await using writer = await modernClient(served);
    await using reader = await modernClient(served);
    const created = await writer.callTool({ name: 'create_handoff', arguments: work });
    const id = idIn(created.structuredContent);

    const resource = await reader.readResource({ uri: `context://handoff/${id}` });
    const prompt = await reader.getPrompt({ name: 'resume', arguments: { handoff_id: id } });
    const completed = await reader.complete({
      ref: { type: 'ref/prompt', name: 'resume' },
      argument: { name: 'handoff_id', value: 'hand_' },
    });
    const accepted = await reader.callTool({ name: 'accept_handoff', arguments: { handoff_id: id } });

    expect(resource.contents).toMatchObject([
      { mimeType: 'text/markdown', text: expect.stringContaining('Who reviews?') as string },
    ]);
    expect(JSON.stringify(prompt.messages)).toContain('Ship the service');
    expect(completed.completion.values).toEqual([id]);
    expect(accepted).toMatchObject({
      content: [{ text: expect.stringMatching(/^<untrusted-.*Ship the service/s) as string }],
      _meta: { 'flotilla/untrusted': true },
    });
    expect(await reader.getPrompt({ name: 'handoff', arguments: {} })).toMatchObject({
      messages: [{ role: 'user' }],
    });
    await expect(reader.readResource({ uri: 'context://handoff/none' })).rejects.toThrow('not found');
    await expect(reader.getPrompt({ name: 'resume', arguments: { handoff_id: 'none' } })).rejects.toThrow(
      'no handoff',
    );
  });
});

test('a snapshot is a resource, too', async () => {
  await using served = await serve(service);
  await using client = await modernClient(served);
  const saved = await client.callTool({
    name: 'save_snapshot',
    arguments: { name: 'n', entries: [{ key: 'k', text: 'v' }] },
  });

  const { contents } = await client.readResource({
    uri: `context://snapshot/${idIn(saved.structuredContent)}`,
  });

  expect(JSON.parse(String((contents[0] as { text?: string }).text))).toMatchObject({
    name: 'n',
    entries: [{ key: 'k', text: 'v' }],
  });
});

test('measure_tools says what a list of tools costs, the most expensive first', async () => {
  using store = testStore();
  const call = callOf(store);
  const schema = {
    type: 'object',
    properties: { text: { type: 'string', description: 'A text that is long enough.' } },
  };
  const tools = [
    { name: 'small', description: 'Short.' },
    {
      name: 'large',
      description: 'A longer description of it.',
      inputSchema: schema,
      outputSchema: schema,
      annotations: {},
    },
  ];
  interface Measured {
    tokens: number;
    share: number;
    tools: { name: string; tokens: number }[];
    next_cursor?: string;
  }

  const first = await call<Measured>('measure_tools', { tools, context_window: 1_000, limit: 1 });
  const second = await call<Measured>('measure_tools', {
    tools,
    context_window: 1_000,
    limit: 1,
    cursor: first.next_cursor,
  });

  const seen = JSON.stringify({ name: 'large', description: tools[1]?.description, input_schema: schema });
  expect(first.tools).toMatchObject([
    { name: 'large', tokens: (await call<Measured>('count_tokens', { text: seen })).tokens },
  ]);
  expect(second.tools).toMatchObject([{ name: 'small', output_schema_tokens: 0 }]);
  expect(first.tokens).toBe((first.tools[0]?.tokens ?? 0) + (second.tools[0]?.tokens ?? 0));
  expect(first.share).toBe(first.tokens / 1_000);
});
