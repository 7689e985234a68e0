import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { createToken, revokeToken, type NewToken } from '#runtime/access/tokens.ts';

import { ServerChild } from '../scripts/bench/child.ts';
import { messagesIn } from '../scripts/bench/message.ts';
import { tasks, servicesOfTasks } from '../scripts/bench/program-tasks.ts';
import { byCalls, byProgram, listTokens, openCount, seed } from '../scripts/bench/programs.ts';
import { loadService } from '../scripts/load.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { serveCommand } from '../scripts/serve-command.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { callTool, codeOf, rpc, send } from '../tests/support/rpc.ts';
import { temporaryFolder, type Served } from '../tests/support/serve.ts';

const files = temporaryFolder();
const stack = new AsyncDisposableStack();
let fronted: Fronted;
let gateway: Served;
let python: ServerChild;
let pythonUrl = '';
let startPython: () => Promise<void>;

beforeAll(async () => {
  stack.use(files);
  const offset = await freePortOffset();
  pythonUrl = `http://127.0.0.1:${(entryOf('python')?.port ?? 0) + offset}`;
  const services = servicesOfTasks.filter((name) => name !== 'python');
  fronted = stack.use(
    await serveBehind(await Promise.all(services.map(loadService)), {
      settings: { FLOTILLA_ROOTS: files.path },
      others: [{ name: 'python', description: 'Is python.', origin: pythonUrl }],
    }),
  );
  ({ gateway } = fronted);
  // A process of its own, so that it can be killed.
  startPython = async () => {
    python = new ServerChild(serveCommand('python'), {
      settings: { FLOTILLA_DATA: gateway.dataRoot, FLOTILLA_PORT_OFFSET: String(offset) },
    });
    await python.listening();
    // What is down for a short time only is not told as that: the first call waits.
  };
  await startPython();
  stack.defer(async () => python[Symbol.asyncDispose]());
});
afterAll(async () => stack.disposeAsync());

interface Listed {
  readonly name: string;
  readonly description: string;
}

