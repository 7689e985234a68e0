/** CoordinatorService of the orchestrator, as a stock client of gRPC meets it; and that the .proto files say what the tools say. */
import { once, type EventEmitter } from 'node:events';

import type { DescField, DescMessage } from '@bufbuild/protobuf';
import {
  status,
  type ClientDuplexStream,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { z } from 'zod';

import { createToken } from '#runtime/access/tokens.ts';
import type { AnyTool } from '#runtime/tool.ts';
import { readProtos, serviceIn } from '#runtime/wire/grpc/protos.ts';

import { coordinator } from '../services/orchestrator/coordinator.ts';
import orchestrator, { allTools } from '../services/orchestrator/service.ts';
import { grpcClient, type GrpcClient, type Message } from './support/grpc-client.ts';
import { differences } from './support/proto-differences.ts';
import { callTool } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';

const service = 'flotilla.v1.CoordinatorService';

let served: Served;
let client: GrpcClient;

beforeAll(async () => {
  served = await serve(orchestrator);
  client = grpcClient(served, service);
});

afterAll(async () => {
  client[Symbol.dispose]();
  await served[Symbol.asyncDispose]();
});

const struct = (fields: Readonly<Record<string, string>>) => ({
  fields: Object.fromEntries(Object.entries(fields).map(([name, stringValue]) => [name, { stringValue }])),
});

interface Task {
  readonly task_id: string;
  readonly title: string;
  readonly status: string;
  readonly lease: { readonly fence: number };
}

async function newTasks(...tasks: Message[]): Promise<readonly Task[]> {
  const answer = await client.call('CreateTasks', { tasks });
  return answer['tasks'] as readonly Task[];
}

describe('An answer', () => {
  test('says that it has text of others, and in its trailers the trace', async () => {
    const [task] = await newTasks({ title: 'Told', requires: ['nobody'] });
    const methods = client.client as unknown as Record<string, (...args: unknown[]) => EventEmitter>;

    const call = methods['GetTask']?.({ task_id: task?.task_id }, client.metadata(), () => {});
    const [[headers], [ended]] = (await Promise.all([
      once(call as EventEmitter, 'metadata'),
      once(call as EventEmitter, 'status'),
    ])) as [[Metadata], [StatusObject]];

    expect(headers.get('flotilla-untrusted')).toEqual(['true']);
    expect(ended.code).toBe(status.OK);
    expect(ended.metadata.get('traceparent')).toEqual([expect.stringMatching(/^00-[0-9a-f]{32}-/)]);
  });
});

describe('A project', () => {
  test('goes from its first task to its last over gRPC alone', async () => {
    const made = await client.call('CreateProject', {
      name: 'Harbour',
      priority: 'PRIORITY_HIGH',
      tech_stack: { backend: 'node' },
      tasks: [
        { key: 'plan', title: 'Plan it', requires: ['harbour'] },
        {
          title: 'Build it',
          depends_on: ['plan'],
          requires: ['harbour'],
          steps: [{ tool: 'echo', arguments: struct({ a: 'b' }) }],
        },
      ],
    });
    const { project_id } = made['project'] as { project_id: string };
    await client.call('RegisterWorker', { worker: 'crane', capabilities: ['harbour'], most_tasks: 1 });
    const titles: string[] = [];
    for (let n = 0; n < 2; n += 1) {
      const claimed = await client.call('ClaimTasks', { worker: 'crane', wait_seconds: 20 });
      const [task] = claimed['tasks'] as readonly Task[];
      titles.push(task?.title ?? '');
      const { task_id, lease } = task as Task;
      await client.call('RenewLease', { task_id, fence: lease.fence, progress: { percent: 0 } });
      const done = await client.call('CompleteTask', {
        task_id,
        fence: lease.fence,
        result: struct({ went: 'well' }),
      });
      expect(done['task']).toMatchObject({ status: 'STATUS_COMPLETED' });
    }

    const { project } = (await client.call('GetProject', { project_id })) as { project: Message };

    expect(titles).toEqual(['Plan it', 'Build it']);
    expect(project).toMatchObject({
      status: 'STATUS_COMPLETED',
      priority: 'PRIORITY_HIGH',
      percent: 100,
      counts: { completed: 2 },
      tech_stack: { backend: 'node' },
    });
  });

  test('with a circle is refused with the words of the tool', async () => {
    const error = await client
      .call('CreateTasks', { tasks: [{ key: 'a', title: 'A', depends_on: ['a'] }] })
      .catch((failure: ServiceError) => failure);

    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

describe('A fence', () => {
  test('that is no longer good is refused, and changes nothing', async () => {
    const [task] = await newTasks({ title: 'Fenced', requires: ['fence'] });
    await client.call('RegisterWorker', { worker: 'fencer', capabilities: ['fence'] });
    const claimed = await client.call('ClaimTasks', { worker: 'fencer' });
    const [held] = claimed['tasks'] as readonly Task[];
    const fence = held?.lease.fence ?? 0;
    await client.call('ReleaseTask', { task_id: task?.task_id, fence });

    const error = await client
      .call('CompleteTask', { task_id: task?.task_id, fence })
      .catch((failure: ServiceError) => failure);

    expect(error).toMatchObject({ code: status.FAILED_PRECONDITION });
    const now = await client.call('GetTask', { task_id: task?.task_id });
    expect(now['task']).toMatchObject({ status: 'STATUS_PENDING' });
  });
});

test('A task on a repository tells its branch, and goes back to work or is completed by what came of the merge', async () => {
  const repository = {
    path: 'shop',
    base: 'main',
    kind: 'BRANCH_KIND_HOTFIX',
    integration: 'BRANCH_INTEGRATION_AUTO',
  };
  const [task] = await newTasks({ title: 'Mend it', requires: ['merging'], repository });
  const { task_id = '' } = task ?? {};
  await client.call('RegisterWorker', { worker: 'mender', capabilities: ['merging'] });
  const done = async () => {
    const { tasks } = await client.call('ClaimTasks', { worker: 'mender' });
    const [held] = tasks as readonly Task[];
    await client.call('CompleteTask', { task_id, fence: held?.lease.fence });
    return held;
  };

  const first = await done();
  const back = await client.call('RecordConflict', { task_id, files: ['a.txt'], note: 'Both.' });
  const second = await done();
  await client.call('RecordMerge', { task_id, commit: 'a'.repeat(40) });
  const ended = await client.call('GetTask', { task_id });

  expect(first).toMatchObject({
    repository: { ...repository, mode: 'BRANCH_MODE_WORKTREE' },
    git: { branch: `hotfix/${task_id}-mend-it`, trailers: [`Task-Id: ${task_id}`] },
  });
  expect(back['task']).toMatchObject({ status: 'STATUS_PENDING' });
  expect(second).toMatchObject({ git: { conflict: { files: ['a.txt'], note: 'Both.' } } });
  expect(ended['task']).toMatchObject({
    status: 'STATUS_COMPLETED',
    git: { merged: { commit: 'a'.repeat(40), merged_by: 'first' } },
  });
});

test('Events come as they happen, after those that are asked for', async () => {
  const before = (await client.call('GetOrchestratorStats')) as { last_event: number };
  const [task] = await newTasks({ title: 'Watched', requires: ['nobody'] });
  const watching = client.stream('WatchEvents', { after: before.last_event, task_id: task?.task_id });
  const seen: string[] = [];
  watching.on('data', ({ event, data }: Message) => {
    seen.push(String(event));
    expect(data).toMatchObject({ task_id: task?.task_id, type: event });
  });
  watching.on('error', () => {});
  await vi.waitFor(() => expect(seen).toHaveLength(1));

  await callTool(served, 'cancel_task', { task_id: task?.task_id });

  await vi.waitFor(() => expect(seen.at(-1)).toContain('cancelled'));
  watching.cancel();
});

type Work = ClientDuplexStream<Message, Message>;

describe('A token that carries a choice of tools', () => {
  const ways: readonly (readonly [string, (secret: string) => Promise<boolean>])[] = [
    [
      'server-sent events',
      async (secret) => {
        const headers = { authorization: `Bearer ${secret}` };
        const answer = await fetch(`${served.url}/events?after=0`, { headers });
        await answer.body?.cancel();
        return answer.status === 200;
      },
    ],
    [
      'WebSocket',
      async (secret) => {
        const headers = { authorization: `Bearer ${secret}` };
        const socket = new WebSocket(`${served.url.replace('http', 'ws')}/socket`, { headers });
        await once(socket, 'open');
        socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'listen', params: { after: 0 } }));
        const [answer] = (await once(socket, 'message')) as [Buffer];
        socket.terminate();
        return answer.toString().includes('"listening":true');
      },
    ],
    [
      'gRPC',
      async (secret) => {
        using own = grpcClient({ url: served.url, token: secret }, service);
        const stream = own.stream('WatchEvents', { after: 0 });
        const told = await Promise.race([once(stream, 'data'), once(stream, 'error')]).catch(
          (error: unknown) => [error],
        );
        stream.on('error', () => {}).cancel();
        if (told[0] instanceof Error) expect(told[0]).toMatchObject({ code: status.PERMISSION_DENIED });
        return !(told[0] instanceof Error);
      },
    ],
  ];

  test.each(ways)('listens by %s where list_task_events is in it, and else not', async (way, listens) => {
    await newTasks({ title: 'Told of', requires: ['nobody'] });
    const made = async (tool: string) => {
      const name = `${tool}-${way.replaceAll(/\W/g, '')}`;
      const token = { name, scope: ['orchestrator'], expiresAt: null, tools: [tool] };
      const secret = await createToken(served.dataRoot, token);
      await vi.waitFor(async () => {
        const answer = await fetch(`${served.url}/events?after=x`, {
          headers: { authorization: `Bearer ${secret}` },
        });
        expect(answer.status).not.toBe(401);
      });
      return secret;
    };

    expect(await listens(await made('list_task_events'))).toBe(true);
    expect(await listens(await made('get_task'))).toBe(false);
  });
});

describe("A worker's stream", () => {
  /** All that it was told, as it comes. */
  function working(worker: string, capabilities: readonly string[], more: Message = {}) {
    const stream: Work = client.talk('Work');
    const told: Message[] = [];
    const ended = new Promise<ServiceError | undefined>((resolve) => {
      stream.on('data', (message: Message) => told.push(message));
      stream.on('end', () => resolve(undefined)).on('error', resolve);
    });
    stream.write({ register: { worker, capabilities, ...more } });
    const tasks = () => told.flatMap(({ assigned }) => (assigned ? [assigned as Task] : []));
    return { stream, told, tasks, ended };
  }

  const statusOf = async ({ task_id }: Task) => {
    const { task } = (await client.call('GetTask', { task_id })) as { task: Task };
    return task.status;
  };

  test('is given tasks as they come, as many as it takes, and tells how they go', async () => {
    const { stream, told, tasks, ended } = working('streamer', ['stream'], { most_tasks: 2 });
    await vi.waitFor(() =>
      expect(told[0]).toMatchObject({ registered: { worker: 'streamer', most_tasks: 2 } }),
    );
    const made = await newTasks(...[1, 2, 3].map((n) => ({ title: `Number ${n}`, requires: ['stream'] })));
    await vi.waitFor(() => expect(tasks()).toHaveLength(2));
    expect(await Promise.all(made.map(statusOf))).toEqual([
      'STATUS_ASSIGNED',
      'STATUS_ASSIGNED',
      'STATUS_PENDING',
    ]);

    const [one, two] = tasks();
    stream.write({ renew: { task_id: one?.task_id, fence: one?.lease.fence, progress: { percent: 50 } } });
    stream.write({ complete: { task_id: one?.task_id, fence: one?.lease.fence } });
    await vi.waitFor(() => expect(tasks()).toHaveLength(3));
    stream.write({
      fail: { task_id: two?.task_id, fence: two?.lease.fence, error: { message: 'no', retryable: false } },
    });
    const [, , three] = tasks();
    stream.write({ complete: { task_id: three?.task_id, fence: three?.lease.fence } });
    stream.end();
    await ended;

    expect(told.flatMap(({ settled }) => (settled ? [(settled as { act: string }).act] : []))).toEqual([
      'renew',
      'complete',
      'fail',
      'complete',
    ]);
    expect(await Promise.all(made.map(statusOf))).toEqual([
      'STATUS_COMPLETED',
      'STATUS_FAILED',
      'STATUS_COMPLETED',
    ]);
  });

  test('goes on after what is refused', async () => {
    const { stream, told, ended } = working('stubborn', ['stubborn']);
    stream.write({ complete: { task_id: 't999-aaaa', fence: 1 } });
    stream.write({ register: { worker: 'another', capabilities: [] } });
    stream.write({});
    stream.end();
    await ended;

    expect(told.flatMap(({ refused }) => (refused ? [(refused as { code: string }).code] : []))).toEqual([
      'not_found',
      'invalid_input',
      'invalid_input',
    ]);
  });

  test('that begins with anything else is refused', async () => {
    const stream = client.talk('Work');
    stream.write({ start: { task_id: 't1-aaaa', fence: 1 } });

    const [error] = (await once(stream.resume(), 'error')) as [ServiceError];

    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(error.details).toContain('register');
  });

  test('whose client goes gets nothing more, and what it held stays its own', async () => {
    const { stream, tasks, ended } = working('leaver', ['leave'], { most_tasks: 3 });
    const [first] = await newTasks({ title: 'Held', requires: ['leave'] });
    await vi.waitFor(() => expect(tasks()).toHaveLength(1));

    stream.cancel();
    await ended;
    await vi.waitFor(async () => {
      const { workers } = (await client.call('ListWorkers', { worker: 'leaver' })) as { workers: Message[] };
      expect(workers[0]).toMatchObject({ state: 'WORKER_STATE_FREE' });
    });
    const [second] = await newTasks({ title: 'For others', requires: ['leave'] });

    expect(await Promise.all([first as Task, second as Task].map(statusOf))).toEqual([
      'STATUS_ASSIGNED',
      'STATUS_PENDING',
    ]);
    const [held] = tasks();
    const done = await client.call('CompleteTask', { task_id: held?.task_id, fence: held?.lease.fence });
    expect(done['task']).toMatchObject({ status: 'STATUS_COMPLETED' });
  });

  test('that does not read is given no more than the tasks that it may hold', async () => {
    const stream = client.talk('Work');
    stream.on('error', () => {});
    stream.pause();
    stream.write({ register: { worker: 'deaf', capabilities: ['deaf'], most_tasks: 2 } });
    const made = await newTasks(
      ...Array.from({ length: 6 }, (_, n) => ({ title: `${n}`, requires: ['deaf'] })),
    );
    await vi.waitFor(async () => expect(await statusOf(made[1] as Task)).toBe('STATUS_ASSIGNED'));

    // Meanwhile others are served, in their time.
    await client.call('GetOrchestratorStats');

    expect((await Promise.all(made.map(statusOf))).filter((one) => one === 'STATUS_ASSIGNED')).toHaveLength(
      2,
    );
    stream.cancel();
  });
});

describe('The .proto files', () => {
  const protos = readProtos(coordinator.protos);
  const { methods } = serviceIn(protos, service);
  const toolOf = (name: string) => {
    const what = coordinator.methods[name];
    return what && what !== 'listened' && !('converse' in what) ? (what as AnyTool<unknown>) : undefined;
  };

  test('have a method for every tool of the orchestrator', () => {
    const served = methods.flatMap(({ name }) => toolOf(name)?.name ?? []);

    expect(served.toSorted()).toEqual(allTools.map(({ name }) => name).toSorted());
    expect(methods.map(({ name }) => name).toSorted()).toEqual(Object.keys(coordinator.methods).toSorted());
  });

  test('say what the tools say', () => {
    const used = new Set<DescField>();
    const found: string[] = [];
    for (const { name, input, output } of methods) {
      const tool = toolOf(name);
      if (!tool) continue;
      found.push(...differences(input, tool.input, `${name} takes`, true, used));
      found.push(...differences(output, tool.output, `${name} tells`, false, used));
    }

    expect(found).toEqual([]);
    expect(used.size).toBeGreaterThan(200);
  });

  test('have no field of an answer that no tool tells', () => {
    const used = new Set<DescField>();
    const found = methods.flatMap(({ name, output }) => {
      const tool = toolOf(name);
      return tool ? [...differences(output, tool.output, name, false, used)] : [];
    });
    expect(found).toEqual([]);
    const told = ['Task', 'Project', 'Worker', 'Lease', 'Attempt', 'Event'].map((name) =>
      protos.getMessage(`flotilla.v1.${name}`),
    );

    expect(
      told.flatMap((message) => message?.fields.filter((field) => !used.has(field)) ?? []).map(String),
    ).toEqual([]);
  });

  test('are compared by what finds a difference', () => {
    const message = protos.getMessage('flotilla.v1.StartTaskRequest') as DescMessage;
    const found = (schema: z.ZodObject) => [...differences(message, schema, 'it', true, new Set())];

    expect(found(z.object({ task_id: z.int(), other: z.string() }))).toEqual([
      'it.other is not in the .proto files',
      'it.task_id is a number',
      'it.fence is in the .proto files alone',
    ]);
    expect(found(z.object({ task_id: z.string(), fence: z.int() }))).toEqual([
      'it.fence may be 0, which is not sent: make it optional',
    ]);
  });
});
