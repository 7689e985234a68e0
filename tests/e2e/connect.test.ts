/** What `flotilla connect` prints and writes, used as a person and a client use it, on a real fleet. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport, type StdioServerParameters } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { freePortOffset } from '../../scripts/ports.ts';
import { run, RunningFleet, type Settings } from '../support/fleet.ts';
import { temporaryFolder } from '../support/serve.ts';

interface Place extends Disposable {
  readonly home: string;
  readonly settings: Settings;
}

async function place(): Promise<Place> {
  const folder = temporaryFolder();
  const home = join(folder.path, "it's a home");
  mkdirSync(join(home, 'fleet'), { recursive: true });
  const offset = await freePortOffset();
  return {
    home,
    settings: { HOME: home, FLOTILLA_DATA: join(home, 'fleet/data'), FLOTILLA_PORT_OFFSET: String(offset) },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

async function overStdio(server: StdioServerParameters): Promise<Client & AsyncDisposable> {
  const client = new Client({ name: 'test', version: '1' });
  await client.connect(new StdioClientTransport({ ...server, stderr: 'pipe' }));
  return Object.assign(client, { [Symbol.asyncDispose]: async () => client.close() });
}

test('what Claude Code gets can be pasted into a shell, once and again, and keeps the secret out of its arguments', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  const bin = join(here.home, 'bin');
  mkdirSync(bin);
  writeFileSync(
    join(bin, 'claude'),
    `#!/bin/sh\nprintf '%s|' "$@" >> '${here.home.replace("'", `'\\''`)}/called'; echo >> /dev/null; [ "$2" != remove ]\n`,
  );
  chmodSync(join(bin, 'claude'), 0o755);

  const { stdout } = run(['connect', 'claude-code'], here.settings);
  const pasted = spawnSync('bash', ['-e', '-c', `set +e\n${stdout}${stdout}\necho "token=$FLOTILLA_TOKEN"`], {
    env: { PATH: `${bin}:/usr/bin:/bin` },
    encoding: 'utf8',
  });

  const token = readFileSync(join(here.home, 'fleet/data/token'), 'utf8').trim();
  const called = readFileSync(join(here.home, 'called'), 'utf8');
  expect(pasted.stdout).toContain(`token=${token}`);
  expect(called.match(/mcp\|add\|/g)).toHaveLength(2);
  expect(called).toContain('|Authorization: Bearer ${FLOTILLA_TOKEN}|');
  expect(called).not.toContain(token);
  expect(called).not.toContain('flotilla-git');
});

test('from a folder without a fleet there is a clear error, and no configuration with an empty token', async () => {
  using here = await place();

  const { code, stdout, stderr } = run(['connect', 'cursor'], here.settings);

  expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
  expect(stderr).toContain('There is no token in');
});

describe('connect --write', () => {
  let here: Place;
  let fleet: RunningFleet;

  beforeAll(async () => {
    here = await place();
    fleet = new RunningFleet(['--only', 'memory,gateway'], here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
  });
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
    here[Symbol.dispose]();
  });

  const asked = (text: string) => JSON.parse(text) as Record<string, Record<string, unknown>>;

  test('merges into what is there, keeps a copy, makes a token for the client alone, and tries it', async () => {
    const file = join(here.home, '.cursor/mcp.json');
    mkdirSync(join(here.home, '.cursor'));
    const before =
      '{\n  // mine\n  "mcpServers": {\n    "other": { "url": "http://x" },\n    "flotilla-gone": { "url": "http://y" },\n  },\n  "theme": "dark"\n}\n';
    writeFileSync(file, before);

    const trial = run(['connect', 'cursor', 'memory', '--write', '--dry-run'], here.settings);
    expect(trial.stdout).toMatch(/^\+ .*"flotilla-memory"/m);
    expect(trial.stdout).toMatch(/^- .*"flotilla-gone"/m);
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(run(['token', 'list'], here.settings).stdout).not.toContain('client-cursor');

    const first = run(['connect', 'cursor', 'memory', '--write'], here.settings);
    const after = readFileSync(file, 'utf8');
    const second = run(['connect', 'cursor', 'memory', '--write'], here.settings);

    expect(first, first.stderr).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 servers answer'),
    });
    expect(after).toContain('// mine');
    expect(after).toContain('"theme": "dark"');
    expect(after).toMatch(/"other": \{\s*"url": "http:\/\/x"\s*\}/);
    expect(after).not.toContain('flotilla-gone');
    expect(after).toContain('"Authorization": "Bearer ${env:CURSOR_FLOTILLA_TOKEN}"');
    const copies = readdirSync(join(here.home, '.cursor')).filter((name) =>
      name.startsWith('mcp.json.before'),
    );
    expect(copies.map((name) => readFileSync(join(here.home, '.cursor', name), 'utf8'))).toEqual([before]);
    const secret = join(here.home, '.config/flotilla/clients/cursor');
    expect(statSync(secret).mode & 0o777).toBe(0o600);
    expect(after).not.toContain(readFileSync(secret, 'utf8').trim());
    expect(run(['token', 'list'], here.settings).stdout).toMatch(/client-cursor\s+memory\s/);
    expect(second.stdout).toContain('has them already');
    expect(readFileSync(file, 'utf8')).toBe(after);

    const goingTrial = run(['connect', 'cursor', '--remove', '--dry-run'], here.settings);
    expect(goingTrial.stdout).toMatch(/^- .*"flotilla-memory"/m);
    expect(readFileSync(file, 'utf8')).toBe(after);
    const gone = run(['connect', 'cursor', '--remove'], here.settings);
    expect(gone, gone.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('revoked') });
    expect(readFileSync(file, 'utf8')).toBe(
      before.replace('    "flotilla-gone": { "url": "http://y" },\n', ''),
    );
    expect(existsSync(secret)).toBe(false);
    expect(run(['token', 'list'], here.settings).stdout).not.toContain('client-cursor');
    expect(run(['connect', 'cursor', '--remove'], here.settings).stdout).toContain(
      'has nothing of the fleet',
    );
  });

  test('lets a client that starts its servers itself start the bridge to the gateway, from wherever, without a secret in its settings', async () => {
    const file = join(here.home, '.config/Claude/claude_desktop_config.json');

    expect(
      run(['connect', 'claude-desktop', '--tools', 'search,create_entities', '--write'], here.settings).code,
    ).toBe(0);

    const text = readFileSync(file, 'utf8');
    const entry = asked(text)['mcpServers']?.['flotilla'] as {
      command: string;
      args: string[];
      env: Record<string, string>;
    };
    await using client = await overStdio({ ...entry, cwd: '/' });
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(['find_tools', 'call_tool', 'create_entities']);
    const found = await client.callTool({
      name: 'find_tools',
      arguments: { question: 'remember a preference' },
    });
    expect(JSON.stringify(found.structuredContent)).toContain('"add_memory"');
    expect(text).not.toContain(
      readFileSync(join(here.home, '.config/flotilla/clients/claude-desktop'), 'utf8').trim(),
    );
    expect(run(['connect', 'claude-desktop', '--remove'], here.settings).code).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  test('changes its own tables of TOML, and no others', async () => {
    const file = join(here.home, 'config.toml');
    writeFileSync(
      file,
      'model = "x"\n\n[mcp_servers.flotilla-git]\nurl = "old"\n\n[mcp_servers.other]\ncommand = "y"\n',
    );

    for (let time = 0; time < 2; time++) {
      expect(run(['connect', 'codex', 'memory', '--write', '--file', file], here.settings).code).toBe(0);
    }

    const port = 4321 + Number(here.settings['FLOTILLA_PORT_OFFSET']);
    expect(readFileSync(file, 'utf8')).toBe(
      `model = "x"\n\n[mcp_servers.other]\ncommand = "y"\n\n[mcp_servers.flotilla-memory]\nurl = "http://127.0.0.1:${port}/mcp"\nbearer_token_env_var = "CODEX_FLOTILLA_TOKEN"\n`,
    );
  });

  test('puts the token into the file of a client that expands no variables, for its owner alone', async () => {
    const printed = run(['connect', 'zed'], here.settings);
    expect(printed.stderr).toContain('# Put the token in place of FLOTILLA_TOKEN: cat ');
    expect(printed.stderr).not.toContain('export');
    expect(run(['connect', 'zed', 'memory', '--write'], here.settings).code).toBe(0);

    const file = join(here.home, '.config/zed/settings.json');
    const secret = readFileSync(join(here.home, '.config/flotilla/clients/zed'), 'utf8').trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(asked(readFileSync(file, 'utf8'))['context_servers']?.['flotilla-memory']).toMatchObject({
      headers: { Authorization: `Bearer ${secret}` },
    });
  });

  test('writes nothing over what it cannot read, nor while no server answers', async () => {
    using here = await place();
    mkdirSync(join(here.home, '.cursor'));
    const file = join(here.home, '.cursor/mcp.json');
    writeFileSync(file, '{ "mcpServers": [');
    const unreadable = run(['connect', 'cursor', '--write'], here.settings);
    writeFileSync(file, '{}');
    run(['token', 'create', 'mine', '--allow', '*'], here.settings);

    const silent = run(['connect', 'cursor', '--write'], here.settings);

    expect(unreadable).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('is no JSON that can be merged'),
    });
    expect(silent).toMatchObject({ code: 69, stderr: expect.stringContaining('does not answer') });
    expect(readFileSync(file, 'utf8')).toBe('{}');
  });
});