/** What a client lists that asks for it in its URL. */
async function listed(query?: string, token = gateway.token, target = gateway): Promise<readonly Listed[]> {
  const response = await fetch(`${target.url}/mcp${query === undefined ? '' : `?tools=${query}`}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
  });
  const { result } = (await response.json()) as { readonly result: { readonly tools: readonly Listed[] } };
  return result.tools;
}

const namesOf = (tools: readonly Listed[]) => tools.map(({ name }) => name);

let tokens = 0;
async function tokenWith(token: Partial<NewToken>): Promise<string> {
  tokens += 1;
  const secret = await createToken(gateway.dataRoot, {
    name: `program-${tokens}`,
    scope: ['*'],
    expiresAt: null,
    ...token,
  });
  await vi.waitFor(async () =>
    expect((await rpc(gateway, 'tools/list', {}, { token: secret })).result).toBeDefined(),
  );
  return secret;
}

interface Ran {
  readonly text: string;
  readonly code: string | undefined;
  readonly meta: Readonly<Record<string, unknown>>;
}

async function run(
  code: string,
  args: object = {},
  token = gateway.token,
  signal?: AbortSignal,
): Promise<Ran> {
  const answer = await callTool(
    gateway,
    'run_program',
    { code, ...args },
    { token, ...(signal && { signal }) },
  );
  const result = answer.result ?? {};
  expect(result['structuredContent']).toBeUndefined();
  return {
    text: String(result['content']?.[0]?.text),
    code: codeOf(answer),
    meta: result['_meta'] as Ran['meta'],
  };
}

/** The gateway's records of calls. */
function records(): readonly {
  readonly target: string;
  readonly outcome: string;
  readonly caller: string;
}[] {
  const folder = join(gateway.dataRoot, 'gateway', 'audit');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line));
}

describe('A client that writes programs', () => {
  test('lists what finds tools and what runs programs, by its URL or its token', async () => {
    const tools = await listed('code');
    const own = await tokenWith({ tools: ['code', 'open_nodes'] });

    expect(namesOf(tools)).toEqual(['find_tools', 'run_program']);
    expect(tools[0]?.description).toContain('run_program');
    expect(tools[0]?.description).toContain('- memory: ');
    expect(namesOf(await listed('code,memory_stats'))).toEqual(['find_tools', 'run_program', 'memory_stats']);
    expect(namesOf(await listed(undefined, own))).toEqual(['find_tools', 'run_program', 'open_nodes']);
    expect(await run('print(fleet.memory_stats()["files"])', {}, own)).toMatchObject({ text: '0' });
    const search = await tokenWith({ tools: ['search'] });
    expect(namesOf(await listed(undefined, search))).toEqual(['find_tools', 'call_tool']);
  });

  test('that may run no Python searches and calls', async () => {
    const token = await tokenWith({ scope: ['memory', 'python:read'] });

    expect(namesOf(await listed('code', token))).toEqual(['find_tools', 'call_tool']);
    expect(await run('print(1)', {}, token)).toMatchObject({ code: 'forbidden' });
    expect((await run('print(1)', {}, token)).text).toContain('python:write');
    const others = await tokenWith({ tools: ['memory'] });
    expect(await run('print(1)', {}, others)).toMatchObject({ code: 'forbidden' });
  });

  test('finds functions, with what they answer, and in programs too', async () => {
    const text = `print(fleet.find_tools(question="memory_stats, find_path", service="memory", limit=2))`;
    const { text: found } = await run(text);

    expect(found).toMatch(/^fleet\.memory_stats\(\) -> \{"entities": int, /m);
    expect(found).toMatch(
      /^fleet\.find_path\(\{"from": str, "to": str, "max_depth"\?: int\}\) -> \{"found": bool/m,
    );
  });

  test('is told that nothing can be run, where there is no python service', async () => {
    await using alone = await serveBehind([await loadService('memory')]);
    const tools = await listed('code', alone.gateway.token, alone.gateway);

    expect(namesOf(tools)).toEqual(['find_tools', 'run_program']);
    expect(tools[1]?.description).toMatch(/^\[Unavailable now: .* has no python service\.\]/);
    const answer = await callTool(alone.gateway, 'run_program', { code: '1' });
    expect(codeOf(answer)).toBe('unavailable');
  });
});

test('five tasks have the same answers by calls and by programs, which take fewer tokens and round trips', async () => {
  const folder = join(files.path, 'tasks');
  mkdirSync(folder);
  await seed(gateway, folder);
  const count = await openCount();
  for (const task of tasks) {
    /* oxlint-disable no-await-in-loop -- one after the other: a report is written by each */
    const calls = await byCalls(task, gateway, folder, count, 'everything');
    const program = await byProgram(task, gateway, folder, count);
    /* oxlint-enable no-await-in-loop */
    expect(program.answer, task.title).toBe(calls.answer);
    expect(program.answer.length).toBeGreaterThan(2);
    expect(program.roundTrips).toBe(2);
    expect(program.tokens, task.title).toBeLessThan(calls.tokens);
  }
  expect(await listTokens(gateway, count, 'code')).toBeLessThan(1_000);
});

describe('A program', () => {
  test('prints what it wants, and says so where others wrote it', async () => {
    const { text, code, meta } = await run(
      'for n in range(3):\n    print(n, fleet.memory.memory_stats()["files"])',
    );

    expect({ text, code }).toEqual({ text: '0 0\n1 0\n2 0', code: undefined });
    expect(meta).toMatchObject({ 'dev.flotilla/untrusted': true });
    expect((await run('fleet.memory_stats()["files"] + 7')).text).toBe('7');
    expect((await run('x = 1')).text).toContain('printed nothing');
    expect(
      (await run('from fleet import memory_stats, ToolError\nprint(memory_stats()["files"])')).text,
    ).toBe('0');
  });

  test('gets errors of tools with code, message and hint, and shows what it printed before one', async () => {
    const { text } = await run(`
try:
    fleet.get_memory(id=999999)
except ToolError as error:
    print(error.code, bool(error.message), error.hint is None or bool(error.hint))
for call in (lambda: fleet.no_such_tool(), lambda: fleet.get_memory(id="x"), lambda: fleet.call("a" * 300), lambda: fleet.rename_entity(name="x", new_name="y", self=1),
             lambda: fleet.call("rename_entity", name="x", new_name="y")):
    try:
        call()
    except ToolError as error:
        print(error.code)
try:
    fleet.get_memory(3)
except TypeError as error:
    print(error)`);
    expect(text.split('\n')).toEqual([
      'not_found True True',
      'not_found',
      'invalid_input',
      'not_found',
      'invalid_input',
      'not_found',
      expect.stringContaining('by name'),
    ]);

    const failed = await run('print("before")\nfleet.get_memory(id=999999)');
    expect(failed.code).toBe('invalid_input');
    expect(failed.text).toMatch(/^before\nTraceback .*\n.*"main.py", line 2/);
    expect(failed.text).toMatch(/ToolError: not_found: /);
    // And not the advice that stands below it.
    expect(failed.meta['dev.flotilla/error']).toMatchObject({
      message: expect.stringMatching(/^The program failed: ToolError: not_found: /),
    });
    expect(failed.text).not.toContain('<runner>');
    expect(failed.meta).toMatchObject({ 'dev.flotilla/untrusted': true });
    expect((await run('open("/etc/passwd")')).text).toContain('fleet.read_text_file');
  });

  test('calls as its caller alone: by the same scope, choice and rate', async () => {
    const attempts = `
for call in (lambda: fleet.create_entities(entities=[]), lambda: fleet.memory_stats(), lambda: fleet.git_status(repo_path="/")):
    try:
        call()
        print("ok")
    except ToolError as error:
        print(error.code)`;
    const reader = await tokenWith({ scope: ['memory:read', 'python'] });
    expect((await run(attempts, {}, reader)).text.split('\n')).toEqual(['forbidden', 'ok', 'forbidden']);
    const chosen = await tokenWith({ tools: ['run_program', 'create_entities'] });
    expect((await run(attempts, {}, chosen)).text.split('\n')).toEqual(['ok', 'forbidden', 'forbidden']);
    const slow = await tokenWith({ rate: '2/h' });
    expect((await run(attempts, {}, slow)).text.split('\n')).toEqual(['ok', 'unavailable', 'unavailable']);

    await vi.waitFor(() => {
      const own = records().filter(({ caller }) => caller === `program-${tokens - 2}`);
      expect(own.map(({ target, outcome }) => `${target} ${outcome}`)).toEqual(
        expect.arrayContaining([
          'create_entities forbidden',
          'memory_stats ok',
          'git_status forbidden',
          'run_program ok',
        ]),
      );
    });
  });

  test('cannot make a call that a person has to agree to', async () => {
    const token = await tokenWith({ confirm: 'destructive' });
    const { text } = await run(
      `
for call in (lambda: fleet.memory_stats()["files"], lambda: fleet.delete_entities(entityNames=["x"])):
    try: print(call())
    except ToolError as error: print(error.code, error.message)`,
      {},
      token,
    );
    expect(text).toMatch(/^0\nforbidden A person has to agree to delete_entities/);
  });

  test('may call from threads at the same time', async () => {
    const { text } = await run(`
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(20) as pool:
    found = list(pool.map(lambda n: fleet.memory_stats()["files"] + n, range(60)))
print(found == list(range(60)))`);
    expect(text).toBe('True');
  });

  test('is stopped after its time, in which waiting for calls does not count', async () => {
    const waits = 'fleet.run_python_code(python_code="import time; time.sleep(0.5)")\nprint("waited")';
    const [waited, spun] = await Promise.all([
      run(waits, { timeout_ms: 400 }),
      run('print("begun")\nwhile True: pass', { timeout_ms: 200 }),
    ]);
    expect(waited).toMatchObject({ text: 'waited', code: undefined });
    expect(spun.code).toBe('timeout');
    expect(spun.text).toMatch(/^begun\n/);
  });

  test('tells its calls as progress, to a client that asks for it', async () => {
    const response = await send(
      gateway,
      'tools/call',
      { name: 'run_program', arguments: { code: 'for _ in range(3): fleet.memory_stats()' } },
      { meta: { progressToken: 'p' } },
    );
    const told: unknown[] = [];
    for await (const { method, params } of messagesIn(response))
      if (method === 'notifications/progress') told.push(params?.['message']);
    expect(told).toContain('Calls memory_stats');
  });
});

/** Writes a message of its own, or several, into every pipe that it finds. */
const forging = (message: string, isOne = true) => `
import os, stat, time
def framed(head):
    return len(head).to_bytes(4, "big") + head
def call(number):
    return framed(b'{"is":"call","id":%d,"name":"memory_stats","bytes":2}' % number) + b"{}"
for number in range(3, 400):
    try:
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            os.write(number, ${isOne ? `framed(${message})` : message})
    except OSError:
        pass
time.sleep(0.2)
`;

describe.concurrent('A hostile program', () => {
  test.each([
    ['runs programs in programs', 'fleet.run_program(code="print(1)")', 'cannot call run_program'],
    [
      'and by another name',
      'fleet.call_tool(name="run_program", arguments={"code": "1"})',
      'cannot call call_tool',
    ],
    ['sends huge arguments', 'fleet.add_memory(text="x" * 5_000_000)', 'too_large'],
    ['sends what is no JSON', 'fleet.add_memory(text=float("nan"))', 'not JSON compliant'],
    [
      'calls from another process',
      'import os\nif os.fork() == 0:\n    try: fleet.memory_stats()\n    except RuntimeError as error: print(error, flush=True)\n    os._exit(0)\nos.wait()\nprint(fleet.memory_stats()["files"])',
      'no process that it starts.\n0',
    ],
    [
      'goes on to call when it has ended',
      'import threading\ndef go():\n    while True: fleet.memory_stats()\nthreading.Thread(target=go, daemon=True).start()\nprint("done")',
      'done',
    ],
    ['forges what is no call', forging('b\'{"is":"call","id":"x","name":3}\''), 'interpreter ended'],
    [
      'forges more calls than there may be',
      forging('b"".join(call(number) for number in range(900, 920))', false),
      'interpreter ended',
    ],
    [
      'forges its end',
      `${forging('b\'{"is":"done","status":"success","text":"forged"}\'')}os._exit(0)`,
      'forged',
    ],
    [
      'forges an error of the service',
      forging('b\'{"is":"failed","code":"ok"}\'') + 'print("still")',
      'still',
    ],
  ])('that %s comes to nothing', async (_title, code, says) => {
    expect((await run(code, { timeout_ms: 5_000 })).text).toContain(says);
  });

  test('that calls without end is told so, and is ended when it goes on', async () => {
    const { text, code } = await run(`
from concurrent.futures import ThreadPoolExecutor
def call(_):
    try: return fleet.memory_stats()["files"]
    except ToolError as error: return error.code
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(call, range(503)))
while found.count(0) == 500 and found.count("too_large") == 3: call(0)`);
    expect({ text, code }).toEqual({ text: expect.stringContaining('went on to call'), code: 'too_large' });
  });

  test('cannot be begun, or answered, by a token itself', async () => {
    const post = async (path: string, body: string) =>
      fetch(`${pythonUrl}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' },
        body,
      });
    expect((await post('/programs', '{"code":"1","timeoutMs":1000}')).status).toBe(403);
    expect((await post('/programs/answers?program=x&call=1', '{}')).status).toBe(403);
  });
});

