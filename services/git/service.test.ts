import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';
import { toolsOf } from '#runtime/service.ts';
import { listSurface } from '#runtime/wire/mcp-surface.ts';

import { serve } from '../../tests/support/serve.ts';
import { gitEnvironment } from './environment.ts';
import { failure, requireOwnEnd } from './failures.ts';
import { place, repository, use, write } from './repositories.fixture.ts';
import { allowAddresses } from './remotes.ts';
import { runGit } from './run-git.ts';
import service, { allTools, coreTools } from './service.ts';

test('the setting chooses between the official twelve and all tools', () => {
  const chosen = (settings: Readonly<Record<string, string>>) =>
    toolsOf(service, service.settings.parse(settings)).length;

  expect(chosen({ FLOTILLA_GIT_TOOLS: 'core' })).toBe(12);
  expect(coreTools).toHaveLength(12);
  const allowed = { FLOTILLA_GIT_ALLOW_PUSH: 'true', FLOTILLA_GIT_ALLOW_REWRITE: 'true' };
  expect(chosen(allowed)).toBe(allTools.length);
  // git_push and git_rebase are not offered where the operator does not allow what they do.
  expect(chosen({})).toBe(allTools.length - 2);
});

test('what models read of the tools stays within its budget', () => {
  const listed = (settings: Readonly<Record<string, string>>) => {
    const tools = toolsOf(service, service.settings.parse(settings));
    return JSON.stringify(listSurface(service, tools).tools).length;
  };

  // A token is about four and a half characters of it.
  expect(listed({})).toBeLessThan(48_000);
  expect(listed({ FLOTILLA_GIT_TOOLS: 'core' })).toBeLessThan(16_000);
});

test('the service is ready without roots', async () => {
  await using served = await serve(service);

  const { status } = await fetch(`${served.url}/ready`);

  expect(status).toBe(200);
});

test('credentials below a root, and protocols that are none, stop the process at start', async () => {
  using at = place();
  write(at.root, { credentials: '' });
  const starting = (settings: Readonly<Record<string, string>>) => serve(service, settings);

  await expect(
    starting({ FLOTILLA_GIT_ROOTS: at.root, FLOTILLA_GIT_CREDENTIALS: join(at.root, 'credentials') }),
  ).rejects.toThrow(/lies below a root/);
  await expect(starting({ FLOTILLA_GIT_CREDENTIALS: join(at.root, 'nowhere') })).rejects.toThrow(
    /is no file/,
  );
  await expect(starting({ FLOTILLA_GIT_PROTOCOLS: 'https,ext' })).rejects.toThrow(
    /must be some of https, ssh/,
  );
});

test("the operator's credentials reach git where the network is open, and git never writes them", async () => {
  using at = place();
  write(at.outside, { "it's secret": 'https://ada:token@example.invalid\n' });
  const credentials = join(at.outside, "it's secret");
  const policy = { ...at.git.policy, protocols: ['https'] as const, credentials };
  const git = { policy, look: at.git.look };
  const { env, settings, mounts, links, reach } = await allowAddresses(
    git,
    ['https://example.invalid/x'],
    '/',
    testCall(),
  );
  const credential = async (verb: string, input: string) => {
    const signal = AbortSignal.timeout(10_000);
    const all = gitEnvironment(new Map(), env, settings);
    const sight = { mounts: mounts ?? [], links: links ?? new Map<string, string>(), reach };
    const run = { cwd: '/', env: all, signal, takeBytes: 1_000, input, confinement: policy, sight };
    return runGit(['credential', verb], run);
  };

  const known = 'protocol=https\nhost=example.invalid\n';
  const filled = (await credential('fill', `${known}\n`)).output.toString();
  expect(filled).toContain('password=token');
  await credential('reject', filled);
  await credential('approve', `${known}username=eve\npassword=x\n\n`);
  expect(readFileSync(credentials, 'utf8')).toBe('https://ada:token@example.invalid\n');
});

test('what git says becomes an error without passwords, and of a length', () => {
  const said = `fatal: unable to access 'https://ada:token@example.invalid/': no\nhint: x\n${'y'.repeat(5_000)}`;

  const error = failure({ errors: said, output: Buffer.of() });

  expect(error).toMatchObject({ code: 'unavailable' });
  expect(error.message).not.toMatch(/token|hint:/);
  expect(error.message.length).toBeLessThan(1_000);
});

test('without a sandbox nothing runs unless the operator says so, and /ready tells either', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const ready = async (settings: Readonly<Record<string, string>>) => {
    await using served = await serve(service, { FLOTILLA_GIT_ROOTS: at.root, ...settings });
    return (await (await fetch(`${served.url}/ready`)).json()) as Record<string, unknown>;
  };

  expect(await ready({})).toEqual({ name: 'git', ready: true, reasons: [] });
  expect(await ready({ FLOTILLA_GIT_ROOTS: `${at.root}:/nowhere` })).toMatchObject({
    ready: true,
    warnings: [expect.stringContaining('The root /nowhere is no folder') as string],
  });
  expect(await ready({ FLOTILLA_GIT_SANDBOX: 'off' })).toMatchObject({
    ready: true,
    warnings: [expect.stringContaining('FLOTILLA_GIT_SANDBOX is off') as string],
  });
  await expect(ready({ FLOTILLA_GIT_SANDBOX: 'maybe' })).rejects.toThrow(/FLOTILLA_GIT_SANDBOX/);
  // As in a kernel that allows no namespaces, for what bubblewrap says is the same.
  expect(() =>
    requireOwnEnd(1, null, 'bwrap: No permissions to create new namespace, likely because ...\nmore'),
  ).toThrow(/The sandbox of git cannot be made: bwrap: No permissions/);
  expect(await use(at.git, 'git_status', { repo_path: repo })).toMatchObject({ is_clean: true });
});

test('the end of a git by a limit is told as what it is', () => {
  expect(() => requireOwnEnd(128 + 9, null, '')).toThrow(/too much memory/);
  expect(() => requireOwnEnd(null, 'SIGKILL', '')).toThrow(/too much memory/);
  expect(() => requireOwnEnd(128 + 24, null, '')).toThrow(/processor time/);
  expect(() => requireOwnEnd(128, null, 'fatal: no')).not.toThrow();
  expect(() => requireOwnEnd(0, null, '')).not.toThrow();
});
