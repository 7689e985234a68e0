/** Agents before a real gateway with real services behind it, in this process. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';
import { openDatabase } from '#runtime/database.ts';

import { freePortOffset } from '../scripts/ports.ts';
import { loadService } from '../scripts/load.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { serve, temporaryFolder, type Served } from '../tests/support/serve.ts';
import { callTool, type Json } from './agents.fixture.ts';

const stack = new AsyncDisposableStack();
let fleet: Fronted;
let root: string;
let settings: Readonly<Record<string, string>>;
let qa: Served;

async function agent(name: string, more: Readonly<Record<string, string>> = {}): Promise<Served> {
  return serve(await loadService(name), { ...settings, ...more });
}

const call = async (tool: string, args: object, token = fleet.gateway.token): Promise<Json> =>
  callTool({ url: fleet.gateway.url, token }, tool, args);

const healthOf = async ({ url }: Served): Promise<Json> => (await fetch(`${url}/health`)).json();

async function make(task: object, token?: string): Promise<string> {
  const { tasks } = await call(
    'create_tasks',
    { tasks: [{ title: 'Try it', requires: ['qa'], ...task }] },
    token,
  );
  return tasks[0].task_id;
}

const taskOf = async (id: string): Promise<Json> => (await call('get_task', { task_id: id })).task;

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(50);
}

/** The task when it is over, or waits for a person. */
async function ended(id: string): Promise<Json> {
  let task: Json;
  await until(async () => {
    task = await taskOf(id);
    return ['completed', 'failed', 'cancelled'].includes(task.status) || task.waiting_for === 'input';
  });
  return task;
}

const python = (code: string, more: object = {}) => ({
  tool: 'run_python_code',
  arguments: { python_code: code, timeout_ms: 600_000 },
  ...more,
});

beforeAll(async () => {
  const folder = stack.use(temporaryFolder());
  root = join(folder.path, 'work');
  mkdirSync(root);
  settings = {
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
    FLOTILLA_ROOTS: root,
  };
  const services = await Promise.all(['orchestrator', 'filesystem', 'python'].map(loadService));
  fleet = stack.use(await serveBehind(services, { settings }));
  settings = { ...settings, FLOTILLA_DATA: fleet.gateway.dataRoot };
  qa = await agent('agent-qa');
  stack.defer(async () => qa.stop());
});
afterAll(async () => stack.disposeAsync());

describe('a step that cannot be', () => {
  test.each<[string, object, RegExp]>([
    ['an unknown tool', { steps: [{ tool: 'no_such_tool' }] }, /no tool "no_such_tool".*Nothing was done/],
    [
      'a reference to nothing',
      { steps: [{ tool: 'read_text_file', arguments: { path: '{{nothing.path}}' } }] },
      /refers to \{\{nothing\.path\}\}, which nothing before it saves/,
    ],
    [
      'a path to nothing in what was saved',
      { steps: [python('1', { save_as: 'one' }), python('"{{one.wrong}}"')] },
      /\{\{one\.wrong\}\} refers to nothing: instead of wrong, there is .*status/,
    ],
    [
      'two of one name',
      { steps: [python('1', { save_as: 'one' }), python('2', { save_as: 'one' })] },
      /which an earlier step saves as.*Nothing was done/,
    ],
    [
      'a tool for which the profile has no scope',
      { steps: [python('1'), { tool: 'write_file', arguments: { path: '/x', content: '' } }] },
      /agent-qa may not call write_file: it lacks the scope filesystem:write\. Give the task to frontend or .*Nothing was done/,
    ],
    [
      'a change of the orchestrator',
      { steps: [{ tool: 'create_tasks', arguments: { tasks: [] } }] },
      /Steps may read the orchestrator, and not change it/,
    ],
    [
      'a tool that programs use of the gateway',
      { steps: [{ tool: 'run_program', arguments: { code: '1' } }] },
      /no tool "run_program"/,
    ],
    [
      'an error of the tool',
      { steps: [{ tool: 'read_text_file', arguments: { path: '/nowhere/x' } }] },
      /^Step 1 of 1 \(read_text_file\): .*\/nowhere\/x/,
    ],
    ['wrong arguments', { steps: [{ tool: 'read_text_file', arguments: { wrong: 1 } }] }, /wrong/],
    [
      'code that raises',
      { steps: [python('print("before")\n1/0')] },
      /the code failed\.[^]*ZeroDivisionError/,
    ],
  ])('%s fails its task at once, and says why', async (_what, task, words) => {
    const { status, status_reason: reason, failures, attempts } = await ended(await make(task));

    expect(attempts[0].error.message).toMatch(words);
    expect(reason).toBe(attempts[0].error.message.slice(0, 500));
    expect({ status, failures }).toEqual({ status: 'failed', failures: 1 });
  });
});

