/** What a new user does, with real processes: start, connect, restart, stop; and everything that can be in the way. */
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { describe, expect, test, vi } from 'vitest';

import { catalogue } from '#config/catalogue.ts';

import { legacyClient, modernClient } from '../support/clients.ts';
import { processesOf, run, RunningFleet, type Settings } from '../support/fleet.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { temporaryFolder } from '../support/serve.ts';

const memoryPort = 4321;

interface Place extends Disposable {
  readonly settings: Settings;
  readonly dataRoot: string;
  readonly url: string;
  readonly token: () => string;
}

async function place(): Promise<Place> {
  const folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const offset = await freePortOffset();
  return {
    settings: { FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(offset) },
    dataRoot,
    url: `http://127.0.0.1:${memoryPort + offset}`,
    token: () => readFileSync(join(dataRoot, 'token'), 'utf8').trim(),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

async function pidAt(url: string): Promise<number> {
  return ((await (await fetch(`${url}/health`)).json()) as { pid: number }).pid;
}

/** Where it does not matter which, and how many. */
const few = ['--only', 'memory,health,dashboard'];

describe.each([
  // All of them on what they kept before: tests/e2e/backup.test.ts.
  { mode: 'one process each', args: [], again: few },
  { mode: 'a single process', args: ['--single-process'], again: ['--single-process'] },
])('a fleet with $mode', ({ args, again }) => {
  test('shows a line per process, keeps what clients of both eras stored over a restart, and leaves no process behind', async () => {
    using here = await place();
    const target = { url: here.url, token: '' };

    {
      await using fleet = new RunningFleet(args, here.settings);
      await fleet.said(/Stop\s+Ctrl-C/);
      for (const { name } of catalogue) expect(fleet.output).toMatch(new RegExp(`✓ ${name}\\s+\\d+  up in`));
      await fleet.said(/Dashboard\s+http\S+\/dashboard  \(to sign in: \S*flotilla dashboard\)/);
      expect(fleet.output).toMatch(/Connect\s+\S*flotilla connect claude-code/);
      target.token = here.token();
      expect(fleet.output).not.toContain(target.token);

      const link = run(['dashboard'], here.settings).stdout.trim();
      const opened = await fetch(link, { redirect: 'manual' });
      expect(opened.status).toBe(303);
      await using modern = await modernClient(target);
      await modern.callTool({
        name: 'create_entities',
        arguments: { entities: [{ name: 'Ada', entityType: 'person', observations: ['writes programs'] }] },
      });
      await using legacy = await legacyClient(target);
      await legacy.callTool({
        name: 'add_memory',
        arguments: { text: 'The kettle is in the blue cupboard.' },
      });

      // On a busy machine, health may not answer the dashboard in time just now.
      await vi.waitFor(
        () =>
          expect(run(['validate'], here.settings)).toMatchObject({
            code: 0,
            stdout: catalogue.map(({ name }) => `✓ ${name}\n`).join(''),
          }),
        { timeout: 90_000 },
      );
      expect(await fleet.interrupt()).toBe(0);
      expect(processesOf(here.dataRoot)).toEqual([]);
    }

    await using fleet = new RunningFleet(again, here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    await using legacy = await legacyClient(target);
    const graph = await legacy.callTool({ name: 'open_nodes', arguments: { names: ['Ada'] } });
    expect(graph.structuredContent).toMatchObject({
      entities: [{ name: 'Ada', observations: ['writes programs'] }],
    });

    const shell = run(
      ['call', 'memory', 'search_memories', '{"query":"where is the kettle"}'],
      here.settings,
    );
    expect(shell).toMatchObject({ code: 0, stdout: expect.stringContaining('blue cupboard') });
    const chain = run(['audit', 'verify', 'memory'], here.settings);
    expect(chain).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^memory: \d+ records, the chain holds/),
    });
  });
});

