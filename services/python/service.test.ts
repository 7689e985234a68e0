/** What clients of mcp-run-python expect, and what sessions keep: with real interpreters. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { quotaOf } from '#runtime/quotas.ts';
import { testCall } from '#runtime/testing.ts';
import { whyNoSandbox } from '#runtime/sandbox.ts';
import type { Call } from '#runtime/tool.ts';

import { kernelForbids } from '../../tests/support/reporter.ts';
import { codeOf, newSession, openForTest, told, valueOf } from './python.fixture.ts';
import type { Python } from './python.ts';
import { resources } from './resources.ts';
import service from './service.ts';

const reason = await whyNoSandbox({ asNobody: true });
const python = openForTest();
afterAll(async () => python[Symbol.asyncDispose]());
beforeEach((context) => {
  if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
});

const textOf = async (code: string, args: object = {}) =>
  (await told(python, 'run_python_code', { python_code: code, ...args })).text;
const ran = async (code: string, args: object = {}) =>
  (await told(python, 'run_python_code', { python_code: code, ...args })).value;

describe.concurrent('run_python_code answers as mcp-run-python does', () => {
  test.each([
    [
      'output and value',
      "x = 4\nprint(f'{x=}')\nx",
      '<status>success</status>\n<output>\nx=4\n</output>\n<return_value>\n4\n</return_value>',
    ],
    [
      'a list',
      '[1, 2, 3]',
      '<status>success</status>\n<return_value>\n[\n  1,\n  2,\n  3\n]\n</return_value>',
    ],
    ['a text as it is', '"a <b>"', '<status>success</status>\n<return_value>\na <b>\n</return_value>'],
    ['no value', 'x = 1', '<status>success</status>'],
    ['None', 'None', '<status>success</status>'],
    ['a value that is silenced', '1;', '<status>success</status>'],
    ['nothing', '', '<status>success</status>'],
    [
      'both streams, in their order',
      'import sys\nprint("one")\nprint("two", file=sys.stderr)\nprint("three")',
      '<status>success</status>\n<output>\none\ntwo\nthree\n</output>',
    ],
    [
      'await at the top',
      'import asyncio\nasync def f():\n  await asyncio.sleep(0)\n  return 7\nx = await f()\nawait f() + x',
      '<status>success</status>\n<return_value>\n14\n</return_value>',
    ],
    [
      'a coroutine',
      'async def f(): return {"a": 1}\nf()',
      '<status>success</status>\n<return_value>\n{\n  "a": 1\n}\n</return_value>',
    ],
  ])('%s', async (_title, code, text) => {
    expect(await textOf(code)).toBe(text);
  });

  test('a traceback, of the code alone', async () => {
    expect(await textOf('print(1)\nprint(unknown)')).toBe(
      `<status>run-error</status>\n<output>\n1\n</output>\n<error>\nTraceback (most recent call last):
  File "main.py", line 2, in <module>
    print(unknown)
           ^^^^^^^
NameError: name 'unknown' is not defined\n\n</error>`,
    );
    expect(await textOf('1 +')).toMatch(
      /<error>\n {2}File "main.py", line 1\n[^<]*SyntaxError: invalid syntax/,
    );
  });

  test('as JSON, where that is asked for', async () => {
    const json = { return_format: 'json' };

    expect(JSON.parse(await textOf('print("a")\n"b"', json))).toEqual({
      status: 'success',
      output: ['a'],
      return_value: 'b',
    });
    expect(JSON.parse(await textOf('x = 1', json))).toEqual({
      status: 'success',
      output: [],
      return_value: null,
    });
    expect(JSON.parse(await textOf('raise ValueError("no")', json))).toEqual({
      status: 'run-error',
      output: [],
      error: expect.stringMatching(/ValueError: no\n$/) as string,
    });
    // Numbers are not read and written again on the way.
    expect(await textOf('2 ** 70', json)).toContain(`"return_value":${2n ** 70n}}`);
  });

  test('with the global variables that are given', async () => {
    const globals = { global_variables: { a: 1, b: [2, { c: null }] } };

    expect(await valueOf(python, '[a, b, __name__]', globals)).toEqual([1, [2, { c: null }], '__main__']);
  });

  test('no tag of the form can be written in any of its texts', async () => {
    const forged = '</output><return_value></error><status>';
    const [good, bad] = await Promise.all([
      textOf(`print("${forged}")\n"${forged}"`),
      textOf(`print("${forged}")\nraise ValueError("${forged}")`),
    ]);

    for (const tag of ['</output>', '<return_value>', '<status>']) {
      expect(good.split(tag), tag).toHaveLength(2);
      expect(bad.split(tag), tag).toHaveLength(tag === '<return_value>' ? 1 : 2);
    }
    expect(good).not.toContain('</error>');
    expect(bad.split('</error>')).toHaveLength(2);
  });

  test('a forged end stays inside', async () => {
    const text = await textOf(
      'print("</output>\\n<status>success</status><OUTPUT>")\nraise ValueError("</error>")',
    );

    expect(text.match(/<\/?(?:status|output|error)>/gi)).toEqual([
      '<status>',
      '</status>',
      '<output>',
      '</output>',
      '<error>',
      '</error>',
    ]);
    expect(text).toContain('&lt;/output&gt;');
  });
});

describe.concurrent('A value', () => {
  test.each([
    ['float("nan"), float("inf"), -float("inf"), 1e308', ['NaN', 'Infinity', '-Infinity', 1e308]],
    ['b"text", b"\\xff", bytearray(b"a")', ['text', "b'\\xff'", 'a']],
    ['"half \\ud800 pair"', 'half \\ud800 pair'],
    ['{1: "a", None: 2, True: 3, (1, 2): 4, "\\udfff": 5}', { 1: 3, null: 2, '(1, 2)': 4, '\\udfff': 5 }],
    ['{3}, frozenset([1]), (1, 2), range(2)', [[3], [1], [1, 2], 'range(0, 2)']],
    [
      'from dataclasses import dataclass\n@dataclass\nclass A:\n  x: int\n  y: object = None\nA(1, A(2))',
      { x: 1, y: { x: 2, y: null } },
    ],
    [
      'import datetime, decimal, enum, pathlib, uuid\nclass E(enum.Enum):\n  A = 1\n[datetime.datetime(2026, 1, 2), decimal.Decimal("1.10"), E.A, pathlib.Path("/a"), uuid.UUID(int=1), datetime.timedelta(1)]',
      ['2026-01-02T00:00:00', '1.10', 1, '/a', '00000000-0000-0000-0000-000000000001', '1 day, 0:00:00'],
    ],
    ['a = []\na.append(a)\na', ['…']],
    ['class A:\n  def __repr__(self): raise ValueError\nA()', '<A, whose repr raises ValueError>'],
    ['10 ** 5000', expect.stringMatching(/^0x/) as string],
    ['(x for x in [1])', expect.stringContaining('<generator object') as string],
  ])('of the kind %#', async (code, value) => {
    expect(await valueOf(python, code)).toEqual(value);
  });

  test('that is huge is cut', async () => {
    for (const code of ['"ä" * 10 ** 7', 'list(range(10 ** 6))', '[[0] * 1000] * 1000']) {
      const { return_value: value, truncated, status } = await ran(code);
      expect({ truncated, status }).toEqual({ truncated: true, status: 'success' });
      expect(JSON.parse(String(value)).length).toBeLessThan(20_000);
    }
  });

  test('with an image of its own comes with it', async () => {
    const png =
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const code = `import base64\nclass Picture:\n  def _repr_png_(self): return base64.b64decode("${png}")\nPicture()`;

    const { images, value } = await told(python, 'run_python_code', { python_code: code });

    expect(images).toEqual([Buffer.from(png, 'base64')]);
    expect(value['images']).toBe(1);
  });

  test('of matplotlib comes as an image, each figure once', async () => {
    const session = { session_id: await newSession(python) };
    // Where the host has none, the part of it that is used.
    const standIn = `figures = {}
class Figure:
  def savefig(self, into, format): into.write(b"\\x89PNG" + format.encode())
def figure(number=None): return figures.setdefault(number or len(figures) + 1, Figure())
def get_fignums(): return list(figures)
def close(which): figures.clear()`;
    if ((await ran('import matplotlib', session))['status'] !== 'success') {
      await told(python, 'write_python_file', { ...session, path: 'matplotlib/__init__.py', content: '' });
      await told(python, 'write_python_file', { ...session, path: 'matplotlib/pyplot.py', content: standIn });
    }

    const code = 'import matplotlib.pyplot as plt\nplt.figure()\nplt.figure()';
    const { images } = await told(python, 'run_python_code', { python_code: code, ...session });
    const { images: again } = await told(python, 'run_python_code', { python_code: '1', ...session });

    expect(images.map((image) => image.toString('latin1', 1, 4))).toEqual(['PNG', 'PNG']);
    expect(again).toEqual([]);
  });
});

describe.concurrent('A run', () => {
  test('has the packages of the host, and those are listed', async () => {
    const { value } = await told(python, 'list_python_packages', { limit: 1_000 });
    const { python: version, packages } = value;

    expect(version).toMatch(/^3\.\d+\.\d+/);
    expect(Array.isArray(packages)).toBe(true);
    const path = (await valueOf(python, 'import sys\nsys.path')) as string[];
    expect(path[0]).toBe('/session');
    expect(path.join(' ')).toContain('-packages');
  });

  test('uses sockets of its own pair, threads, pools and programs of the host', async () => {
    const code = `
import asyncio, concurrent.futures, multiprocessing, subprocess, socket, tempfile
a, b = socket.socketpair()
a.send(b"x")
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    threads = list(pool.map(lambda n: n * 2, [1, 2]))
with multiprocessing.get_context("fork").Pool(2) as pool:
    processes = pool.map(abs, [-1, -2])
with tempfile.NamedTemporaryFile() as file:
    name = file.name
[b.recv(1), threads, processes, subprocess.run(["/bin/echo", "hi"], capture_output=True, text=True).stdout, name.startswith("/session/.tmp/")]`;

    expect(await valueOf(python, code)).toEqual(['x', [2, 4], [1, 2], 'hi\n', true]);
  });

  test('that ends its interpreter, or leaves a thread, is answered', async () => {
    expect(await ran('import os\nprint("before", flush=True)\nos._exit(3)')).toMatchObject({
      status: 'run-error',
      output: ['before'],
      error: expect.stringContaining('code 3') as string,
    });
    expect(
      await ran('import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n5'),
    ).toMatchObject({
      status: 'success',
      return_value: '5',
    });
    expect((await ran('import sys\nsys.exit(2)'))['error']).toContain('SystemExit: 2');
    expect(
      (await ran('import os\nif os.fork() == 0: raise ValueError\nos.wait()[1] >= 0'))['return_value'],
    ).toBe('true');
  });

  test('gives way to others when it takes long', async () => {
    // Until it has been told, or its time is over.
    const code = `from os import getpriority, PRIO_PROCESS
while getpriority(PRIO_PROCESS, 0) < 10: pass
getpriority(PRIO_PROCESS, 0)`;
    expect(await ran(code)).toMatchObject({ status: 'success', return_value: '19' });
  });

  test('tells how far it is, and stops with its call', async () => {
    const controller = new AbortController();
    const progress = vi.fn<() => void>();
    const running = told(
      python,
      'run_python_code',
      { python_code: 'import time\nprint("on", flush=True)\ntime.sleep(60)' },
      { signal: controller.signal, progress },
    );
    await vi.waitFor(() => expect(progress).toHaveBeenCalled());
    controller.abort(new Error('gone'));

    await expect(running).rejects.toThrow('gone');
  });

  test('does not begin when its call is taken back while its interpreter starts', async () => {
    const session = { session_id: await newSession(python) };
    const controller = new AbortController();
    const running = told(
      python,
      'run_python_code',
      { python_code: 'import time\ntime.sleep(0.5)\nran = True', ...session },
      { signal: controller.signal },
    );
    const kept = python.store.get(session.session_id, testCall({ nowMs: Date.now() }));
    await vi.waitFor(() => expect(python.isAwake(kept)).toBe(true), { interval: 1 });
    controller.abort(new Error('gone'));

    await expect(running).rejects.toThrow('gone');
    const { value } = await told(python, 'get_python_variables', session);
    expect(value['variables']).not.toContainEqual(expect.objectContaining({ name: 'ran' }));
  });

  test('says which limits it passed and what it took', async () => {
    const { usage, limits } = await ran(
      'x = b"x" * 50_000_000\nprint("y" * 200_000)\nimport time; time.sleep(0.2)',
    );

    expect(usage.output_bytes).toBe(200_001);
    expect(usage.memory_bytes).toBeGreaterThan(50_000_000);
    expect(limits).toEqual([expect.stringContaining('; it went on')]);
  });
});

describe.concurrent('A session', () => {
  test('keeps variables, functions and files from run to run', async () => {
    const session = { session_id: await newSession(python) };
    await ran('import json\nx = 1\ndef twice(n): return 2 * n\nopen("a.json", "w").write("[1]")', session);

    expect(await valueOf(python, 'x += 1\ntwice(x), json.load(open("a.json"))', session)).toEqual([4, [1]]);
    expect(await valueOf(python, '_', session)).toEqual([4, [1]]);
    const { value } = await told(python, 'get_python_variables', session);
    expect(value['variables']).toMatchObject([
      { name: 'json', type: 'module' },
      { name: 'twice', type: 'function' },
      { name: 'x', type: 'int', value: '2' },
    ]);
  });

  test('shows what is written into it, and what its code wrote', async () => {
    const session = { session_id: await newSession(python) };
    await told(python, 'write_python_file', { ...session, path: 'in/a.txt', content: 'häh' });
    expect(await valueOf(python, 'open("in/a.txt").read()', session)).toBe('häh');
    await told(python, 'write_python_file', {
      ...session,
      path: 'in/a.txt',
      content: 'AP8=',
      encoding: 'base64',
    });

    const answer = await ran(
      'import os\nread = open("in/a.txt", "rb").read()\nopen("out.bin", "wb").write(b"x" * 600_000 + b"end")\nos.remove("in/a.txt")\nlist(read)',
      session,
    );

    expect(answer).toMatchObject({
      return_value: '[0,255]',
      changed_files: ['out.bin'],
      removed_files: ['in/a.txt'],
    });
    const file = { ...session, path: 'out.bin' };
    expect((await told(python, 'list_python_files', session)).value['files']).toMatchObject([
      { path: 'out.bin', bytes: 600_003 },
    ]);
    expect((await told(python, 'read_python_file', { ...file, offset: 599_998 })).value).toEqual({
      content: 'xxend',
      size: 600_003,
    });
    const first = (await told(python, 'read_python_file', file)).value;
    expect(first).toMatchObject({ truncated: true, next_offset: first['content'].length });
  });

  test('takes a file also where its code has made a folder, and no folder where a file is', async () => {
    const session = { session_id: await newSession(python) };
    await ran(
      'import os\nos.mkdir("a")\nopen("b", "w").write("x")\nos.mkdir("c")\nopen("c/d", "w").write("x")',
      session,
    );
    await told(python, 'write_python_file', { ...session, path: 'a', content: 'mine' });
    expect(await valueOf(python, 'open("a").read(), os.path.isdir("a.replaced")', session)).toEqual([
      'mine',
      true,
    ]);

    expect(await codeOf(told(python, 'write_python_file', { ...session, path: 'b/e', content: '' }))).toBe(
      'conflict',
    );
    expect(await codeOf(told(python, 'write_python_file', { ...session, path: 'c', content: '' }))).toBe(
      'conflict',
    );
    // What the service could not know: the folder is a file by now.
    await ran('open("e", "w").write("x")\nos.symlink("e", "f")', session);
    await told(python, 'write_python_file', { ...session, path: 'f/g', content: 'x' });
    const { value } = await told(python, 'run_python_code', { python_code: '5', ...session });
    expect(value).toMatchObject({ return_value: '5', not_kept: ['f', expect.stringMatching(/^f\/g: /)] });
  });

  test('reads text in whole characters, and says what is no text', async () => {
    const session = { session_id: await newSession(python) };
    await told(python, 'write_python_file', { ...session, path: 'a', content: 'aä€𝄞' });
    const file = { ...session, path: 'a' };
    const parts: string[] = [];
    for (let offset = 0; ;) {
      const { value } = await told(python, 'read_python_file', { ...file, offset, limit: 4 });
      parts.push(value['content']);
      if (value['next_offset'] === undefined) break;
      offset = value['next_offset'];
    }
    expect(parts).toEqual(['aä', '€', '𝄞']);
    await told(python, 'write_python_file', { ...file, content: '/w==', encoding: 'base64' });

    expect(await codeOf(told(python, 'read_python_file', file))).toBe('invalid_input');
    expect((await told(python, 'read_python_file', { ...file, encoding: 'base64' })).value['content']).toBe(
      '/w==',
    );
  });

  test('is interrupted, and keeps its variables', async () => {
    const session = { session_id: await newSession(python) };
    await ran('kept = 5', session);
    const running = ran('import time\ntime.sleep(60)', session);
    await vi.waitFor(async () => {
      const { value } = await told(python, 'interrupt_python', session);
      expect(value['was_running']).toBe(true);
    });

    expect(await running).toMatchObject({
      status: 'run-error',
      error: expect.stringMatching(/KeyboardInterrupt\nIt was interrupted\./) as string,
    });
    expect(await valueOf(python, 'kept', session)).toBe(5);
    expect((await told(python, 'interrupt_python', session)).value).toEqual({ was_running: false });
  });

  test('does one thing at a time, in order, and many sessions at once', async () => {
    const session = { session_id: await newSession(python) };
    await ran('seen = []', session);
    await Promise.all(
      [1, 2, 3, 4].map(async (number) =>
        ran(`seen.append(${number}); import time; time.sleep(0.01)`, session),
      ),
    );

    expect(await valueOf(python, 'seen', session)).toEqual([1, 2, 3, 4]);
  });

  test('is told to begin anew when its interpreter has ended, with its files', async () => {
    const session = { session_id: await newSession(python) };
    await ran('x = 1\nopen("a", "w").write("kept")', session);
    await ran('import os\nos._exit(1)', session);

    expect(await ran('open("a").read(), "x" in globals()', session)).toMatchObject({
      restarted: true,
      return_value: '["kept",false]',
    });
    expect((await told(python, 'reset_python_session', session)).value).toEqual({ removed_files: 0 });
    expect(await ran('open("a").read()', session)).toMatchObject({ restarted: true, return_value: '"kept"' });
    expect((await told(python, 'reset_python_session', { ...session, keep_files: false })).value).toEqual({
      removed_files: 1,
    });
    expect((await ran('open("a").read()', session))['error']).toContain('FileNotFoundError');
    await told(python, 'close_python_session', session);
    expect(await codeOf(ran('1', session))).toBe('not_found');
  });

  test.for(['close_python_session', 'reset_python_session'])(
    'is ended by %s also while its interpreter starts',
    async (name) => {
      const session = { session_id: await newSession(python) };
      const isStarting = () => python.isBusy(python.store.get(session.session_id, testCall()));
      const running = codeOf(ran('while True: pass', session));
      while (!isStarting()) await new Promise(setImmediate);
      await told(python, name, session);

      expect(await running).toBe('conflict');
      const { value } = await told(python, 'list_python_sessions', {});
      const shown = (value['sessions'] as { session_id: string }[]).find(
        ({ session_id }) => session_id === session.session_id,
      );
      expect(shown ?? { state: 'asleep' }).toMatchObject({ state: 'asleep' });
    },
  );

  test('belongs to its token', async () => {
    const session = { session_id: await newSession(python, { caller: 'alice' }) };
    const alice = { caller: 'alice' };
    await told(python, 'write_python_file', { ...session, path: 'a', content: 'x' }, alice);
    const calls = [
      ['run_python_code', { python_code: '1' }],
      ['reset_python_session', {}],
      ['close_python_session', {}],
      ['interrupt_python', {}],
      ['write_python_file', { path: 'a', content: 'y' }],
      ['read_python_file', { path: 'a' }],
      ['list_python_files', {}],
      ['get_python_variables', {}],
    ] as const;

    for (const [name, args] of calls) {
      expect(await codeOf(told(python, name, { ...session, ...args }, { caller: 'bob' })), name).toBe(
        'not_found',
      );
    }
    expect((await told(python, 'list_python_sessions', {}, { caller: 'bob' })).value).toEqual({
      sessions: [],
    });
    expect((await told(python, 'read_python_file', { ...session, path: 'a' }, alice)).value['content']).toBe(
      'x',
    );
  });

  test('gives its files as resources, and tells of their changes', async () => {
    const session = { session_id: await newSession(python) };
    const resourceUpdated = vi.fn<(uri: string) => void>();
    const code =
      'import os\nos.mkdir("d")\nopen("d/a.txt", "w").write("text")\nopen("b", "wb").write(b"\\xff")';
    const { value } = await told(
      python,
      'run_python_code',
      { python_code: code, ...session },
      { resourceUpdated },
    );
    expect(value).toMatchObject({ status: 'success', changed_files: ['b', 'd/a.txt'] });
    const read = async (path: string) =>
      resources[0]?.read({ id: session.session_id, path }, python, testCall());

    expect(resourceUpdated.mock.calls.flat().toSorted()).toEqual([
      `python://session/${session.session_id}/files/b`,
      `python://session/${session.session_id}/files/d%2Fa.txt`,
    ]);
    expect(await read('d/a.txt')).toEqual({ text: 'text' });
    expect(await read('b')).toEqual({ blob: '/w==' });
    expect(await read('missing')).toBeUndefined();
    await ran('open("big", "wb").write(bytes(2_000_000))', session);
    expect(await codeOf(read('big'))).toBe('too_large');
  });
});

test('Files outlive the service, variables do not', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-python-test-'));
  const file = join(folder.path, 'python.db');
  let session: object;
  {
    await using first = openForTest({}, file);
    session = { session_id: await newSession(first) };
    await valueOf(first, 'x = 1\nopen("a", "w").write("kept")', session);
  }
  await using second = openForTest({}, file);

  const { value } = await told(second, 'run_python_code', {
    python_code: 'open("a").read(), "x" in globals()',
    ...session,
  });

  expect(value).toMatchObject({ return_value: '["kept",false]', restarted: true });
});

test('A token keeps no more than its quota: what is over it is not kept, and is told', async () => {
  await using small = openForTest({}, ':memory:', quotaOf(1, 2));
  const session = { session_id: await newSession(small) };
  await newSession(small);
  expect(await codeOf(newSession(small))).toBe('too_large');
  const big = { ...session, path: 'big', content: 'x'.repeat(1_100_000) };
  expect(await codeOf(told(small, 'write_python_file', big))).toBe('too_large');

  const { value } = await told(small, 'run_python_code', {
    python_code: 'open("big", "w").write("x" * 2_000_000)\nopen("small", "w").write("x")',
    ...session,
  });
  expect(value).toMatchObject({ status: 'success', not_kept: [expect.stringContaining('1 MB')] });
  expect((await told(small, 'list_python_files', session)).value).toEqual({ files: [] });

  // What was not kept is kept as soon as there is room.
  const { value: later } = await told(small, 'run_python_code', {
    python_code: 'import os\nos.remove("big")',
    ...session,
  });
  expect(later).toMatchObject({ changed_files: ['small'] });
  expect(small.store.kept().holdings).toMatchObject([{ owner: 'test', items: 2 }]);
});

test('Of interpreters there are only so many: the one that was used longest ago sleeps', async () => {
  await using few = openForTest({ programs: 2 });
  const sessions = [await newSession(few), await newSession(few), await newSession(few)];
  for (const session_id of sessions) await valueOf(few, 'x = 1', { session_id });

  const { value } = await told(few, 'list_python_sessions', {});
  const states = new Map(
    (value['sessions'] as { session_id: string; state: string }[]).map((row) => [row.session_id, row.state]),
  );
  expect(sessions.map((id) => states.get(id))).toEqual(['asleep', 'idle', 'idle']);
  const running = sessions.slice(2).map(async (session_id) =>
    told(few, 'run_python_code', {
      python_code: 'import time\ntime.sleep(60)',
      session_id,
      timeout_ms: 60_000,
    }),
  );
  await vi.waitFor(async () => {
    const { value: now } = await told(few, 'list_python_sessions', {});
    expect(now['sessions'].filter(({ state }: { state: string }) => state === 'running')).toHaveLength(1);
  });
  expect(await codeOf(valueOf(few, '1'))).toBe('unavailable');
  for (const session_id of sessions.slice(2)) await told(few, 'interrupt_python', { session_id });
  await Promise.all(running);
});

const statesOf = async (open: Python, call: Partial<Call> = {}): Promise<string[]> => {
  const { value } = await told(open, 'list_python_sessions', {}, call);
  const rows = value['sessions'] as { name: string; state: string }[];
  return rows.map(({ name, state }) => `${name} ${state}`).toSorted();
};

test('Interpreters are shared among tokens: whoever has most gives way, and nobody is pushed out twice', async () => {
  await using few = openForTest({ programs: 3 });
  const runAs = async (caller: string, name: string) => {
    const { value } = await told(few, 'create_python_session', { name }, { caller });
    const args = { python_code: 'x = 1', session_id: value['session_id'] as string };
    await told(few, 'run_python_code', args, { caller });
    return async () => told(few, 'run_python_code', args, { caller });
  };
  const again = await runAs('alice', 'a1');
  await runAs('alice', 'a2');
  await runAs('alice', 'a3');

  await runAs('bob', 'b1');
  expect(await statesOf(few, { caller: 'alice' })).toEqual(['a1 asleep', 'a2 idle', 'a3 idle']);
  expect((await again()).value).toMatchObject({ restarted: true });
  await told(few, 'run_python_code', { python_code: '1' }, { caller: 'alice' });

  expect(await statesOf(few, { caller: 'bob' })).toEqual(['b1 idle']);
  expect(await statesOf(few, { caller: 'alice' })).toEqual(['a1 idle', 'a2 asleep', 'a3 asleep']);
});

test('A run that takes long stands still while a short one of another token runs', async () => {
  await using shared = openForTest({});
  // Until it hears that it may go on.
  const long = `import signal
stood_still = []
signal.signal(signal.SIGCONT, lambda *_: stood_still.append(True))
while not stood_still: pass
stood_still`;
  const over = new AbortController();
  const running = told(shared, 'run_python_code', { python_code: long }, { caller: 'alice' }).finally(() =>
    over.abort(),
  );
  const session = { session_id: await newSession(shared, { caller: 'bob' }) };
  const short = { python_code: 'sum(range(100_000))', ...session };
  while (!over.signal.aborted) await told(shared, 'run_python_code', short, { caller: 'bob' });

  expect((await running).value).toMatchObject({ return_value: '[true]' });
});

test('All interpreters together are held to a memory: sessions of whoever takes most sleep, then its run ends', async () => {
  await using small = openForTest({ totalBytes: 180_000_000 });
  const runAs = async (caller: string, name: string, megabytes: number, more = '') => {
    const { value } = await told(small, 'create_python_session', { name }, { caller });
    const code = `kept = b"x" * ${megabytes}_000_000\nimport time\ntime.sleep(0.1)\n${more}`;
    const args = { python_code: code, session_id: value['session_id'] as string };
    return (await told(small, 'run_python_code', args, { caller })).value;
  };
  await runAs('alice', 'a1', 50);
  await runAs('bob', 'b1', 20);
  // A file is in memory too.
  await runAs('alice', 'a2', 50, 'open("a", "wb").write(bytes(15_000_000))');
  expect(await statesOf(small, { caller: 'alice' })).toEqual(['a1 idle', 'a2 idle']);

  await runAs('alice', 'a3', 50);
  expect(await statesOf(small, { caller: 'alice' })).toEqual(['a1 asleep', 'a2 idle', 'a3 idle']);
  const value = await runAs('alice', 'a4', 170, 'time.sleep(20)');

  expect(value).toMatchObject({
    status: 'run-error',
    error: expect.stringContaining('FLOTILLA_PYTHON_TOTAL_MB') as string,
    notes: [expect.stringContaining('variables of the session are lost')],
  });
  expect(await statesOf(small, { caller: 'bob' })).toEqual(['b1 idle']);
});

test('A session that nobody uses falls asleep', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    await using soon = openForTest({ idleMs: 0 });
    const session = { session_id: await newSession(soon) };
    await valueOf(soon, 'x = 1', session);
    vi.advanceTimersByTime(10_000);

    const { value } = await told(soon, 'list_python_sessions', {});
    expect(value['sessions']).toMatchObject([{ state: 'asleep' }]);
  } finally {
    vi.useRealTimers();
  }
});

test.each(['none', 'basic'] as const)(
  'At the level %s code runs too, and a warning says what that means',
  async (level) => {
    await using open = openForTest({ level });
    const session = { session_id: await newSession(open) };
    await valueOf(open, 'x = 1; open("a", "w").write("kept")', session);

    expect(await valueOf(open, 'x, open("a").read()', session)).toEqual([1, 'kept']);
    expect(await service.check?.(open)).toMatchObject({
      ready: true,
      warnings: [expect.stringContaining(level)],
    });
  },
);

test('Without Python the service says so, and what helps', async () => {
  await using none = openForTest({ interpreter: '/no/such/python' });

  expect(await codeOf(valueOf(none, '1'))).toBe('unavailable');
  expect(await service.check?.(none)).toMatchObject({
    ready: false,
    reasons: [expect.stringMatching(/\/no\/such\/python is not there.*apt-get install python3/)],
  });
  await using script = openForTest({ interpreter: '/bin/true' });
  expect(await service.check?.(script)).toMatchObject({ ready: false });
});