describe('nobody does more through an agent than by himself', () => {
  test('a token that may not run code cannot have it run, and the words say which scope it lacks', async () => {
    const weak = await createToken(fleet.gateway.dataRoot, {
      name: 'weak',
      scope: ['orchestrator:write', 'python:read'],
      expiresAt: null,
    });

    const refused = await ended(await make({ steps: [python('1')] }, weak));
    const reading = await ended(
      await make({ steps: [{ tool: 'list_python_packages', save_as: 'packages' }] }, weak),
    );

    expect(refused.status_reason).toMatch(/The token weak, .* lacks the scope python:write/);
    expect(reading.status).toBe('completed');
  });

  test('a token that is gone cannot have anything done', async () => {
    const secret = await createToken(fleet.gateway.dataRoot, {
      name: 'leaving',
      scope: ['*'],
      expiresAt: null,
    });
    const first = await make({ key: 'wait', title: 'Wait', requires: ['nobody'] }, secret);
    const id = await make({ steps: [python('1')], depends_on: [first] }, secret);
    await call('register_worker', { worker: 'anybody', capabilities: ['nobody'] });
    await revokeToken(fleet.gateway.dataRoot, 'leaving');
    const { tasks } = await call('claim_tasks', { worker: 'anybody' });
    await call('complete_task', { task_id: first, fence: tasks[0].lease.fence });

    expect((await ended(id)).status_reason).toMatch(/The token leaving, .* is gone or expired/);
  });

  test('steps in an answer are done for whoever answered', async () => {
    const weak = await createToken(fleet.gateway.dataRoot, {
      name: 'weak-person',
      scope: ['orchestrator:write'],
      expiresAt: null,
    });
    const id = await make({});
    await ended(id);

    await call('answer_question', { task_id: id, answer: JSON.stringify([python('1')]) }, weak);
    await until(async () => /weak-person/.test((await taskOf(id)).question?.question ?? ''));
    const { question } = (await taskOf(id)).question;
    // Whoever answers well then is not held up by it.
    await call('answer_question', { task_id: id, answer: JSON.stringify([python('1')]) });
    await until(async () => (await taskOf(id)).status === 'completed');

    expect(question).toMatch(
      /What weak-person answered did not do it\. The token weak-person, .* lacks the scope python:write.*Do it, and answer/,
    );
  });
});

describe('a task with neither steps nor a goal', () => {
  test('waits for a person, whose words become its result', async () => {
    const id = await make({ title: 'Decide it' });
    const asked = await ended(id);

    expect(asked).toMatchObject({ status: 'blocked', waiting_for: 'input' });
    expect(asked.question.question).toMatch(/“Decide it” has no steps, .*FLOTILLA_AGENT_MODEL_URL/);

    await call('answer_question', { task_id: id, answer: 'Done by hand.' });
    await until(async () => (await taskOf(id)).status === 'completed');

    expect((await taskOf(id)).result).toEqual({ by: 'first', answer: 'Done by hand.' });
  });

  test('does the steps that a person answers with, and asks again where they are none', async () => {
    const id = await make({});
    await ended(id);
    await call('answer_question', { task_id: id, answer: '[{"tol": 1}]' });
    await until(async () => /is none/.test((await taskOf(id)).question?.question ?? ''));

    await call('answer_question', {
      task_id: id,
      answer: JSON.stringify([python('40+2', { save_as: 'it' })]),
    });
    await until(async () => (await taskOf(id)).status === 'completed');

    expect((await taskOf(id)).result.saved.it.return_value).toBe('42');
  });

  test('a project of a template alone goes on as people answer', async () => {
    await using manager = await agent('agent-manager');
    const { project } = await call('create_project', { name: 'Blog', template: 'generic' });
    const tasks = async (): Promise<Json[]> =>
      (await call('list_tasks', { project_id: project.project_id })).tasks;
    await until(async () => (await tasks())[0].status === 'completed');

    const planning = await taskOf((await tasks())[0].task_id);

    expect(planning.result.critical_path.map(({ title }: Json) => title)).toEqual([
      'Plan Blog',
      'Make Blog',
      'Test Blog',
    ]);
    expect(planning.result.risks).toContainEqual(
      expect.objectContaining({ kind: 'nobody', words: expect.stringMatching(/“Make Blog” \(backend\)/) }),
    );
    expect((await healthOf(manager)).completed).toBe(1);
    await call('cancel_project', { project_id: project.project_id });
  });
});

