import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { openDatabase, openToRead } from '#runtime/database.ts';
import { testCall } from '#runtime/testing.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { levels, levelNames } from './limits.ts';
import { callOf, later, testStore } from './store.fixture.ts';
import { openTexts } from './store/texts.ts';

interface Stored {
  readonly handle: string;
}
interface Page {
  readonly text: string;
  readonly next_cursor?: string;
}

async function pagesOf(call: ReturnType<typeof callOf>, name: string, args: object): Promise<Page[]> {
  const pages: Page[] = [];
  for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
    const page = await call<Page>(name, { ...args, ...(cursor && { cursor }) });
    pages.push(page);
    cursor = page.next_cursor;
  }
  return pages;
}

describe('A stored output', () => {
  test('comes back page by page as it was, also where it is one long line', async () => {
    using store = testStore();
    const call = callOf(store);

    for (const content of ['a\nbb\n'.repeat(300), '🎉é'.repeat(500), '', '\n\n\n', 'x'.repeat(100)]) {
      const { handle } = await call<Stored>('store_output', { content });
      const pages = await pagesOf(call, 'read_output', { handle, limit: 101 });

      expect(pages.map(({ text }) => text).join('')).toBe(content);
      for (const { text } of pages) {
        expect(text.length).toBeLessThanOrEqual(101);
        expect(text.isWellFormed()).toBe(true);
      }
    }
  });

  test('gives the lines that are asked for, and says how many there are', async () => {
    using store = testStore();
    const call = callOf(store);
    const { handle } = await call<Stored>('store_output', { content: 'one\ntwo\nthree\n' });

    expect(await call('read_output', { handle, startLine: 2, endLine: 3 })).toEqual({
      text: 'two\nthree',
      totalLines: 4,
      totalCharacters: 14,
    });
    await expect(call('read_output', { handle, startLine: 5 })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  test('has the same handle for the same text, and another one elsewhere', async () => {
    using store = testStore();
    const call = callOf(store);
    const handles = [];
    for (const where of [{}, {}, { level: 'audit' }, { session_id: 's' }, { level: 'ephemeral' }])
      handles.push((await call<Stored>('store_output', { content: 'text', ...where })).handle);

    expect(handles[0]).toBe(handles[1]);
    expect(new Set(handles).size).toBe(4);
    expect(store.holdings().durable.output.items).toBe(3);
  });

  test.each(levelNames)('of level %s is kept for its time, and then counted as expired', async (level) => {
    using store = testStore();
    const call = callOf(store);
    const { handle } = await call<Stored>('store_output', { content: 'text', level });
    const lastSecond = later(levels[level].ttl - 1);
    const after = later(levels[level].ttl);

    await call('read_output', { handle }, lastSecond);
    await expect(call('read_output', { handle }, after)).rejects.toMatchObject({ code: 'not_found' });
    expect(await call('list_outputs', {}, after)).toEqual({ outputs: [] });
    await call('store_output', { content: 'next', level }, after);

    const held = store.holdings()[level === 'ephemeral' ? 'ephemeral' : 'durable'].output;
    expect(held).toMatchObject({ items: 1, bytes: 4, expired: 1 });
  });

  test('is kept longer when it is stored again, never shorter', async () => {
    using store = testStore();
    const call = callOf(store);
    const { handle } = await call<Stored>('store_output', { content: 'text', ttl_seconds: 100 });

    await call('store_output', { content: 'text', ttl_seconds: 10 });
    await call('read_output', { handle }, later(99));
    await call('store_output', { content: 'text', ttl_seconds: 1_000 });

    expect(await call('read_output', { handle }, later(999))).toMatchObject({ text: 'text' });
  });

  test('that a snapshot or a handoff names stays as long as that', async () => {
    using store = testStore();
    const call = callOf(store);
    const put = async (content: string) => (await call<Stored>('store_output', { content })).handle;
    const [inSnapshot, inHandoff, alone] = [await put('a'), await put('b'), await put('c')];
    const { snapshot_id: id } = await call('save_snapshot', {
      name: 'n',
      entries: [{ key: 'k', text: `see\n${inSnapshot}` }],
    });
    await call('create_handoff', { goal: 'g', state: `see:\n${inHandoff}` });
    const muchLater = later(3 * levels.session.ttl);
    await call('store_output', { content: 'purges' }, muchLater);

    await call('read_output', { handle: inSnapshot }, muchLater);
    await call('read_output', { handle: inHandoff }, muchLater);
    await expect(call('read_output', { handle: alone }, muchLater)).rejects.toMatchObject({
      code: 'not_found',
    });

    await call('delete_snapshot', { snapshot_id: id }, muchLater);
    await expect(call('read_output', { handle: inSnapshot }, muchLater)).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('can be deleted, from disk and from memory', async () => {
    using store = testStore();
    const call = callOf(store);
    const onDisk = (await call<Stored>('store_output', { content: 'a' })).handle;
    const inMemory = (await call<Stored>('store_output', { content: 'a', level: 'ephemeral' })).handle;
    const unknown = `out_${'0'.repeat(24)}`;

    expect(await call('delete_outputs', { handles: [onDisk, inMemory, unknown] })).toEqual({
      deleted: 2,
      not_found: [unknown],
    });
  });
});

test('lists are newest first, from disk and memory together, page by page and without gaps', async () => {
  using store = testStore();
  const call = callOf(store);
  const stored: string[] = [];
  for (let at = 0; at < 25; at += 1) {
    const args = { content: `text ${at}`, level: at % 3 ? 'task' : 'ephemeral', session_id: `s${at % 2}` };
    stored.unshift((await call<Stored>('store_output', args, later(Math.floor(at / 4)))).handle);
  }
  const listed = async (filter: object) => {
    const pages = await pagesOf(call, 'list_outputs', { limit: 4, ...filter });
    return pages.flatMap((page) => (page as unknown as { outputs: Stored[] }).outputs);
  };

  const all = await listed({});
  expect(all.map(({ handle }) => handle).toSorted()).toEqual(stored.toSorted());
  const times = (all as unknown as { created_at: string }[]).map(({ created_at: at }) => at);
  expect(times).toEqual(times.toSorted().toReversed());
  expect(await listed({ level: 'ephemeral' })).toHaveLength(9);
  expect(await listed({ session_id: 's1', level: 'task' })).toHaveLength(8);
});

test('what is ephemeral is in no file, not even for a moment', async () => {
  using folder = temporaryFolder();
  using store = testStore(join(folder.path, 'context.db'));
  const call = callOf(store);
  const secret = 'nobody-may-read-this-7319';
  const filesWith = (text: string) =>
    readdirSync(folder.path).filter((name) => readFileSync(join(folder.path, name)).includes(text));
  const ephemeral = { level: 'ephemeral', session_id: secret };
  const text = `${secret} is said here.\n`.repeat(200);
  const near = 'the cat sat on the mat and looked at the dog all day long';

  const stored = await call<Stored>('store_output', { content: secret, label: secret, ...ephemeral });
  await call('truncate_to_budget', { text, token_budget: 40, ...ephemeral });
  await call('compress_output', { content: text, ...ephemeral });
  await call('dedupe', { texts: [`${near} ${secret}`, `${near} ${secret} x`], ...ephemeral });
  await call('assemble_context', { sources: [{ id: secret, text }], token_budget: 99, ...ephemeral });
  await call('compact_messages', {
    messages: [{ role: 'user', content: text }],
    token_budget: 200,
    keep_recent: 0,
    ...ephemeral,
  });
  await call('save_snapshot', { name: secret, entries: [{ key: secret, text }], ...ephemeral });
  await call('store_output', { content: 'on disk' });

  expect(filesWith(secret)).toEqual([]);
  // The check can fail: what is not ephemeral is found.
  expect(filesWith('on disk')).not.toEqual([]);
  expect(store.holdings().ephemeral.output.items).toBe(4);
  expect(await call('read_output', { handle: stored.handle })).toMatchObject({ text: secret });
});

test('what was kept on disk is there after a restart, what was ephemeral is not', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'context.db');
  const put = { onDisk: '', inMemory: '' };
  {
    using store = testStore(file);
    const call = callOf(store);
    put.onDisk = (await call<Stored>('store_output', { content: 'a' })).handle;
    put.inMemory = (await call<Stored>('store_output', { content: 'a', level: 'ephemeral' })).handle;
  }
  using store = testStore(file);
  const call = callOf(store);

  expect(await call('read_output', { handle: put.onDisk })).toMatchObject({ text: 'a' });
  await expect(call('read_output', { handle: put.inMemory })).rejects.toMatchObject({ code: 'not_found' });
});

test('deleted text is gone from the file', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'context.db');
  {
    using store = testStore(file);
    const call = callOf(store);
    const { handle } = await call<Stored>('store_output', { content: 'password-4711' });
    await call('delete_outputs', { handles: [handle] });
  }

  expect(readFileSync(file).includes('password-4711')).toBe(false);
});

describe('A long text that is given up', () => {
  const long = 'x'.repeat(100_000);
  const parts = 'SELECT (SELECT count(*) FROM part) AS parts, (SELECT count(*) FROM leftover) AS leftovers';
  const gone = testCall({ signal: AbortSignal.abort(new Error('gone')) });
  const level = { level: 'project' } as const;

  test('is taken away by what is written next, and takes no more room each time', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'context.db');
    using store = testStore(file);
    using look = openToRead(file);
    const counted = look.prepare<[], { parts: number; leftovers: number }>(parts);

    for (let times = 0; times < 5; times += 1) {
      await expect(store.saveSnapshot('s', [{ key: 'k', text: long }], level, gone)).rejects.toThrow('gone');
      // Without the one that is being written, there would be as many as there were calls.
      expect(counted.get()).toMatchObject({ parts: 1 });
    }
    expect(store.kept().holdings).toEqual([]);

    for (let times = 0; times < 3; times += 1) await store.keep([`short ${times}`], level, testCall());
    expect(counted.get()).toEqual({ parts: 0, leftovers: 0 });
  });

  test('is taken away while many others are being written', () => {
    using folder = temporaryFolder();
    const migrations = new URL('migrations', import.meta.url).pathname;
    const database = openDatabase(join(folder.path, 'texts.db'), migrations);
    const texts = openTexts(database);
    const begun: number[] = [];
    database.exec('BEGIN');
    for (let text = 0; text < 250; text += 1) texts.write(long, begun).next();
    texts.settle(begun.splice(200, 1));

    for (let times = 0; times < 2; times += 1) texts.removeSome();
    expect(database.prepare(parts).get()).toEqual({ parts: 249, leftovers: 249 });
    database.exec('COMMIT');
    database.close();
  });
});