describe('when something falls', () => {
  test('a killed process is back by itself, and what it had acknowledged is there', async () => {
    using here = await place();
    await using fleet = new RunningFleet(few, here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    run(['call', 'memory', 'add_memory', '{"text":"Rosebud is a sledge."}'], here.settings);
    const before = await pidAt(here.url);

    process.kill(before, 'SIGKILL');
    await fleet.said(/! memory\s+ended with SIGKILL; starting again[^]*✓ memory/);

    expect(await pidAt(here.url)).not.toBe(before);
    expect(run(['call', 'memory', 'search_memories', '{"query":"rosebud"}'], here.settings).stdout).toContain(
      'sledge',
    );
  });

  test('a fleet whose supervisor is killed ends by itself', async () => {
    using here = await place();
    await using fleet = new RunningFleet(few, here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    expect(processesOf(here.dataRoot)).toHaveLength(4);

    await fleet.kill();

    await vi.waitFor(() => expect(processesOf(here.dataRoot)).toEqual([]), { timeout: 90_000, interval: 50 });
  });

  test('a damaged database stops its own process alone, untouched and with a remedy', async () => {
    using here = await place();
    {
      await using fleet = new RunningFleet(few, here.settings);
      await fleet.said(/Stop\s+Ctrl-C/);
    }
    const file = join(here.dataRoot, 'memory', 'memory.db');
    writeFileSync(file, 'this is no database, but somebody may still need it');
    rmSync(`${file}-wal`, { force: true });

    await using fleet = new RunningFleet(few, here.settings);
    await fleet.said(/✗ memory\s+\S*memory\.db is damaged .* Restore it from a backup, or move it away/);
    await fleet.said(/\d+ of \d+ ready/);

    expect(readFileSync(file, 'utf8')).toContain('somebody may still need it');
    expect(run(['status'], here.settings)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/memory.*down/),
    });
  });
});

describe('what is in the way of a start is told in one line, with its exit code', () => {
  test('a second start on the same data', async () => {
    using here = await place();
    await using fleet = new RunningFleet(few, here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);

    const second = run(['start'], { ...here.settings, FLOTILLA_PORT_OFFSET: String(await freePortOffset()) });

    expect(second).toMatchObject({
      code: 69,
      stdout: '',
      stderr: expect.stringMatching(/^flotilla: A fleet works on \S+ already \(pid \d+\)\. .*\n$/),
    });
    expect(run(['validate'], here.settings).code).toBe(0);
  });

  test('a process started twice on the same data', async () => {
    using here = await place();
    await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    const elsewhere = { ...here.settings, FLOTILLA_PORT_OFFSET: String(await freePortOffset()) };
    for (const file of ['.lock', 'fleet.json']) rmSync(join(here.dataRoot, file)); // as if the first had no supervisor

    await using second = new RunningFleet(['--only', 'memory'], elsewhere);

    await second.said(/! memory\s+Another process works on \S+\. Stop it first/);
    await second.interrupt();
    expect(run(['validate', '--only', 'memory'], here.settings).code).toBe(0);
  });

  test('a taken port', async () => {
    using here = await place();
    const port = memoryPort + Number(here.settings['FLOTILLA_PORT_OFFSET']);
    const squatter = createServer().listen(port, '127.0.0.1');
    await new Promise((done) => {
      squatter.once('listening', done);
    });

    const start = run(['start'], here.settings);
    const doctor = run(['doctor'], here.settings);
    squatter.close();

    expect(start).toMatchObject({
      code: 69,
      stderr: `flotilla: Port ${port} (memory) is taken by another program. Stop it, or set FLOTILLA_PORT_OFFSET.\n`,
    });
    expect(doctor).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`✗ port of memory: Port ${port} (memory) is taken`),
    });
  });

  test('a data folder in a folder that does not exist', async () => {
    using here = await place();

    const start = run(['start'], {
      FLOTILLA_PORT_OFFSET: here.settings['FLOTILLA_PORT_OFFSET'] ?? '',
      FLOTILLA_DATA: '/nowhere/at/all',
    });

    expect(start).toMatchObject({
      code: 78,
      stderr: 'flotilla: The folder /nowhere/at does not exist: make it, or set FLOTILLA_DATA to another.\n',
    });
  });

  test.each([
    ['a bad setting', { FLOTILLA_LOG_LEVEL: 'loud' }, /^flotilla: Bad setting: FLOTILLA_LOG_LEVEL: .*\n$/],
    ['an unknown setting', { FLOTILLA_DATAA: 'x' }, /^flotilla: Unknown setting: FLOTILLA_DATAA\..*\n$/],
    [
      'an unknown setting of a service',
      { FLOTILLA_MEMORY_SIZE: '1' },
      /^flotilla: Unknown setting: FLOTILLA_MEMORY_SIZE\..*\n$/,
    ],
  ])('%s', async (_what, setting, line) => {
    using here = await place();

    const start = run(['start'], { ...here.settings, ...setting });

    expect(start).toMatchObject({ code: 78, stdout: '', stderr: expect.stringMatching(line) });
  });

  test.each([
    [['start', '--only', 'memroy'], 'There is no "memroy".'],
    [['start', '--tier', '9'], 'There is no tier 9.'],
    [['start', '--only', 'memory', '--tier', '1'], 'cannot be used with'],
    [['frobnicate'], "unknown command 'frobnicate'"],
    [['call', 'dashboard', 'x'], 'There is no service dashboard.'],
    [['call', 'memory', 'x', 'not json'], 'The arguments must be a JSON object'],
    [['connect', 'netscape'], 'There is no netscape.'],
    [['connect'], 'Name a client'],
    [['token', 'create', 'x', '--allow', 'memory:fly'], '"memory:fly" is not a grant.'],
    [['token', 'create', 'x'], "required option '--allow <scope>' not specified"],
    [['logs', 'nobody'], 'There is no "nobody".'],
  ])('%j', async (args, complaint) => {
    using here = await place();
    mkdirSync(here.dataRoot);

    const { code, stderr } = run(args, here.settings);

    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(complaint) });
  });

  test.each([
    [['call', 'memory'], 69, 'memory does not answer on'],
    [['token', 'list'], 0, ''],
    [['audit', 'verify'], 78, 'There are no audit records in'],
    [['logs'], 78, 'There are no logs in'],
    [['status'], 1, ''],
    [['validate'], 1, ''],
  ])('%j without a running fleet', async (args, code, complaint) => {
    using here = await place();
    mkdirSync(here.dataRoot);

    const ended = run(args, { ...here.settings, FLOTILLA_TOKEN: 'flt_none' });

    expect({ code: ended.code, stderr: ended.stderr }).toEqual({
      code,
      stderr: expect.stringContaining(complaint),
    });
  });
});

