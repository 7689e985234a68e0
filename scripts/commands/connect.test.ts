import { expect, test } from 'vitest';

import { parseHostSettings } from '#runtime/process/settings.ts';

import { clients, type Access } from '../clients.ts';
import { scopeFor, serversOf, type Server } from '../front-door.ts';

const services: readonly Server[] = [
  { name: 'flotilla-memory', service: 'memory', url: 'http://127.0.0.1:4321/mcp' },
  { name: 'flotilla-git', service: 'git', url: 'http://127.0.0.1:4332/mcp' },
];
const gateway: readonly Server[] = [
  { name: 'flotilla', service: undefined, url: 'http://127.0.0.1:8000/mcp' },
];
const access: Access = {
  token: 'FLOTILLA_TOKEN',
  bridge: { command: '/opt/flotilla/scripts/flotilla', env: { FLOTILLA_DATA: '/var/lib/flotilla' } },
};
const written: Access = {
  ...access,
  bridge: { ...access.bridge, tokenFile: '/home/ada/.config/flotilla/clients/x' },
};

test.each(Object.entries(clients))(
  'what %s gets is what its documentation asks for',
  async (name, { print, paste = print }) => {
    const golden = (what: string) => `./connect.golden/${name}${what}.txt`;
    await expect(`${paste(services, access)}\n`).toMatchFileSnapshot(golden(''));
    await expect(`${paste(gateway, access)}\n`).toMatchFileSnapshot(golden('.gateway'));
  },
);

test.each(Object.entries(clients).filter(([, { token }]) => token === 'file'))(
  'what is written for %s names the file of the token',
  async (name, { print }) => {
    await expect(`${print(gateway, written)}\n`).toMatchFileSnapshot(
      `./connect.golden/${name}.gateway-written.txt`,
    );
  },
);

test('a port offset moves every URL, and what was not started has none', () => {
  const [memory, next] = serversOf(
    parseHostSettings({ FLOTILLA_PORT_OFFSET: '1000' }),
    ['sequential-thinking'],
    ['all'],
  );

  expect(memory).toEqual({ name: 'flotilla-memory', service: 'memory', url: 'http://127.0.0.1:5321/mcp' });
  expect(next?.name).toBe('flotilla-context');
});

test('a choice of tools goes into the URL, and to the bridge', () => {
  const [chosen] = serversOf(parseHostSettings({}), [], ['memory'], 'core, memory:core');
  const text = clients['claude-desktop']?.print([{ ...gateway[0], tools: 'search' } as Server], written);

  expect(chosen?.url).toBe('http://127.0.0.1:4321/mcp?tools=core,memory:core');
  expect(
    (JSON.parse(text ?? '') as { mcpServers: { flotilla: { args: string[] } } }).mcpServers.flotilla.args,
  ).toEqual(['stdio', '--tools', 'search', '--token-file', written.bridge.tokenFile]);
  expect(() => serversOf(parseHostSettings({}), [], [], 'all of it')).toThrow('names no tools');
});

test('services that are named are those that a client and its token get, each once', () => {
  const chosen = serversOf(parseHostSettings({}), [], ['git', 'memory', 'git']);

  expect(chosen.map(({ name }) => name)).toEqual(['flotilla-git', 'flotilla-memory']);
  expect(scopeFor(chosen)).toEqual(['git', 'memory']);
  expect(scopeFor(gateway)).toEqual(expect.arrayContaining(['memory', 'git', 'system-info']));
  expect(() => serversOf(parseHostSettings({}), [], ['memroy'])).toThrow('Did you mean memory?');
});
