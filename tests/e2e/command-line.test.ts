/** The command line around a fleet: in the background, stopped, restarted, hung, under npm, and looked at. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import type { AnyService } from '#runtime/service.ts';

import { isolatedEnvironment } from '../../scripts/environment.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { fleetOn } from '../../scripts/running-fleet.ts';
import { processesOf, run, RunningFleet, type Settings } from '../support/fleet.ts';
import { loadService } from '../../scripts/load.ts';
import { serve, temporaryFolder } from '../support/serve.ts';

const home = fileURLToPath(new URL('../../', import.meta.url));

async function place(): Promise<Disposable & { readonly settings: Settings; readonly dataRoot: string }> {
  const folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const settings = { FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(await freePortOffset()) };
  return { settings, dataRoot, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

const goneBy = { timeout: 90_000, interval: 50 };

test('a fleet in the background is there when the command comes back, says its pid to a second start, and is stopped', async () => {
  using here = await place();

  const start = run(['start', '--only', 'memory', '--detach'], here.settings);
  const fleet = fleetOn(here.dataRoot);
  const second = run(['start', '--only', 'memory'], here.settings);
  const called = run(
    ['call', 'memory', 'add_memory', '--text', 'Tea is hot.', '--tags', 'a', '--tags', 'b'],
    here.settings,
  );
  const stop = run(['stop'], here.settings);

  expect(start).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/1 of 1 ready[^]*Stop .*flotilla stop/),
  });
  expect(second).toMatchObject({ code: 69, stderr: expect.stringContaining(`already (pid ${fleet?.pid})`) });
  expect(called).toMatchObject({ code: 0, stdout: expect.stringContaining('"ids"') });
  expect(stop).toMatchObject({ code: 0, stdout: 'Stopped.\n' });
  expect(processesOf(here.dataRoot)).toEqual([]);
  expect(run(['stop'], here.settings).stdout).toMatch(/^No fleet works on/);
});

test('a fleet in the background that cannot start says so, with the code of the one in the foreground', async () => {
  using here = await place();

  const start = run(['start', '--detach'], { ...here.settings, FLOTILLA_ROOTS: '/nowhere' });

  expect(start).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('No root is a folder: /nowhere.'),
  });
});

test.each([
  ['SIGINT', 1, /^flotilla: Interrupted before the fleet was ready/m],
  ['SIGKILL', null, /^/],
] as const)(
  'a start in the background that gets %s before it is ready leaves nothing behind',
  async (signal, code, words) => {
    using here = await place();
    await using start = new RunningFleet(['--detach', '--only', 'memory,health'], here.settings);
    await vi.waitFor(() => expect(fleetOn(here.dataRoot)?.processes['memory']).toBeTypeOf('number'), goneBy);

    process.kill(start.pid, signal);

    expect(await start.ended()).toBe(code);
    expect(start.output).toMatch(words);
    await vi.waitFor(() => expect(processesOf(here.dataRoot)).toEqual([]), goneBy);
    expect(existsSync(join(here.dataRoot, 'fleet.json'))).toBe(false);
    expect(readFileSync(join(here.dataRoot, 'logs/fleet.log'), 'utf8')).toMatch(/Stopped\n$/);
  },
);

test('a fleet in the background tells why it does not start where its log has no room, and none of the words of others', async () => {
  using here = await place();
  mkdirSync(join(here.dataRoot, 'logs'), { recursive: true });
  mkdirSync(join(here.dataRoot, 'token'));
  const log = join(here.dataRoot, 'logs/fleet.log');
  writeFileSync(log, 'words of another fleet\n');

  const withRoom = run(['start', '--detach', '--only', 'memory'], here.settings);
  const kept = readFileSync(log, 'utf8');
  rmSync(log);
  symlinkSync('/dev/full', log);
  const without = run(['start', '--detach', '--only', 'memory'], here.settings);

  expect(withRoom).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^flotilla: EISDIR.*\n$/),
  });
  expect(without).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^flotilla: EISDIR.*\n$/),
  });
  expect(kept).toBe(`words of another fleet\n${withRoom.stderr}`);
});

test('a fleet in the background of which a part cannot work says which and why, and exits with the code of that', async () => {
  using here = await place();
  mkdirSync(join(here.dataRoot, 'memory'), { recursive: true });
  writeFileSync(join(here.dataRoot, 'memory/memory.db'), 'garbage');

  const start = run(['start', '--detach', '--only', 'memory,health'], here.settings);
  run(['stop'], here.settings);

  expect(start).toMatchObject({
    code: 65,
    stdout: expect.stringMatching(/✗ memory +\S+memory\.db is damaged/),
    stderr: expect.stringMatching(/^flotilla: Not everything is ready/),
  });
});

test('a fleet whose terminal is gone works on, and stops cleanly when it is told', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Flotilla/);
  fleet.readNoMore();
  await vi.waitFor(() => expect(run(['status'], here.settings).code).toBe(0), goneBy);

  process.kill(fleet.pid, 'SIGHUP');

  expect(await fleet.ended()).toBe(0);
  expect(processesOf(here.dataRoot)).toEqual([]);
  expect(existsSync(join(here.dataRoot, 'fleet.json'))).toBe(false);
});

test('a start in the background goes on where nobody reads what it says', async () => {
  using here = await place();
  await using start = new RunningFleet(['--detach', '--only', 'memory,health'], here.settings);
  await start.said(/✓ memory/);
  start.readNoMore();

  expect(await start.ended()).toBe(0);
  const { code } = run(['validate'], here.settings);
  run(['stop'], here.settings);
  expect(code).toBe(0);
});

test('a command whose words cannot be written says so in a line', async () => {
  using here = await place();
  const full = openSync('/dev/full', 'w');
  const script = join(home, 'scripts/flotilla');
  const env = isolatedEnvironment(here.settings);

  const { status, stderr } = spawnSync(script, ['status'], {
    env,
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  const mute = spawnSync(script, ['frobnicate'], { env, stdio: ['ignore', full, full] });

  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringMatching(/^flotilla: What this command has to say cannot be written: ENOSPC.*\n$/),
  });
  expect(mute.status).toBe(2);
});

test('what this user may not reach is not told as missing, but with whose it is', async () => {
  using here = await place();
  const backups = `${here.dataRoot}-backups`;
  for (const folder of [here.dataRoot, backups]) mkdirSync(folder);
  writeFileSync(join(here.dataRoot, 'token'), 'flt_secret');
  chmodSync(dirname(here.dataRoot), 0o755);
  // Root may look everywhere: others ask for it.
  const isRoot = process.getuid?.() === 0;
  for (const folder of [here.dataRoot, backups]) chmodSync(folder, isRoot ? 0o700 : 0);
  // Where the stranger may keep what is compiled: each of many commands would compile all of it again.
  const compiled = join(dirname(here.dataRoot), 'compiled');
  mkdirSync(compiled);
  chmodSync(compiled, 0o777);
  const asStranger = (...args: string[]) =>
    run(args, { ...here.settings, NODE_COMPILE_CACHE: compiled }, '', isRoot ? 65_534 : undefined);

  const said = [
    ['stop'],
    ['restart', 'memory'],
    ['audit', 'verify'],
    ['logs'],
    ['token', 'list'],
    ['token', 'create', 'x', '--allow', '*'],
    ['restore', '--dry-run'],
    ['verify', 'x'],
    ['dashboard'],
  ].map((args) => ({ args, ...asStranger(...args) }));
  const doctor = asStranger('doctor');
  for (const folder of [here.dataRoot, backups]) chmodSync(folder, 0o700);

  const owner = isRoot ? 'which belongs to root: run this as root' : 'though it is the owner';
  for (const { args, code, stdout, stderr } of said) {
    const denial = expect.stringMatching(
      new RegExp(`^flotilla: This user \\(\\S+\\) may not use ${here.dataRoot}\\S*, ${owner}.*\\n$`),
    );
    expect({ args, code, stdout, stderr }).toEqual({ args, code: 78, stdout: '', stderr: denial });
  }
  expect(doctor).toMatchObject({ code: 1, stderr: '' });
  expect(doctor.stdout).toMatch(/✗ data folder: This user .* may not use [^]*npm/);
  expect(doctor.stdout).not.toMatch(/port of memory/);
});

test.each([['start'], ['stop'], ['logs']])(
  'a file as the data folder is refused by "%s"',
  async (command) => {
    using here = await place();
    writeFileSync(here.dataRoot, '');

    expect(run([command], here.settings)).toMatchObject({
      code: 78,
      stderr: expect.stringContaining(`flotilla: ${here.dataRoot} is no folder: `),
    });
  },
);

test('every word for a tier that is shown is one that start takes', () => {
  const nowhere = { FLOTILLA_DATA: '/nowhere/at/all' };

  expect(run(['start', '--tier', 'platform'], nowhere)).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('The folder /nowhere/at does not exist'),
  });
});

test('what cannot be done is refused before anything is done or said', async () => {
  using here = await place();
  const noConversations = join(dirname(here.dataRoot), 'some.json');
  writeFileSync(noConversations, '{}');
  const stranger = process.getuid?.() === 0 ? 65_534 : undefined;

  const install = run(['install'], {}, '', stranger);
  const bench = ['/nope', noConversations].map((file) => run(['bench', 'ladder', '--data', file], {}));

  expect(install).toMatchObject({ code: 78, stdout: '', stderr: expect.stringContaining('This needs root') });
  expect(bench).toEqual([
    { code: 2, stdout: '', stderr: 'flotilla: --data /nope: there is no such file.\n' },
    { code: 2, stdout: '', stderr: expect.stringContaining('no conversations in the format of LoCoMo.') },
  ]);
});

test('one process is restarted, the others are not', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory,health'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  const before = fleetOn(here.dataRoot)?.processes;

  const restart = run(['restart', 'memory'], here.settings);

  const after = fleetOn(here.dataRoot)?.processes;
  expect(restart).toMatchObject({ code: 0, stdout: '✓ memory\n' });
  expect(after?.['memory']).not.toBe(before?.['memory']);
  expect(after?.['health']).toBe(before?.['health']);
  await fleet.said(/memory\s+stopped, as it was asked to; starting again/);
  expect(run(['restart', 'git'], here.settings)).toMatchObject({
    code: 69,
    stderr: expect.stringContaining('git does not run'),
  });
});

test('a process that was given up says why when it is restarted, and comes back when that is mended', async () => {
  using here = await place();
  const folder = join(here.dataRoot, 'memory');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'memory.db'), 'no database');
  await using fleet = new RunningFleet(['--only', 'memory,health'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);

  expect(run(['restart', 'memory'], here.settings)).toMatchObject({
    code: 69,
    stderr: expect.stringMatching(
      /^flotilla: memory does not start: \S*memory\.db is damaged .* start empty\.\n$/,
    ),
  });
  rmSync(join(folder, 'memory.db'));
  expect(run(['restart', 'memory'], here.settings)).toMatchObject({ code: 0, stdout: '✓ memory\n' });
});

test('a process that hangs is ended, started again, and told', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);

  process.kill(fleetOn(here.dataRoot)?.processes['memory'] ?? 0, 'SIGSTOP');

  await fleet.said(/! memory\s+hung: no sign of life for 10 s; starting again[^]*✓ memory/);
  expect(run(['status'], here.settings).code).toBe(0);
});

test('a fleet ends with the npm that started it', async () => {
  using here = await place();
  const start = ['start', '--', '--only', 'memory'];
  const npm = spawn('npm', start, {
    cwd: home,
    env: isolatedEnvironment(here.settings),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(npm, 'exit');
  await vi.waitFor(() => expect(fleetOn(here.dataRoot)?.processes['memory']).toBeTypeOf('number'), goneBy);

  npm.kill('SIGKILL');
  await ended;

  await vi.waitFor(() => expect(processesOf(here.dataRoot)).toEqual([]), goneBy);
});

test('status, validate and doctor speak of what was started', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);

  const status = run(['status'], here.settings);
  const validate = run(['validate'], here.settings);
  const doctor = run(['doctor'], here.settings);

  expect(status).toMatchObject({ code: 0, stdout: expect.stringMatching(/git .*absent/) });
  expect(validate).toMatchObject({ code: 0, stdout: '✓ memory\n' });
  expect(doctor).toMatchObject({ code: 0, stdout: expect.stringContaining('✓ port of memory is its own') });
});

test('doctor names what start would refuse: ports of another fleet, and roots that are not there', async () => {
  using one = await place();
  using other = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], one.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  const settings = { ...one.settings, FLOTILLA_DATA: other.dataRoot };

  expect(run(['start'], settings).stderr).toMatch(/^flotilla: Port \d+ \(memory\) is taken/);
  expect(run(['doctor'], settings)).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/✗ port of memory: Port \d+ \(memory\) is taken/),
  });
  const rootless = { ...other.settings, FLOTILLA_ROOTS: '/nowhere' };
  expect(run(['doctor'], rootless)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('✗ roots of filesystem, git, sqlite: No root is a folder: /nowhere'),
  });
});

test('doctor opens what start opens, and names the folders that are served', async () => {
  using here = await place();
  using root = temporaryFolder();
  using other = temporaryFolder();
  for (const name of ['memory', 'context', 'health'])
    mkdirSync(join(here.dataRoot, name), { recursive: true });
  writeFileSync(join(here.dataRoot, 'memory/memory.db'), 'garbage');
  writeFileSync(join(here.dataRoot, 'context/context.db'), '');
  new DatabaseSync(join(here.dataRoot, 'health/health.db')).exec('CREATE TABLE x (y)');
  const roots = { FLOTILLA_ROOTS: `${root.path}:/nowhere`, FLOTILLA_GIT_ROOTS: other.path };

  const { code, stdout } = run(['doctor'], { ...here.settings, ...roots });
  const rootless = run(['doctor'], here.settings).stdout;

  expect(code).toBe(1);
  expect(stdout).toContain('✓ databases: 1 checked and whole\n');
  expect(stdout).toMatch(/✗ data of memory: \S+memory\.db is damaged .* Restore it/);
  expect(stdout).toMatch(/✗ data of context: \S+context\.db is damaged \(it is empty\)/);
  expect(stdout).toContain(`✓ roots of filesystem, sqlite: ${root.path}\n`);
  expect(stdout).toContain('! roots of filesystem, sqlite: The root /nowhere is no folder, and is left out.');
  expect(stdout).toContain(`✓ roots of git: ${other.path}\n`);
  const workspace = join(dirname(here.dataRoot), 'workspace');
  expect(rootless).toMatch(
    new RegExp(`✓ roots of filesystem, git, sqlite: ${workspace} alone.*\\n +To serve others: .* --root`),
  );
});

test('start --root says which folders the services for files may use', async () => {
  using here = await place();
  using root = temporaryFolder();
  await using fleet = new RunningFleet(['--only', 'filesystem', '--root', root.path], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);

  const written = run(
    ['call', 'filesystem', 'write_file', '--path', join(root.path, 'a'), '--content', 'x'],
    here.settings,
  );

  expect(written.code).toBe(0);
  expect(readFileSync(join(root.path, 'a'), 'utf8')).toBe('x');
  expect(run(['doctor'], here.settings).stdout).toContain('those that the running fleet was started with');
});

test('a tool is explained, and a misspelt one is answered with the one that was meant', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);

  const help = run(['call', 'memory', 'search_memories', '--help'], here.settings);
  const wrong = run(['call', 'memory', 'serch_memories', '{}'], here.settings);
  const flag = run(['call', 'memory', 'search_memories', '--qery', 'x'], here.settings);
  const invalid = run(['call', 'memory', 'search_memories', '{}'], here.settings);
  const read = run(['call', 'memory', 'search_memories', '-'], here.settings, '{"query":"tea"}');

  expect(help).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^search_memories: [^]*--query +string +needed/),
  });
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('Did you mean search_memories?') });
  expect(flag).toMatchObject({ code: 2, stderr: expect.stringContaining('Did you mean query?') });
  expect(invalid).toMatchObject({ code: 1, stderr: expect.stringMatching(/search_memories --help\n$/) });
  expect(read).toMatchObject({ code: 0, stdout: expect.stringContaining('"memories"') });
});

test('status shows what is kept, and whose quota is fullest', async () => {
  const offset = await freePortOffset();
  const kept = {
    quota: { items: 10, bytes: 4 << 20 },
    holdings: [{ owner: 'laptop', items: 1, bytes: 3 << 20 }],
  };
  const service: AnyService = { ...(await loadService('memory')), kept: () => kept };
  await using served = await serve(service, {}, 4321 + offset);
  const settings = { FLOTILLA_DATA: served.dataRoot, FLOTILLA_PORT_OFFSET: String(offset) };

  // Not waited for in this process, which has to answer.
  const status = spawn(join(home, 'scripts/flotilla'), ['status'], { env: isolatedEnvironment(settings) });

  expect(await text(status.stdout)).toMatch(/memory .* 3\.0 MiB, laptop 75 % full .*up/);
});