test.each([
  {},
  { code: '' },
  { code: 3 },
  { code: 'x'.repeat(200_001) },
  { code: '\uD800' },
  { code: '1', timeout_ms: 99 },
  { code: '1', timeout_ms: 600_001 },
  { code: '1', session: 'x' },
])('run_program refuses %j', async (args) => {
  expect(codeOf(await callTool(gateway, 'run_program', args))).toBe('invalid_input');
});

/** How many calls of a tool that is quick there were, so far. */
async function quickCalls(): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const samples = text.matchAll(/^\w+_count\{[^}]*gen_ai_tool_name="memory_stats"[^}]*\} (\d+)/gm);
  return [...samples].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Begins a program, and waits for two such calls of it. */
async function underWay(code: string, token?: string, signal?: AbortSignal) {
  const before = await quickCalls();
  const running = run(code, { timeout_ms: 60_000 }, token, signal).catch((error: unknown) => error as Error);
  await vi.waitFor(async () => expect(await quickCalls()).toBeGreaterThanOrEqual(before + 2), {
    interval: 10,
  });
  return { running };
}

test('a client that goes away ends its program and the calls of it', async () => {
  const token = await tokenWith({});
  const structured = async (name: string) =>
    (await callTool(gateway, name, {}, { token })).result?.['structuredContent'];
  const sessions = await Promise.all([0, 1].map(async () => structured('create_python_session')));
  const atWork = async (): Promise<number> =>
    (await structured('list_python_sessions')).sessions.filter(
      ({ state }: { state: string }) => state === 'running',
    ).length;
  const stop = new AbortController();
  const code = `
from concurrent.futures import ThreadPoolExecutor
def go(session):
    fleet.run_python_code(python_code="while True: pass", session_id=session, timeout_ms=600000)
with ThreadPoolExecutor(2) as pool:
    list(pool.map(go, ${JSON.stringify(sessions.map(({ session_id: id }) => String(id)))}))`;
  const running = run(code, {}, token, stop.signal).catch((error: unknown) => error);
  await vi.waitFor(async () => expect(await atWork()).toBe(2), { interval: 20 });

  stop.abort();

  expect(await running).toMatchObject({ name: 'AbortError' });
  await vi.waitFor(async () => expect(await atWork()).toBe(0), { interval: 20 });
  await vi.waitFor(() => {
    const own = records().filter(
      ({ caller, outcome }) => caller === `program-${tokens}` && outcome === 'cancelled',
    );
    expect(own.map(({ target }) => target).toSorted()).toEqual([
      'run_program',
      'run_python_code',
      'run_python_code',
    ]);
  });
});

const computing = 'fleet.memory_stats()\nfleet.memory_stats()\nwhile True: pass';

test('a token that is revoked ends its program', async () => {
  const token = await tokenWith({});
  const { running } = await underWay(computing, token);

  await revokeToken(gateway.dataRoot, `program-${tokens}`);

  expect(await running).toMatchObject({ code: 'unavailable' });
});

test.each(['SIGKILL', 'SIGTERM'])(
  'a python service that gets %s in the middle of a program is told as that, and is used again',
  async (signal) => {
    const { running } = await underWay(
      'import time\nwhile True:\n    fleet.memory_stats()\n    time.sleep(0.05)',
    );

    process.kill(python.pid, signal);

    expect(await running).toMatchObject({
      code: 'unavailable',
      text: expect.stringMatching(/python went away before the program ended.*\n.*It had made \d+ calls/),
    });
    await python[Symbol.asyncDispose]();
    await startPython();
    expect((await run('print(fleet.memory_stats()["files"])')).text).toBe('0');
  },
);
