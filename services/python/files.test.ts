/** Stored files against all that can go wrong on their way into an interpreter and back: whole, or named, never lost. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { quotaOf } from '#runtime/quotas.ts';
import { whyNoSandbox } from '#runtime/sandbox.ts';

import { kernelForbids } from '../../tests/support/reporter.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import { pieceBytes } from './limits.ts';
import { codeOf, newSession, openForTest, told } from './python.fixture.ts';

const reason = await whyNoSandbox({ asNobody: true });
const diskBytes = { most: 2_000_000, policy: 'hard' as const };
const limits = { memoryBytes: { most: 200_000_000, policy: 'hard' as const }, diskBytes };
const python = openForTest({ limits });
afterAll(async () => python[Symbol.asyncDispose]());
beforeEach((context) => {
  if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
});

const inSession = async (of = python) => {
  const session = { session_id: await newSession(of) };
  return {
    session,
    run: async (code: string) => (await told(of, 'run_python_code', { python_code: code, ...session })).value,
    write: async (path: string, bytes: number) =>
      told(of, 'write_python_file', { ...session, path, content: 'x'.repeat(bytes) }),
    sizes: async () => {
      const { value } = await told(of, 'list_python_files', session);
      const files = value['files'] as { readonly path: string; readonly bytes: number }[];
      return Object.fromEntries(files.map(({ path, bytes }) => [path, bytes]));
    },
  };
};

describe.concurrent('A stored file', () => {
  test('stays as it is when it does not fit into the folder, and comes back when there is room', async () => {
    const { run, write, sizes } = await inSession();
    await write('a', 600_000);
    await write('b', 600_000);
    await run('open(".tmp/big", "wb").write(b"x" * 700_000)');
    await write('a', 900_000);
    const stored = { a: 900_000, b: 600_000 };

    const failed = await run('import os\nopen("a", "w").write("mine")\nos.path.getsize("a")');
    expect(failed).toMatchObject({
      not_kept: [expect.stringMatching(/^a: the stored file could not be put here: No space left/)],
    });
    expect(failed['changed_files']).toBeUndefined();
    expect(await sizes()).toEqual(stored);

    await run('os.unlink(".tmp/big")');
    expect(await sizes()).toEqual(stored);
    expect(await run('os.path.getsize("a")')).toMatchObject({ return_value: '900000' });
    expect(await sizes()).toEqual(stored);
  });

  test('is refused when it would not fit beside the others', async () => {
    const { run, write, sizes } = await inSession();
    await write('a', 1_500_000);

    expect(await codeOf(write('b', 600_000))).toBe('too_large');
    await write('a', 1_600_000);
    expect(await run('import os\nos.path.getsize("a")')).toMatchObject({ return_value: '1600000' });
    expect(await sizes()).toEqual({ a: 1_600_000 });
  });

  test('is not replaced by one that is larger than the folder; the small ones are kept', async () => {
    const { run, sizes } = await inSession();
    await run('open("a", "w").write("old")');

    const value = await run(
      'import os\nfor n in "abc": os.truncate(os.open(n, os.O_CREAT | os.O_RDWR), 1_500_000)\nopen("small", "w").write("x")',
    );

    expect(value['not_kept']).toHaveLength(2);
    const kept = value['changed_files'] as string[];
    expect(kept).toContain('small');
    expect(kept).toHaveLength(2);
    const whole = await sizes();
    for (const path of kept) expect(whole[path]).toBe(path === 'small' ? 1 : 1_500_000);
  });

  test('is not replaced by a part, whatever the interpreter says', async () => {
    const { run, sizes } = await inSession();
    await run('open("a", "w").write("old")');
    const code = `
import sys
send = sys._getframe(1)
while "send" not in send.f_globals: send = send.f_back
send = send.f_globals["send"]
for path, parts in (("a", 1), ("b", 12)):
    send({"is": "file", "path": path})
    for _ in range(parts): send({"is": "part"}, b"x" * 200_000)
send({"is": "whole"})
send({"is": "file", "path": "../c"})`;

    const value = await run(code);

    expect(value['not_kept']).toEqual(['a', 'b', '../c']);
    expect(value['changed_files']).toBeUndefined();
    expect(await sizes()).toEqual({ a: 3 });
  });

  test('is kept beside others that cannot be read, vanish, or lie too deep', async () => {
    const { run, sizes } = await inSession();
    await run(
      'import os\nos.mkdir("shut")\nopen("shut/old", "w").write("old")\nopen("locked", "w").write("old")',
    );

    const value = await run(`
import os
open("locked", "w").write("newer")
os.chmod("locked", 0)
os.chmod("shut", 0)
at = "d" * 200
os.makedirs(f"{at}/{at}/{at}")
open(f"{at}/{at}/{at}/deep", "w").write("x")
real = os.open
def vanishing(path, *given):
    if path.endswith("gone"): os.unlink(path)
    return real(path, *given)
os.open = vanishing
for n in ("a", "gone", "z"): open(n, "w").write("x")`);

    expect(value['changed_files']).toEqual(['a', 'z']);
    expect((value['not_kept'] as string[]).toSorted()).toEqual([
      expect.stringMatching(/^d{200}.* more than 512 characters$/),
      'locked: Permission denied',
      'shut: Permission denied',
    ]);
    expect(await sizes()).toEqual({ a: 1, z: 1, locked: 3, 'shut/old': 3 });
    expect(await run('os.chmod("locked", 0o600)')).toMatchObject({ changed_files: ['locked'] });
  });

  test('is stored by the next run when the call of this one was cancelled', async () => {
    const { session, run } = await inSession();
    await run('1');
    const gone = new AbortController();
    const code = 'import os, time\nopen("a", "w").write("x")\nprint("written", flush=True)\ntime.sleep(60)';
    const call = told(
      python,
      'run_python_code',
      { python_code: code, ...session },
      { signal: gone.signal, progress: () => gone.abort(new Error('cancelled')) },
    );

    await expect(call).rejects.toThrow('cancelled');
    expect(await run('1')).toMatchObject({ return_value: '1', changed_files: ['a'] });
  });

  test('is the same to the interpreter after it was written by the client: it does not come back as changed', async () => {
    await using small = openForTest({}, ':memory:', quotaOf(50, 20));
    const { run, write } = await inSession(small);
    await run('open("a", "w").write("x")');
    await write('a', 5);

    expect((await run('1'))['changed_files']).toBeUndefined();
  });
});

test('What a file had before is gone when it is replaced, and any part of it is read over the edges of its pieces', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'python.db');
  await using own = openForTest({ limits }, file);
  const session_id = await newSession(own);
  const write = async (content: string) => told(own, 'write_python_file', { session_id, path: 'a', content });
  using database = new DatabaseSync(file, { readOnly: true });
  const left = () =>
    database
      .prepare('SELECT (SELECT count(*) FROM piece) AS pieces, (SELECT count(*) FROM leftover) AS leftover')
      .get();

  // The last one stays.
  await Promise.all(['', 'x', 'y'.repeat(pieceBytes), 'short'].map(write));
  expect(left()).toEqual({ pieces: 1, leftover: 0 });
  const long = `${'a'.repeat(pieceBytes - 2)}bcde${'f'.repeat(pieceBytes)}`;
  await write(long);
  for (const [offset, limit] of [
    [pieceBytes - 3, 6],
    [pieceBytes, 1],
    [0, 3],
    [2 * pieceBytes, 60_000],
  ] as const) {
    const { value } = await told(own, 'read_python_file', { session_id, path: 'a', offset, limit });
    expect(value['content'], `${offset}`).toBe(long.slice(offset, offset + limit));
  }
  await write('short again');
  // More than a piece is taken away between other work.
  await vi.waitFor(() => expect(left()).toEqual({ pieces: 1, leftover: 0 }));
});
