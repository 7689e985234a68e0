/** Long calls as tasks, beyond what the official suite looks at: who may ask, what a restart leaves, what the client hears. */
import { readFileSync } from 'node:fs';

import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';

import { createToken, firstTokenFile } from '#runtime/access/tokens.ts';
import { startService } from '#runtime/process/run.ts';
import type { AnyService } from '#runtime/service.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { messagesIn } from '../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send } from './support/rpc.ts';
import { serve, temporaryFolder, type Served } from './support/serve.ts';

const capabilities = 'io.modelcontextprotocol/clientCapabilities';
const offering = { meta: { [capabilities]: { extensions: { 'io.modelcontextprotocol/tasks': {} } } } };

interface Work {
  readonly call: Call;
  readonly end: (answer: string) => void;
}

/** A tool whose calls end when the test says so. */
function waitingService(endingMs = 0): { readonly service: AnyService; readonly works: Work[] } {
  const works: Work[] = [];
  const wait = defineTool({
    name: 'wait',
    title: 'wait',
    description: 'Waits.',
    effect: 'write',
    hints: { readOnly: false, destructive: false, idempotent: false, openWorld: false },
    task: 'optional',
    timeoutMs: 60_000,
    endingMs,
    input: z.object({}),
    output: z.object({ answer: z.string() }),
    handler: async (_args, _deps: object, call) =>
      new Promise<{ answer: string }>((resolve) => {
        works.push({ call, end: (answer) => resolve({ answer }) });
      }),
  });
  return { works, service: { name: 'waiting', settings: z.object({}), tools: [wait], open: () => ({}) } };
}

async function beginTask(served: Pick<Served, 'url' | 'token'>): Promise<string> {
  const { result } = await callTool(served, 'wait', {}, offering);
  expect(result).toMatchObject({ resultType: 'task', status: 'working' });
  return result?.['taskId'] as string;
}

const get = async (target: Pick<Served, 'url' | 'token'>, taskId: string) =>
  rpc(target, 'tasks/get', { taskId }, offering);