test('what is too long for a result is told by its size, and a task that wants it fails in words', async () => {
  const source = await make({ requires: ['nobody'], description: 'a'.repeat(200_000) });
  const { tasks } = await call('create_tasks', {
    tasks: [
      {
        key: 'long',
        title: 'Long',
        requires: ['qa'],
        steps: [
          { tool: 'get_task', arguments: { task_id: source, max_bytes: 1_000_000 }, save_as: 'long' },
          {
            tool: 'run_python_code',
            arguments: { python_code: 'len(text)', global_variables: { text: '{{long.task.description}}' } },
            save_as: 'length',
          },
        ],
      },
      {
        title: 'Wants it',
        requires: ['qa'],
        depends_on: ['long'],
        steps: [python('"{{needs.long.saved.long.task.title}}"')],
      },
    ],
  });

  const { result } = await ended(tasks[0].task_id);
  const wanting = await ended(tasks[1].task_id);

  // Within a task the whole is there.
  expect(result.saved.length.return_value).toBe('200000');
  expect(result.saved.long).toMatchObject({ shortened: true });
  expect(result.saved.long.bytes).toBeGreaterThan(200_000);
  expect(wanting.status_reason).toMatch(/too long to be handed on .*write a file/);
});

test('what a program prints that is no text does not keep its task from ending', async () => {
  const printing = python(String.raw`print("a\x00b", chr(0xd800), r"\u0000")`, { save_as: 'it' });

  const { status, result } = await ended(await make({ steps: [printing] }));

  expect(status).toBe('completed');
  expect(result.saved.it.output.join('')).toMatch(/a\ufffdb .*\\u0000/);
});

test('an answer that is too long is refused in words', async () => {
  const long = 'a'.repeat(1_048_000);
  const source = await make({ requires: ['somebody'], description: long });
  await call('register_worker', { worker: 'somebody', capabilities: ['somebody'] });
  const { tasks } = await call('claim_tasks', { worker: 'somebody' });
  await call('complete_task', { task_id: source, fence: tasks[0].lease.fence, result: { long } });

  const task = await ended(
    await make({ steps: [{ tool: 'get_task', arguments: { task_id: source, max_bytes: 2_097_152 } }] }),
  );

  expect(task).toMatchObject({ status: 'failed', failures: 1 });
  expect(task.status_reason).toMatch(/It was done, and answered with more than 2097152 bytes\. Ask for less/);
});

test('work that does not fit into one answer is fetched, and a task that is too long by itself holds up no other', async () => {
  const database = (task: object) => ({ requires: ['database'], ...task });
  const { tasks: asking } = await call('create_tasks', {
    tasks: [database({ title: 'Much was asked', priority: 'critical' })],
  });
  const talked = asking[0].task_id;
  // Each took a claim, a question and an answer.
  const file = join(fleet.gateway.dataRoot, 'orchestrator', 'orchestrator.db');
  const ledger = openDatabase(file, join(import.meta.dirname, '../services/orchestrator/ledger/migrations'));
  ledger
    .prepare(
      `INSERT INTO question (task, fence, question, asked_at, answer, answered_by, answered_at)
       SELECT seq, value, ?, 1, ?, 'somebody', 1 FROM task, json_each(?) WHERE title = 'Much was asked'`,
    )
    .run(
      '\u20ac'.repeat(10_000),
      '\u20ac'.repeat(20_000),
      JSON.stringify(Array.from({ length: 24 }, (_, at) => -at)),
    );
  ledger.close();
  const { tasks } = await call('create_tasks', {
    tasks: [1, 2, 3, 4].map((at) =>
      database({
        title: `Long ${at}`,
        ...(at < 4 && { priority: 'high', description: 'x'.repeat(800_000) }),
        steps: [{ tool: 'list_workers', arguments: { limit: at }, save_as: 'it' }],
      }),
    ),
  });
  await using _agent = await agent('agent-database');
  const ends = await Promise.all(tasks.map(async (one: Json) => ended(one.task_id)));
  ends.unshift(await ended(talked));

  expect(ends.map(({ status, failures }) => `${status} ${failures}`)).toEqual([
    'failed 1',
    ...Array.from({ length: 4 }, () => 'completed 0'),
  ]);
  expect(ends[0].status_reason).toMatch(/is more than an agent reads: 2097152 bytes/);
  expect(ends[1].result.saved.it.workers).toHaveLength(1);
});

