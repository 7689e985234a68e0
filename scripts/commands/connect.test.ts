import { expect, test } from 'vitest';

import { parseHostSettings } from '#runtime/process/settings.ts';

import { clients, serversOf } from './connect.ts';

const servers = [
  { name: 'flotilla-memory', url: 'http://127.0.0.1:4321/mcp' },
  { name: 'flotilla-git', url: 'http://127.0.0.1:4332/mcp' },
];

test.each(Object.entries(clients))(
  'what %s gets is what its documentation asks for',
  async (name, client) => {
    await expect(`${client.print(servers)}\n`).toMatchFileSnapshot(`./connect.golden/${name}.txt`);
  },
);

test('a port offset moves every URL', () => {
  const [memory] = serversOf(parseHostSettings({ FLOTILLA_PORT_OFFSET: '1000' }));

  expect(memory).toEqual({ name: 'flotilla-memory', url: 'http://127.0.0.1:5321/mcp' });
});