describe('a fleet goes on', () => {
  test('where tokens were made before its first start, with a hint in place of the link', async () => {
    using here = await place();
    const created = run(['token', 'create', 'mine', '--allow', '*'], here.settings);

    await using fleet = new RunningFleet(['--only', 'health,dashboard'], here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);

    expect(fleet.output).toMatch(/Dashboard .*\(to sign in: \S*flotilla dashboard\)/);
    expect(fleet.output).not.toContain(created.stdout.trim());
    expect(await fleet.interrupt()).toBe(0);
    expect(processesOf(here.dataRoot)).toEqual([]);
  });

  test('when the first token is revoked, and no longer shows its link', async () => {
    using here = await place();
    await using fleet = new RunningFleet(['--only', 'health,dashboard'], here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    const first = here.token();

    run(['token', 'revoke', 'first'], here.settings);
    const status = run(['status'], here.settings);
    const doctor = run(['doctor'], here.settings);

    expect(status.stdout).not.toContain(first);
    expect(run(['dashboard'], here.settings)).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/answers 401: .*revoked.* Make one that may: \S*flotilla token create/),
    });
    expect(doctor.stdout).toMatch(/token: revoked or expired\n\s+Make another one/);
  });

  test('when its logs cannot be written, and says so', async () => {
    using here = await place();
    mkdirSync(join(here.dataRoot, 'logs'), { recursive: true });
    symlinkSync('/dev/full', join(here.dataRoot, 'logs', 'health.log'));

    await using fleet = new RunningFleet(['--only', 'health,dashboard'], here.settings);
    await fleet.said(/! health\s+its log cannot be written: ENOSPC/);
    await fleet.said(/2 of 2 ready/);

    expect(run(['validate'], here.settings)).toMatchObject({ code: 0, stdout: '✓ health\n✓ dashboard\n' });
  });

  test('when a name is given twice', async () => {
    using here = await place();

    await using fleet = new RunningFleet(['--only', 'health,health'], here.settings);

    expect(await fleet.said(/1 of 1 ready/)).toBeTruthy();
  });
});

test('Ctrl-C in a terminal, which reaches the whole process group, stops a start in the middle without a word of falls', async () => {
  using here = await place();
  await using fleet = new RunningFleet([], here.settings, { ownGroup: true });
  await fleet.said(/Flotilla/);

  process.kill(-fleet.pid, 'SIGINT');

  expect(await fleet.ended()).toBe(0);
  expect(fleet.output).toContain('Stopped');
  expect(fleet.output).not.toMatch(/starting again|ended with/);
  expect(processesOf(here.dataRoot)).toEqual([]);
});

