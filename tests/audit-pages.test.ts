/** A process hands out its records of calls, to whoever may read them. */
import { expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import memory from '../services/memory/service.ts';
import { callTool, send } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';

const ask = async ({ url, token }: Pick<Served, 'url' | 'token'>, query = '') =>
  fetch(`${url}/admin/audit${query}`, { headers: { authorization: `Bearer ${token}` } });

test('the scope audit reads the records of calls and nothing else, and no lesser scope does', async () => {
  await using served = await serve(memory);
  const tokenOf = async (name: string, scope: string[]) => ({
    url: served.url,
    token: await createToken(served.dataRoot, { name, scope, expiresAt: null }),
  });
  const auditor = await tokenOf('auditor', ['audit']);
  for (const other of [await tokenOf('reader', ['*:read', 'memory']), await tokenOf('backup', ['backup'])]) {
    const refused = await ask(other);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toEqual({
      error: expect.stringContaining('lacks the scope audit') as string,
    });
  }
  expect((await fetch(`${served.url}/admin/audit`)).status).toBe(401);
  expect((await send(auditor, 'tools/list')).status).toBe(403);
  expect(
    (
      await fetch(`${served.url}/admin/snapshot`, {
        method: 'POST',
        headers: { authorization: `Bearer ${auditor.token}` },
      })
    ).status,
  ).toBe(403);

  await callTool(served, 'add_memory', { text: 'never in a record' });
  const page = await vi.waitFor(async () => {
    const response = await ask(auditor);
    const text = await response.text();
    expect(text).toContain('"target":"add_memory","outcome":"ok"');
    return {
      text,
      next: response.headers.get('flotilla-audit-next') ?? '',
      chain: response.headers.get('flotilla-audit-chain'),
    };
  });
  expect(page.text).toMatch(
    /"caller":"reader","method":"GET \/admin\/audit","target":null,"outcome":"forbidden"/,
  );
  expect(page.text).not.toContain('never in a record');
  expect(page.chain).toMatch(/^[0-9a-f]{16}$/);

  // Reading leaves no record: it would never come to an end.
  const after = await ask(auditor, `?from=${page.next}`);
  expect([await after.text(), after.headers.get('flotilla-audit-next')]).toEqual(['', page.next]);
  expect((await ask(auditor, '?from=../x')).status).toBe(400);
  expect((await ask(auditor, '?from=1:999999999')).status).toBe(410);
});
