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
    const text = client.paste?.(servers, 'FLOTILLA_TOKEN') ?? client.print(servers, 'FLOTILLA_TOKEN');
    await expect(`${text}\n`).toMatchFileSnapshot(`./connect.golden/${name}.txt`);
  },
);

test('a port offset moves every URL, and what was not started has none', () => {
  const [memory, next] = serversOf(parseHostSettings({ FLOTILLA_PORT_OFFSET: '1000' }), [
    'sequential-thinking',
  ]);

  expect(memory).toEqual({ name: 'flotilla-memory', url: 'http://127.0.0.1:5321/mcp' });
  expect(next?.name).toBe('flotilla-context');
});
