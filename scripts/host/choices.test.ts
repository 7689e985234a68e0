import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { catalogue } from '#config/catalogue.ts';
import { ConfigError, UsageError } from '#runtime/errors.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { parseChoices, readChoices, type InstallOptions } from './choices.ts';
import { processesOf } from './deployment.ts';

const nothing: InstallOptions = { root: [], egress: [], allowAddress: [] };

test('Nothing is widened unless it is asked for', () => {
  expect(parseChoices(nothing)).toEqual({ user: null, roots: [], egress: [], addresses: {} });
});

test('What is asked for is kept, each once', () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, 'below'));

  const choices = parseChoices({
    user: 'nobody',
    root: [folder.path, join(folder.path, 'below')],
    egress: ['memory', 'memory'],
    allowAddress: ['memory=10.0.0.0/8', 'memory=fd00::1'],
  });

  expect(choices).toEqual({
    user: 'nobody',
    roots: [folder.path],
    egress: ['memory'],
    addresses: { memory: ['10.0.0.0/8', 'fd00::1'] },
  });
});

test('Agents are installed where somebody asks for them, and stay so', () => {
  const chosen = parseChoices({ ...nothing, agents: true });

  expect(chosen.agents).toBe(true);
  expect(parseChoices(nothing, chosen).agents).toBe(true);
  expect(processesOf(chosen).filter(({ tier }) => tier === 'agent')).toHaveLength(7);
  expect(processesOf(parseChoices(nothing))).toHaveLength(catalogue.length);
});

test('What an earlier install was told stays, unless the same option is given again', () => {
  using folder = temporaryFolder();
  const earlier = {
    user: 'alice',
    roots: ['/srv/projects'],
    egress: ['git'],
    addresses: { memory: ['10.0.0.1'] },
  };

  expect(parseChoices(nothing, earlier)).toEqual(earlier);
  expect(parseChoices({ ...nothing, egress: ['health'] }, earlier)).toEqual({
    ...earlier,
    egress: ['health'],
  });
  expect(parseChoices({ ...nothing, allowAddress: ['git=10.0.0.2'] }, earlier)).toEqual({
    ...earlier,
    addresses: { git: ['10.0.0.2'] },
  });
  expect(parseChoices({ ...nothing, user: 'nobody', root: [folder.path] }, earlier)).toEqual({
    ...earlier,
    user: 'nobody',
    roots: [folder.path],
  });
});

describe('is refused, and named:', () => {
  test.each<[string, Partial<InstallOptions>, RegExp]>([
    ['a user without roots', { user: 'nobody' }, /--user and --root belong together/],
    ['roots without a user', { root: ['/srv'] }, /--user and --root belong together/],
    ['root as the user', { user: 'root', root: ['/srv'] }, /not root/],
    ['a user that is none', { user: 'no-such-user', root: ['/srv'] }, /no such user/],
    ['an option in the place of a user', { user: '--help', root: ['/srv'] }, /no such user/],
    ['a colon in a root', { user: 'nobody', root: ['/srv:/etc'] }, /colon/],
    ['a line end in a root', { user: 'nobody', root: ['/srv\nUser=root'] }, /colon|cannot be part/],
    ['a process that is none', { egress: ['nonsense'] }, /There is no "nonsense"/],
    ['an address of nobody', { allowAddress: ['10.0.0.1'] }, /There is no "10.0.0.1"/],
    ['a name as an address', { allowAddress: ['memory=example.org'] }, /NAME=ADDRESS/],
    ['too many bits', { allowAddress: ['memory=10.0.0.0/33'] }, /NAME=ADDRESS/],
    ['a line of a unit as an address', { allowAddress: ['memory=10.0.0.1\nUser=root'] }, /NAME=ADDRESS/],
  ])('%s', (_what, given, complaint) => {
    const attempt = () => parseChoices({ ...nothing, ...given });

    expect(attempt).toThrow(UsageError);
    expect(attempt).toThrow(complaint);
  });

  test.each(['/no/such/folder', '/', '/etc', '/var/lib', '/opt'])('the root %s', (root) => {
    const attempt = () => parseChoices({ ...nothing, user: 'nobody', root: [root] });

    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(/Name another|name another/);
  });
});

test('A host without an install has no choices, and a file that is none of ours is told', () => {
  using folder = temporaryFolder();

  expect(readChoices(folder.path)).toBeUndefined();
});