test('logs show lines that are none where they belong, and a line that a kill cut off', async () => {
  using here = await place();
  mkdirSync(join(here.dataRoot, 'logs'), { recursive: true });
  const line = (second: number, event: string) =>
    JSON.stringify({ time: `2026-11-20T12:00:0${second}.000Z`, level: 'info', service: 'x', event });
  writeFileSync(
    join(here.dataRoot, 'logs', 'memory.log'),
    `${line(1, 'one')}\n    at a stack\n${line(3, 'three')}\n{"time":"20\n`,
  );
  writeFileSync(join(here.dataRoot, 'logs', 'health.log'), `${line(2, 'two')}\n`);

  const { code, stdout } = run(['logs'], here.settings);

  expect(code).toBe(0);
  expect(stdout.split('\n').map((text) => text.split(' ').at(-1))).toEqual([
    'one',
    'stack',
    'two',
    'three',
    '{"time":"20',
    '',
  ]);
});

test('logs are searched in the store of logging, and shown from files where it does not run', async () => {
  using here = await place();
  const searched = ['logs', 'memory', '--search', 'listening', '--since', '1h ago'];
  {
    await using fleet = new RunningFleet(['--only', 'memory,logging'], here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    await vi.waitFor(() => {
      expect(run(searched, here.settings)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^\S+Z info {2}memory {5}listening port=/) as string,
      });
    });
    expect(run(['logs', 'memory', '--search', 'nothing-of-this'], here.settings)).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'No line fits.\n',
    });
    expect(run(['logs', '--since', 'the day after'], here.settings)).toMatchObject({
      code: 69,
      stderr: expect.stringContaining('since: must be a time') as string,
    });
    expect(run([...searched, '--follow'], here.settings)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('leave out --since') as string,
    });
  }
  expect(run(['logs', 'memory'], here.settings).stdout).toContain('listening port=');
  expect(run(searched, here.settings)).toMatchObject({
    code: 69,
    stderr: expect.stringContaining('logging does not answer') as string,
  });
});

test('settings are read from .env, and the environment wins', async () => {
  using here = await place();
  writeFileSync(join(here.dataRoot, '..', '.env'), 'FLOTILLA_LOG_LEVEL=loud\n');

  expect(run(['start'], here.settings)).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('FLOTILLA_LOG_LEVEL'),
  });
  expect(run(['status'], { ...here.settings, FLOTILLA_LOG_LEVEL: 'info' }).code).toBe(1);
});

test('a narrow token sees and does only what its scope allows, and is dead within a second of its end', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);

  const created = run(
    ['token', 'create', 'reader', '--allow', 'memory:read', '--expires', '1d'],
    here.settings,
  );
  const reader = { ...here.settings, FLOTILLA_TOKEN: created.stdout.trim() };
  await vi.waitFor(() => expect(run(['call', 'memory', 'read_graph'], reader).code).toBe(0), {
    timeout: 90_000,
  });
  const refused = run(['call', 'memory', 'add_memory', '{"text":"x"}'], reader);
  const listed = run(['token', 'list'], here.settings);

  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('The token "reader" may not use add_memory.'),
  });
  expect(run(['call', 'memory'], reader).stdout).not.toContain('add_memory');
  expect(listed.stdout).toMatch(/reader\s+memory:read/);
  expect(listed.stdout).not.toContain(reader.FLOTILLA_TOKEN);

  expect(run(['token', 'revoke', 'reader'], here.settings).code).toBe(0);
  const again = async () => modernClient({ url: here.url, token: reader.FLOTILLA_TOKEN });
  await vi.waitFor(async () => expect(again()).rejects.toThrow(/401/), { timeout: 5_000 });
});

test('logs show what was called, as lines for people and as JSON, and never a secret', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  run(['call', 'memory', 'add_memory', '{"text":"plover-seventeen"}'], here.settings);

  const people = run(['logs', 'memory'], here.settings);
  const json = run(['logs', '--json', '-n', '1000'], here.settings);
  const warnings = run(['logs', '--level', 'warn'], here.settings);

  expect(people.stdout).toMatch(
    /info\s+memory\s+call method=tools\/call target=add_memory caller=first outcome=ok/,
  );
  expect(json.stdout).not.toContain('plover-seventeen');
  expect(json.stdout).not.toContain(here.token());
  // A busy machine holds up a loop.
  expect(warnings.stdout.replaceAll(/^.* loop_held .*\n/gm, '')).toBe('');
});