test('a cancelled task is left, and its call is stopped', async () => {
  const id = await make({ steps: [python('import time\ntime.sleep(600)')] });
  await until(async () => (await taskOf(id)).status === 'in_progress');
  const lostBefore = (await healthOf(qa)).lost;
  const cancelledRuns = async (): Promise<number> => {
    const text = await (await fetch(`${fleet.direct['python']?.url}/metrics`)).text();
    const line = text
      .split('\n')
      .find((one) => /_duration_seconds_count.*"run_python_code".*error_type="cancelled"/.test(one));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  const cancelledBefore = await cancelledRuns();

  await call('cancel_task', { task_id: id });
  await until(async () => (await healthOf(qa)).lost === lostBefore + 1);

  await until(async () => (await cancelledRuns()) === cancelledBefore + 1);

  expect((await healthOf(qa)).tasks).toEqual([]);
  expect((await taskOf(id)).status).toBe('cancelled');
});

test('several tasks are done side by side, and no more than the agent takes', async () => {
  const ids: string[] = [];
  for (let at = 0; at < 4; at += 1)
    ids.push(await make({ title: `Side by side ${at}`, steps: [python('import time\ntime.sleep(600)')] }));

  await until(async () => (await healthOf(qa)).tasks.length === 3);
  const states = (await Promise.all(ids.map(taskOf))).map(({ status }) => status);

  expect(states.filter((status) => status === 'pending')).toHaveLength(1);
  for (const id of ids) await call('cancel_task', { task_id: id });
  await until(async () => (await healthOf(qa)).tasks.length === 0);
});

test('an agent that is stopped gives its task back, and one that comes does it', async () => {
  const gate = join(root, 'gate.txt');
  writeFileSync(gate, 'long');
  const id = await make({
    steps: [
      { tool: 'read_text_file', arguments: { path: gate }, save_as: 'gate' },
      python('import time\nif "{{gate.content}}" == "long": time.sleep(600)\n"short"', { save_as: 'it' }),
    ],
  });
  await until(async () => (await taskOf(id)).status === 'in_progress');

  await qa.stop();
  const given = await taskOf(id);
  writeFileSync(gate, 'short');
  qa = await agent('agent-qa');

  expect(given).toMatchObject({ status: 'pending', failures: 0 });
  expect((await ended(id)).result.saved.it.return_value).toBe('"short"');
});

test('a gateway and an orchestrator that are started again are waited for, and each task ends once', async () => {
  // As many as the agent takes: no claim waits, for whose end the gateway would wait.
  const ids: string[] = [];
  for (let at = 0; at < 3; at += 1)
    ids.push(
      await make({
        title: `In the middle ${at}`,
        steps: [python('import time\ntime.sleep(1)\n1'), python('2', { save_as: 'two' })],
      }),
    );
  await until(async () => (await healthOf(qa)).tasks.length === 3);

  await fleet.restart('orchestrator');
  await fleet.restart('gateway');
  ids.push(await make({ title: 'Afterwards', steps: [python('2', { save_as: 'two' })] }));

  for (const { status, attempts, result } of await Promise.all(ids.map(ended))) {
    expect(status).toBe('completed');
    expect(attempts.filter(({ outcome }: Json) => outcome === 'completed')).toHaveLength(1);
    expect(result.saved.two.return_value).toBe('2');
  }
});

describe('a goal', () => {
  interface Heard {
    readonly url?: string | undefined;
    readonly key?: string | undefined;
    readonly body: Json;
  }

  /** Speaks the protocol: it answers each request with the next of these contents, or with a status. */
  async function modelServer(answers: (string | number)[]) {
    const heard: Heard[] = [];
    const server = createServer(async (request, response) => {
      let text = '';
      for await (const part of request) text += String(part);
      heard.push({ url: request.url, key: request.headers.authorization, body: JSON.parse(text) });
      const answer = answers.shift() ?? 500;
      if (typeof answer === 'number') response.writeHead(answer).end('{}');
      else
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: answer } }] }));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return {
      heard,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      },
    };
  }

  test('becomes steps by a model, which are held to the same rules', async () => {
    const good = JSON.stringify({ steps: [python('6*7', { save_as: 'it' })] });
    await using server = await modelServer([
      500,
      `\`\`\`json\n${good}\n\`\`\``,
      JSON.stringify({ steps: [{ tool: 'write_file', arguments: { path: '/x', content: '' } }] }),
      'I would rather not.',
      '{"steps":[]}',
    ]);
    const keyFile = join(root, '..', 'model-key');
    writeFileSync(keyFile, 'sk-secret\n');
    await using backend = await agent('agent-database', {
      FLOTILLA_AGENT_MODEL_URL: server.url,
      FLOTILLA_AGENT_MODEL_NAME: 'small',
      FLOTILLA_AGENT_MODEL_KEY_FILE: keyFile,
    });
    const wish = { requires: ['database'], goal: 'Six times seven.', title: 'Compute' };

    // Refused: the profile may not run Python. The first answer was 500, which is tried again.
    const without = await ended(await make(wish));
    const writing = await ended(await make(wish));
    const talking = await ended(await make({ ...wish, max_attempts: 1 }));
    const empty = await ended(await make({ ...wish, max_attempts: 1 }));

    expect(without.status_reason).toMatch(/agent-database may not call run_python_code: .*python:write/);
    expect(without.failures).toBe(2);
    expect(writing.status_reason).toMatch(/agent-database may not call write_file/);
    expect(talking.status_reason).toBe('The model answered with what is no JSON.');
    expect(empty.status_reason).toMatch(/The model's plan is none/);
    const { url, key, body } = server.heard[0] as Heard;
    expect(url).toBe('/v1/chat/completions');
    expect(key).toBe('Bearer sk-secret');
    expect(body.model).toBe('small');
    const told = JSON.parse(body.messages[1].content);
    expect(told).toMatchObject({ task: 'Compute', goal: 'Six times seven.' });
    expect(told.tools.map(({ name }: Json) => name)).toContain('read_text_file');
    expect(JSON.stringify(await healthOf(backend))).not.toContain('sk-secret');
  });

  test('has no half of a model: the process says what is missing, and does not start', async () => {
    await expect(agent('agent-devops', { FLOTILLA_AGENT_MODEL_NAME: 'small' })).rejects.toThrow(
      /takes both FLOTILLA_AGENT_MODEL_URL and FLOTILLA_AGENT_MODEL_NAME/,
    );
  });

  test('is carried out where the profile may', async () => {
    await using server = await modelServer([JSON.stringify({ steps: [python('6*7', { save_as: 'it' })] })]);
    await using _backend = await agent('agent-backend', {
      FLOTILLA_AGENT_MODEL_URL: server.url,
      FLOTILLA_AGENT_MODEL_NAME: 'small',
    });

    const task = await ended(await make({ requires: ['backend'], goal: 'Six times seven.' }));

    expect(task.result).toMatchObject({
      by: 'agent-backend',
      steps: 1,
      saved: { it: { return_value: '42' } },
    });
    expect(server.heard[0]?.key).toBeUndefined();
  });
});

test('the token of an agent may do what its profile says, and its secret is in no backup', async () => {
  const { tokens } = JSON.parse(readFileSync(join(fleet.gateway.dataRoot, 'tokens.json'), 'utf8'));

  expect(tokens.find(({ name }: Json) => name === 'agent-qa').scope).toEqual([
    'orchestrator:write',
    'python:write',
    'filesystem:read',
    'git:read',
    'sqlite:read',
  ]);
  expect((await loadService('agent-qa')).secretFiles).toEqual(['own-token']);
});