describe('grep_output', () => {
  const opened = async (content: string) => {
    const store = testStore(':memory:', {
      threads: { threads: 2, cpuMs: 100, waitMs: 9_000, waitingPerCaller: 8 },
    });
    const call = callOf(store);
    const { handle } = await call<Stored>('store_output', { content });
    return { call, handle, [Symbol.dispose]: () => store[Symbol.dispose]() };
  };

  test('finds lines with what stands around them', async () => {
    using context = await opened('alpha\nBeta\ngamma\ndelta');
    const grep = async (args: object) => context.call('grep_output', { handle: context.handle, ...args });

    expect(await grep({ pattern: 'beta', ignoreCase: true, contextLines: 1 })).toEqual({
      matches: [{ line: 2, text: 'Beta', before: ['alpha'], after: ['gamma'] }],
    });
    expect(await grep({ pattern: 'a$', beforeLines: 1 })).toMatchObject({
      matches: [
        { line: 1, before: [] },
        { line: 2, before: ['alpha'] },
        { line: 3, before: ['Beta'] },
        { line: 4, before: ['gamma'] },
      ],
    });
    expect(await grep({ pattern: String.raw`\p{Lu}` })).toMatchObject({ matches: [{ line: 2 }] });
    expect(await grep({ pattern: String.raw`et\a` })).toMatchObject({ matches: [{ line: 2 }] });
    expect(await grep({ pattern: 'none' })).toEqual({ matches: [] });
    await expect(grep({ pattern: '(' })).rejects.toMatchObject({
      code: 'invalid_input',
      hint: expect.any(String),
    });
  });

  test('goes on where it stopped', async () => {
    using context = await opened(Array.from({ length: 30 }, (_, at) => `line ${at}`).join('\n'));
    const pages = await pagesOf(context.call, 'grep_output', {
      handle: context.handle,
      pattern: '[05]$',
      limit: 4,
    });

    const found = pages.flatMap((page) => (page as unknown as { matches: { line: number }[] }).matches);
    expect(found.map(({ line }) => line)).toEqual([1, 6, 11, 16, 21, 26]);
  });

  test('stops a pattern that would take forever, and serves others meanwhile', async () => {
    using context = await opened('a'.repeat(50_000) + '!');
    const evil = context.call('grep_output', { handle: context.handle, pattern: '(a+)+$' });
    let others = 0;
    const state = { isOver: false };
    const ended = evil.catch((error: unknown) => error).finally(() => (state.isOver = true));

    while (!state.isOver) {
      await context.call('count_tokens', { text: 'hello' });
      others += 1;
      await new Promise(setImmediate);
    }

    expect(await ended).toMatchObject({ code: 'timeout', hint: expect.any(String) });
    expect(others).toBeGreaterThan(20);
    expect(await context.call('grep_output', { handle: context.handle, pattern: '!$' })).toMatchObject({
      matches: [{ line: 1 }],
    });
  });
});
