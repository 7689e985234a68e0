/** Over the wire: whose a task is, scopes, streams, and requests that are too large. */
import { afterAll, beforeAll, expect, test } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import { callTool, codeOf, send } from '../../tests/support/rpc.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import orchestrator from './service.ts';

let served: Served;
beforeAll(async () => {
  served = await serve(orchestrator);
});
afterAll(async () => served[Symbol.asyncDispose]());

/** A token that the process knows already. */
async function tokenWith(name: string, scope: readonly string[]): Promise<string> {
  const token = await createToken(served.dataRoot, { name, scope: [...scope], expiresAt: null });
  await expect
    .poll(
      async () => {
        const response = await send(served, 'tools/list', {}, { token });
        await response.body?.cancel();
        return response.status;
      },
      { timeout: 90_000 },
    )
    .toBe(200);
  return token;
}

const idOf = (answer: Awaited<ReturnType<typeof callTool>>): string =>
  answer.result?.['structuredContent'].tasks[0].task_id;

test('a token of scope * cancels what others made, one that may only do so here does not, and one that reads makes nothing', async () => {
  const tokens = {
    planner: await tokenWith('planner', ['orchestrator']),
    stranger: await tokenWith('stranger', ['orchestrator']),
    reader: await tokenWith('reader', ['orchestrator:read']),
    root: await tokenWith('root', ['*']),
  };
  const as = (token: string) => ({ token });
  const args = { tasks: [{ title: 'x', requires: ['nobody'] }] };
  const made = idOf(await callTool(served, 'create_tasks', args, as(tokens.planner)));

  const refused = await callTool(served, 'cancel_task', { task_id: made }, as(tokens.stranger));
  const readers = await callTool(served, 'create_tasks', args, as(tokens.reader));
  const seen = await callTool(served, 'get_task', { task_id: made }, as(tokens.reader));
  const cancelled = await callTool(served, 'cancel_task', { task_id: made }, as(tokens.root));

  expect(codeOf(refused)).toBe('forbidden');
  expect(codeOf(readers)).toBe('forbidden');
  expect(seen.result?.['structuredContent'].task).toMatchObject({ owner: 'planner', status: 'pending' });
  expect(cancelled.result?.['structuredContent'].task).toMatchObject({ status: 'cancelled' });
});

test('a task of 10 MB is refused in words, and one of 2 MB with how long it may be', async () => {
  const bytes = async (count: number) =>
    send(served, 'tools/call', {
      name: 'create_tasks',
      arguments: { tasks: [{ title: 'x', description: 'x'.repeat(count) }] },
    });

  const huge = await bytes(10_000_000);
  const large = await (await bytes(2_000_000)).text();

  expect(huge.status).toBe(413);
  expect(await huge.text()).toMatch(/6291456|6 MiB|6 MB/);
  expect(large).toContain('a task may have 1048576');
});

test('who listens at /events hears what happens from a place on, and goes on from there after a break', async () => {
  const listen = async (path: string) =>
    fetch(`${served.url}${path}`, { headers: { authorization: `Bearer ${served.token}` } });
  const id = idOf(await callTool(served, 'create_tasks', { tasks: [{ title: 'x', requires: ['nobody'] }] }));
  const response = await listen(`/events?after=0&task_id=${id}`);
  const reader = response.body?.getReader();
  let heard = '';
  const hears = async (text: string) => {
    while (!heard.includes(text)) heard += new TextDecoder().decode((await reader?.read())?.value);
  };
  await hears('event: tasks_created');
  await callTool(served, 'cancel_task', { task_id: id });
  await hears('event: task_cancelled');
  await reader?.cancel();
  const places = [...heard.matchAll(/^id: (\d+)$/gm)].map(([, place]) => Number(place));
  const again = await listen(`/events?after=${places[0]}&task_id=${id}`);
  const first = new TextDecoder().decode((await again.body?.getReader().read())?.value);

  expect(places).toHaveLength(2);
  expect(first).not.toContain('tasks_created');
  expect((await listen('/events?after=x')).status).toBe(400);
  expect((await listen('/events?task_id=t999-abcd')).status).toBe(404);
});