describe('A call that can run long', () => {
  test('and ends soon is answered directly', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);

    const answer = callTool(served, 'wait', {}, offering);
    await vi.waitFor(() => expect(works.length).toBe(1));
    works[0]?.end('soon');

    expect((await answer).result).toMatchObject({
      resultType: 'complete',
      structuredContent: { answer: 'soon' },
    });
  });

  test('becomes a task, of which its own token hears how far it is, and what came of it', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);
    const token = await createToken(served.dataRoot, { name: 'other', scope: ['*'], expiresAt: null });

    const id = await beginTask(served);
    works[0]?.call.progress(3, 10, 'rows');

    expect((await get(served, id)).result).toMatchObject({
      resultType: 'complete',
      status: 'working',
      statusMessage: '3 of 10: rows',
    });
    works[0]?.end('late');
    await vi.waitFor(async () =>
      expect((await get(served, id)).result).toMatchObject({
        status: 'completed',
        result: { resultType: 'complete', structuredContent: { answer: 'late' } },
      }),
    );
    await vi.waitFor(async () =>
      expect((await get({ ...served, token }, id)).error).toMatchObject({ code: -32_602 }),
    );
    expect((await rpc({ ...served, token }, 'tasks/cancel', { taskId: id }, offering)).error).toMatchObject({
      code: -32_602,
    });
  });

  test('of a client that takes no tasks is waited for, with progress', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);

    const response = send(
      served,
      'tools/call',
      { name: 'wait', arguments: {} },
      { meta: { progressToken: 1 } },
    );
    await vi.waitFor(() => expect(works.length).toBe(1));
    works[0]?.call.progress(1, 2);
    setTimeout(() => works[0]?.end('waited for'), 600);

    const messages = [];
    for await (const message of messagesIn(await response)) messages.push(message);
    expect(messages).toMatchObject([
      { method: 'notifications/progress', params: { progress: 1, total: 2 } },
      { result: { resultType: 'complete', structuredContent: { answer: 'waited for' } } },
    ]);
  });

  test('ends when its client goes before it is a task, and stays when it goes after', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);
    const gone = new AbortController();

    const broken = callTool(served, 'wait', {}, { ...offering, signal: gone.signal });
    await vi.waitFor(() => expect(works.length).toBe(1));
    const { signal } = works[0]?.call ?? {};
    expect(signal?.aborted).toBe(false);
    gone.abort();

    await expect(broken).rejects.toThrow(/abort/i);
    await vi.waitFor(() => expect(signal?.aborted).toBe(true));
    await beginTask(served);
    expect(works[1]?.call.signal.aborted).toBe(false);
  });

  test('is stopped as a task when its client says so', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);
    const id = await beginTask(served);
    const { signal } = works[0]?.call ?? {};

    expect(signal?.aborted).toBe(false);
    expect((await rpc(served, 'tasks/cancel', { taskId: id }, offering)).result).toMatchObject({
      resultType: 'complete',
    });

    expect(signal?.aborted).toBe(true);
    await vi.waitFor(async () => expect((await get(served, id)).result?.['status']).toBe('cancelled'));
  });

  test('and takes its time to end when it is stopped says itself what came of it', async () => {
    const { service, works } = waitingService(60_000);
    await using served = await serve(service);
    const id = await beginTask(served);

    await rpc(served, 'tasks/cancel', { taskId: id }, offering);
    expect(works[0]?.call.signal.aborted).toBe(true);
    works[0]?.end('made all the same');

    await vi.waitFor(async () =>
      expect((await get(served, id)).result).toMatchObject({
        status: 'completed',
        result: { structuredContent: { answer: 'made all the same' } },
      }),
    );
  });

  test('and does not end when it is stopped is waited for only as long as it says', async () => {
    const { service } = waitingService(10);
    await using served = await serve(service);
    const id = await beginTask(served);

    await rpc(served, 'tasks/cancel', { taskId: id }, offering);

    await vi.waitFor(async () => expect((await get(served, id)).result?.['status']).toBe('cancelled'));
  });

  test('has its result as a task after a restart; one that was at work has failed, and says so', async () => {
    using folder = temporaryFolder();
    const settings = { FLOTILLA_DATA: folder.path, FLOTILLA_LOG_LEVEL: 'error' };
    const { service, works } = waitingService();
    const first = await startService(service, 0, settings);
    const token = readFileSync(firstTokenFile(folder.path), 'utf8').trim();
    const before = { url: `http://127.0.0.1:${first.port}`, token };
    const done = await beginTask(before);
    const cut = await beginTask(before);
    works[0]?.end('kept');
    await vi.waitFor(async () => expect((await get(before, done)).result?.['status']).toBe('completed'));
    await first.stop();

    const second = await startService(service, 0, settings);
    await using _stopping = { [Symbol.asyncDispose]: async () => second.stop() };
    const after = { url: `http://127.0.0.1:${second.port}`, token };

    expect((await get(after, done)).result).toMatchObject({
      status: 'completed',
      result: { structuredContent: { answer: 'kept' } },
    });
    expect((await get(after, cut)).result).toMatchObject({
      status: 'failed',
      error: { code: -32_603, message: expect.stringContaining('stopped') as string },
    });
  });

  test('keeps nobody waiting: of nine, eight become tasks, and one is waited for', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);
    const calls = Array.from({ length: 9 }, async () => callTool(served, 'wait', {}, offering));

    await vi.waitFor(() => expect(works.length).toBe(9));
    await vi.waitFor(async () => {
      const metrics = await (await fetch(`${served.url}/metrics`)).text();
      expect(metrics).toMatch(/^flotilla_tasks_working\S* 8$/m);
    });
    for (const { end } of works) end('done');

    const kinds = (await Promise.all(calls)).map(({ result }) => result?.['resultType'] as string);
    expect(kinds.toSorted()).toEqual(['complete', ...Array.from({ length: 8 }, () => 'task')]);
  });

  test('is stopped though every place of its token is taken', async () => {
    const { service, works } = waitingService();
    await using served = await serve(service);
    const id = await beginTask(served);
    const others = Array.from({ length: 8 }, async () => callTool(served, 'wait'));
    await vi.waitFor(() => expect(works.length).toBe(9));

    await rpc(served, 'tasks/cancel', { taskId: id }, offering);

    await vi.waitFor(async () => expect((await get(served, id)).result?.['status']).toBe('cancelled'));
    for (const { end } of works) end('done');
    await Promise.all(others);
  });
});

describe('What is asked of tasks', () => {
  test.each([
    { method: 'tasks/get', params: {} },
    { method: 'tasks/get', params: { taskId: 7 } },
    { method: 'tasks/get', params: { taskId: 'none' } },
    { method: 'tasks/update', params: { taskId: 'none', inputResponses: {} } },
    { method: 'tasks/cancel', params: { taskId: '' } },
  ])('is refused where there is no such task: $method $params', async ({ method, params }) => {
    await using served = await serve(waitingService().service);

    expect((await rpc(served, method, params, offering)).error?.code).toBe(-32_602);
  });

  test('is not there in the older revisions, nor where no tool can run long', async () => {
    const { service } = waitingService();
    await using served = await serve(service);
    const tools = service.tools?.map(({ task: _task, ...tool }) => tool) ?? [];
    await using quick = await serve({ ...service, tools });

    const legacy = await rpc(served, 'tasks/get', { taskId: 'x' }, { era: 'legacy' });
    const none = await rpc(quick, 'tasks/get', { taskId: 'x' }, offering);

    expect([legacy.error?.code, none.error?.code]).toEqual([-32_601, -32_601]);
    expect((await rpc(quick, 'server/discover')).result?.['capabilities']).not.toHaveProperty('extensions');
  });

  test('is refused to a token whose scope does not reach here', async () => {
    await using served = await serve(waitingService().service);
    const token = await createToken(served.dataRoot, {
      name: 'elsewhere',
      scope: ['memory'],
      expiresAt: null,
    });

    await vi.waitFor(async () =>
      expect((await get({ ...served, token }, 'x')).error?.message ?? '').toContain('waiting'),
    );
    expect(codeOf(await get(served, 'x'))).toBeUndefined();
  });
});
