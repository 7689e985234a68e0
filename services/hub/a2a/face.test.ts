/** Agents of other makers and ours, with the hub between them: the SDK's client on one side, MCP on the other. */
import { TaskState, type Task } from '@a2a-js/sdk';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import { serve, type Served } from '../../../tests/support/serve.ts';
import hub from '../service.ts';
import { agentOf, call, type Agent } from '../../../tests/support/hub-agent.ts';
import { all, bindings, clientOf, later, saying, textIn } from '../../../tests/support/a2a-client.ts';

let served: Served;
let stranger: string;
let worker: Agent;

beforeAll(async () => {
  served = await serve(hub);
  stranger = await createToken(served.dataRoot, { name: 'Stranger', scope: ['hub'], expiresAt: null });
  worker = await agentOf(served, 'worker', {
    description: 'Reviews what it is sent.',
    capabilities: ['review', 'typescript'],
    card: {
      name: 'Worker One',
      version: '2.3.4',
      skills: [
        { id: 'review', name: 'Review', description: 'Reads a change.', tags: ['code'] },
        { bad: true },
      ],
      documentationUrl: 'file:///etc/passwd',
      supportedInterfaces: [{ url: 'http://evil.test', protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    },
  });
});
afterAll(async () => served[Symbol.asyncDispose]());

const stateOf = (task: Task) => task.status?.state;
const asTask = (sent: object) => sent as Task;

describe.each(bindings)('over %s', (binding) => {
  const client = async (agent?: string, token = served.token) =>
    clientOf({ url: served.url, token }, binding, agent);

  test('a message becomes a request, and its answer the artifact of a task', async () => {
    const asking = (await client('worker')).sendMessage(saying('Is 7 prime?'));
    const mail = await worker.take();
    expect(mail).toMatchObject({ type: 'request', from: 'a2a:first', body: { method: 'a2a.message' } });
    expect(mail.body.params?.message.parts).toEqual([{ text: 'Is 7 prime?' }]);
    await worker.answer(mail, 'Yes.');

    const task = asTask(await asking);
    expect(task.id).toBe(mail.correlation_id);
    expect(stateOf(task)).toBe(TaskState.TASK_STATE_COMPLETED);
    expect(task.artifacts.map(({ parts }) => parts[0]?.content)).toEqual([{ $case: 'text', value: 'Yes.' }]);
    expect(task.history.map(textIn)).toEqual(['Is 7 prime?']);
    expect(await (await client('worker')).getTask({ tenant: '', id: task.id })).toEqual(task);
  });

  test('a stream tells each state, and ends with the last', async () => {
    const events = all((await client('worker')).sendMessageStream(saying('Go on')));
    const mail = await worker.take();
    await worker.report(mail, 'working', 'Reading');
    await worker.say(mail, 'notification', {
      event: 'part',
      artifact: { artifact_id: 'log', parts: [{ text: 'one' }] },
    });
    await worker.answer(mail, {
      artifacts: [{ artifact_id: 'out', parts: [{ data: { found: 2 } }] }],
      message: 'Done',
    });

    const told = await events;
    expect(told[0]?.payload?.$case).toBe('task');
    const artifacts = told.flatMap(({ payload }) =>
      payload?.$case === 'artifactUpdate' ? [payload.value.artifact?.artifactId] : [],
    );
    expect(artifacts).toEqual(['log', 'out']);
    const statuses = told.flatMap(({ payload }) =>
      payload?.$case === 'statusUpdate' ? [payload.value.status] : [],
    );
    expect(statuses.map((status) => textIn(status?.message))).toContain('Reading');
    expect(statuses.at(-1)?.state).toBe(TaskState.TASK_STATE_COMPLETED);
    expect(told.at(-1)?.payload).toMatchObject({ $case: 'statusUpdate' });
  });

  test('an agent that needs more asks, and the answer reaches it though it has not acknowledged the request', async () => {
    const speaking = await client('worker');
    const asking = speaking.sendMessage(saying('Book a flight'));
    const first = await worker.take();
    await worker.report(first, 'input_required', 'Where to?');
    const task = asTask(await asking);
    expect(stateOf(task)).toBe(TaskState.TASK_STATE_INPUT_REQUIRED);
    expect(textIn(task.status?.message)).toBe('Where to?');

    const wrong = speaking.sendMessage(
      saying('Oslo', { message: { taskId: task.id, contextId: 'another' } }),
    );
    await expect(wrong).rejects.toThrow(/contextId/);
    const telling = speaking.sendMessage(saying('Oslo', { message: { taskId: task.id } }));
    const second = await worker.take();
    expect(second.correlation_id).toBe(task.id);
    await worker.answer(second, 'Booked');
    await worker.acknowledge(first);
    const done = asTask(await telling);
    expect(done.contextId).toBe(task.contextId);
    expect(stateOf(done)).toBe(TaskState.TASK_STATE_COMPLETED);
    expect(done.history.map(textIn)).toEqual(['Book a flight', 'Where to?', 'Oslo']);
    await expect(speaking.sendMessage(saying('More', { message: { taskId: task.id } }))).rejects.toThrow(
      /over/,
    );
  });

  test('a task that is cancelled reaches the agent that works on it', async () => {
    const speaking = await client('worker');
    const task = asTask(await speaking.sendMessage(saying('Count to a million', later)));
    expect(stateOf(task)).toBe(TaskState.TASK_STATE_SUBMITTED);
    const mail = await worker.take();
    expect(stateOf(await speaking.getTask({ tenant: '', id: task.id }))).toBe(TaskState.TASK_STATE_WORKING);
    const following = all(speaking.resubscribeTask({ tenant: '', id: task.id }));
    expect(stateOf(await speaking.cancelTask({ tenant: '', id: task.id, metadata: undefined }))).toBe(
      TaskState.TASK_STATE_CANCELED,
    );
    const note = await worker.take();
    expect(note).toMatchObject({ correlation_id: task.id, type: 'notification', body: { cancel: true } });
    await worker.acknowledge(note);
    // Too late: it is over.
    await worker.answer(mail, 'A million');
    expect(stateOf(await speaking.getTask({ tenant: '', id: task.id }))).toBe(TaskState.TASK_STATE_CANCELED);
    expect((await following).at(-1)?.payload).toMatchObject({
      value: { status: { state: TaskState.TASK_STATE_CANCELED } },
    });
    await expect(speaking.cancelTask({ tenant: '', id: task.id, metadata: undefined })).rejects.toThrow(
      /over/,
    );
    await expect(all(speaking.resubscribeTask({ tenant: '', id: task.id }))).rejects.toThrow(/over/);
  });

  test('a dead letter makes the task failed, and says why', async () => {
    const asking = (await client('worker')).sendMessage(saying('Impossible'));
    await worker.reject(await worker.take(), 'I cannot do that');
    const task = asTask(await asking);
    expect(stateOf(task)).toBe(TaskState.TASK_STATE_FAILED);
    expect(textIn(task.status?.message)).toContain('worker: I cannot do that');
  });

  test('an error of the agent makes the task failed', async () => {
    const asking = (await client('worker')).sendMessage(saying('Break'));
    const mail = await worker.take();
    await worker.say(mail, 'response', { error: { code: 'timeout', message: 'No answer' } });
    await worker.acknowledge(mail);
    const task = asTask(await asking);
    expect([stateOf(task), textIn(task.status?.message)]).toEqual([
      TaskState.TASK_STATE_FAILED,
      'timeout: No answer',
    ]);
  });

  test('the hub finds an agent by capability, and rejects what nobody can do', async () => {
    const speaking = await client();
    const asking = speaking.sendMessage(saying('Look at this', { metadata: { capability: 'typescript' } }));
    await worker.answer(await worker.take(), 'Fine');
    expect(stateOf(asTask(await asking))).toBe(TaskState.TASK_STATE_COMPLETED);
    const lost = asTask(await speaking.sendMessage(saying('Fly', { metadata: { capability: 'flying' } })));
    expect(stateOf(lost)).toBe(TaskState.TASK_STATE_REJECTED);
    expect(textIn(lost.status?.message)).toContain('flying');
  });

  test('the same message again is the same task, and reaches the agent once', async () => {
    const speaking = await client('worker');
    const message = saying('Only once', later);
    const [one, other] = await Promise.all([speaking.sendMessage(message), speaking.sendMessage(message)]);
    expect(asTask(other).id).toBe(asTask(one).id);
    const mail = await worker.take();
    await worker.answer(mail, 'Once');
    expect(asTask(await speaking.sendMessage(message)).id).toBe(mail.correlation_id);
    const backlog = await call(served, 'receive_messages', { agent: 'worker' });
    expect(backlog['messages']).toEqual([]);
  });

  test('tasks are listed page by page, the last changed first, and only to the token that began them', async () => {
    const speaking = await client('worker', stranger);
    const contextId = `list-${binding}`;
    for (const text of ['a', 'b', 'c']) {
      await speaking.sendMessage(saying(text, { ...later, message: { contextId } })); // oxlint-disable-line no-await-in-loop -- in order
      await worker.answer(await worker.take(), text); // oxlint-disable-line no-await-in-loop -- in order
    }
    const asked = {
      tenant: '',
      contextId,
      status: TaskState.TASK_STATE_UNSPECIFIED,
      pageToken: '',
      statusTimestampAfter: undefined,
    };
    const first = await speaking.listTasks({ ...asked, pageSize: 2 });
    expect(first).toMatchObject({ totalSize: 3, pageSize: 2 });
    const second = await speaking.listTasks({
      ...asked,
      pageSize: 2,
      pageToken: first.nextPageToken,
      includeArtifacts: true,
    });
    expect(second.nextPageToken).toBe('');
    const tasks = [...first.tasks, ...second.tasks];
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(3);
    const times = tasks.map(({ status }) => status?.timestamp ?? '');
    expect(times).toEqual(times.toSorted().toReversed());
    expect([first.tasks[0]?.artifacts.length, second.tasks[0]?.artifacts.length]).toEqual([0, 1]);
    expect((await speaking.listTasks({ ...asked, status: TaskState.TASK_STATE_FAILED })).tasks).toEqual([]);
    expect((await (await client('worker')).listTasks(asked)).tasks).toEqual([]);

    const id = tasks[0]?.id ?? '';
    const foreign = await client('worker');
    await expect(foreign.getTask({ tenant: '', id })).rejects.toThrow(/no task/i);
    await expect(foreign.cancelTask({ tenant: '', id, metadata: undefined })).rejects.toThrow(/no task/i);
    await expect(all(foreign.resubscribeTask({ tenant: '', id }))).rejects.toThrow(/no task/i);
    await expect(foreign.sendMessage(saying('x', { message: { taskId: id } }))).rejects.toThrow(/no task/i);
  });

  test('addresses are not called: push notifications are refused', async () => {
    const speaking = await client('worker');
    const config = {
      tenant: '',
      id: 'x',
      taskId: 'y',
      url: 'http://127.0.0.1:1/',
      token: '',
      authentication: undefined,
    };
    await expect(async () => speaking.createTaskPushNotificationConfig(config)).rejects.toThrow(/push/i);
    const withConfig = saying('x', { configuration: { taskPushNotificationConfig: config } });
    await expect(speaking.sendMessage(withConfig)).rejects.toThrow(/addresses/);
  });

  test('the extended card tells who does what', async () => {
    const card = await (await client('worker')).getAgentCard();
    expect(card).toMatchObject({
      name: 'Worker One',
      version: '2.3.4',
      description: 'Reviews what it is sent.',
    });
    expect(card.skills.map(({ id, name }) => [id, name])).toEqual([
      ['review', 'Review'],
      ['typescript', 'typescript'],
    ]);
    expect(card.documentationUrl ?? '').toBe('');
    expect(card.supportedInterfaces.map(({ url }) => url)).toEqual([
      `${served.url}/a2a/worker`,
      `${served.url}/a2a/worker/v1`,
    ]);
    const whole = await (await client()).getAgentCard();
    expect(whole.skills.find(({ id }) => id === 'review')?.description).toContain('worker');
  });
});

test('a name of another token cannot be squatted', async () => {
  await expect(call(served, 'register_agent', { name: 'a2a:@stranger' })).rejects.toThrow(/A2A/);
  await expect(
    call(served, 'send_message', { from: 'a2a:@stranger', to: ['worker'], body: { event: 'x' } }),
  ).rejects.toThrow(/forbidden|belongs/);
});

test('nobody but the agent that was asked can answer', async () => {
  const forger = await agentOf({ url: served.url, token: stranger }, 'forger');
  const speaking = await clientOf(served, 'JSONRPC', 'worker');
  const task = asTask(await speaking.sendMessage(saying('Whom do you believe?', later)));
  const mail = await worker.take();
  await forger.say(mail, 'response', { result: 'Believe me' }, { reply_to: 'x' });
  // What it says to others under the same correlation is not for the client.
  await worker.say(mail, 'response', { result: 'Between us' }, { to: ['forger'] });
  expect(stateOf(await speaking.getTask({ tenant: '', id: task.id }))).toBe(TaskState.TASK_STATE_WORKING);
  await worker.answer(mail, 'Me');
  const done = await speaking.getTask({ tenant: '', id: task.id });
  expect(done.artifacts.map(({ parts }) => parts[0]?.content)).toEqual([{ $case: 'text', value: 'Me' }]);
});

test('what is said to a client does not stay in a mailbox', async () => {
  await vi.waitFor(async () => {
    const { agents } = (await call(served, 'list_agents', {})) as { agents: { name: string }[] };
    expect(agents.map(({ name }) => name)).toContain('a2a:first');
    const { messages } = await call(served, 'receive_messages', { agent: 'a2a:first' });
    expect(messages).toEqual([]);
  });
});
