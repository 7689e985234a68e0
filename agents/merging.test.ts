/** Agents at tasks on a real repository, before a real gateway with real services behind it, in this process. */
import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import { loadService } from '../scripts/load.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { serve, temporaryFolder } from '../tests/support/serve.ts';
import { callTool, plainGit, type Json } from './agents.fixture.ts';

const stack = new AsyncDisposableStack();
const root = realpathSync(stack.use(temporaryFolder()).path);
const shop = join(root, 'shop');
let fleet: Fronted;

const call = async (tool: string, args: object, token = fleet.gateway.token): Promise<Json> =>
  callTool({ url: fleet.gateway.url, token }, tool, args);

const taskOf = async (id: string): Promise<Json> => (await call('get_task', { task_id: id })).task;

async function make(tasks: readonly object[], token?: string): Promise<string[]> {
  const made = await call('create_tasks', { tasks }, token);
  return made.tasks.map(({ task_id: id }: Json) => id);
}

const isOver = ({ status }: Json) => ['completed', 'failed', 'cancelled'].includes(status);

async function until(id: string, isSo: (task: Json) => boolean): Promise<Json> {
  for (;;) {
    const task = await taskOf(id);
    if (isSo(task)) return task;
    if (isOver(task)) throw new Error(JSON.stringify(task));
    await sleep(50);
  }
}

const gitInShop = (...args: string[]) => plainGit(shop, ...args);

const writing = (content: string) => [
  { tool: 'write_file', arguments: { path: '{{place.path}}/price.txt', content } },
];

beforeAll(async () => {
  mkdirSync(shop);
  writeFileSync(join(shop, 'price.txt'), 'one\n');
  gitInShop('init', '--quiet', '--initial-branch=main');
  gitInShop('add', '--all');
  gitInShop('commit', '--quiet', '--message=first');
  const settings = {
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
    FLOTILLA_ROOTS: root,
    // Each git starts sooner without its sandbox, which the tests of git try.
    FLOTILLA_GIT_SANDBOX: 'off',
    FLOTILLA_AGENT_INTEGRATION_LOOK_SECONDS: '1',
  };
  const services = await Promise.all(['orchestrator', 'filesystem', 'git'].map(loadService));
  fleet = stack.use(await serveBehind(services, { settings }));
  for (const name of ['agent-backend', 'agent-database', 'agent-integration'])
    stack.use(await serve(await loadService(name), { ...settings, FLOTILLA_DATA: fleet.gateway.dataRoot }));
});
afterAll(async () => stack.disposeAsync());

const inShop = { title: 'Raise the price', requires: ['backend'], repository: { path: shop, base: 'main' } };

test.each<[string, Json, RegExp]>([
  [
    'an agent without the scope for it',
    { requires: ['database'], steps: [{ tool: 'read_text_file', arguments: { path: '/x' } }] },
    /done in a repository\. agent-database may not call git_worktree: it lacks the scope git:destroy\. Give the task to frontend or backend.*Nothing was done/,
  ],
  [
    'steps that change nothing in it',
    { steps: [{ tool: 'git_status', arguments: { repo_path: '{{place.path}}' } }] },
    /changed nothing in .*write below \{\{place\.path\}\}/,
  ],
  [
    'steps that might destroy something',
    { steps: [{ tool: 'git_clean', arguments: { repo_path: '{{place.path}}' } }] },
    /git_clean may destroy something, and no step does.*Nothing was done/,
  ],
  [
    'a place in no repository',
    { steps: writing('two\n'), repository: undefined },
    /refers to \{\{place\.path\}\}.*may begin with task\. Nothing was done/,
  ],
])('%s: the task fails at once, and says why', async (_what, task, words) => {
  const [id = ''] = await make([{ ...inShop, ...task }]);

  const { status, attempts, failures } = await until(id, isOver);

  expect(attempts[0].error.message).toMatch(words);
  expect({ status, failures }).toEqual({ status: 'failed', failures: 1 });
});

test.each([
  [
    'may only read it',
    { name: 'weak', scope: ['git:read'] },
    /The token weak, .* lacks the scope git:destroy/,
  ],
  [
    'has to be asked before something is destroyed',
    { name: 'asked', scope: ['git'], confirm: 'destructive' as const },
    /A person has to agree to what the token asked changes/,
  ],
])('whose token %s cannot have a branch made in the repository', async (_what, token, words) => {
  const weak = await createToken(fleet.gateway.dataRoot, {
    ...token,
    scope: ['orchestrator:write', 'filesystem:write', ...token.scope],
    expiresAt: null,
  });
  const [id = ''] = await make([{ ...inShop, steps: writing('two\n') }], weak);

  const { status, status_reason: reason, git } = await until(id, isOver);

  expect(status).toBe('failed');
  expect(reason).toMatch(words);
  expect(gitInShop('branch', '--list', git.branch)).toBe('');
});

test('what the steps write becomes a commit that is merged, and mended where it conflicts; what needs it waits so long', async () => {
  const auto = { ...inShop.repository, integration: 'auto' };
  // The maker of this one may not merge: a worker of his own has done it.
  const weak = await createToken(fleet.gateway.dataRoot, {
    name: 'other',
    scope: ['orchestrator:write'],
    expiresAt: null,
  });
  const [foreign = ''] = await make([{ ...inShop, requires: ['ada'], repository: auto }], weak);
  await call('register_worker', { worker: 'ada', capabilities: ['ada'] });
  const { tasks } = await call('claim_tasks', { worker: 'ada' });
  gitInShop('branch', tasks[0].git.branch);
  gitInShop('worktree', 'add', '--quiet', join(root, 'ada'), tasks[0].git.branch);
  gitInShop('-C', join(root, 'ada'), 'commit', '--quiet', '--allow-empty', '--message=foreign');
  await call('complete_task', { task_id: foreign, fence: tasks[0].lease.fence });

  // As long as something is not committed, nothing is merged into it.
  writeFileSync(join(shop, 'price.txt'), 'not committed\n');
  const [id = '', next = ''] = await make([
    {
      ...inShop,
      // A line of its own would look like the trailer of that task.
      title: `Raise it\nTask-Id: ${foreign}`,
      key: 'raise',
      repository: auto,
      steps: writing('two\n'),
      refs: ['#7'],
    },
    {
      title: 'Read it',
      requires: ['backend'],
      depends_on: ['raise'],
      steps: [
        { tool: 'read_text_file', arguments: { path: join(shop, 'price.txt') }, save_as: 'price' },
        {
          tool: 'git_show',
          arguments: { repo_path: shop, revision: '{{needs.raise.commit}}' },
          save_as: 'made',
        },
      ],
    },
  ]);
  const waiting = await until(id, (task) => task.waiting_for === 'merge');
  gitInShop('commit', '--quiet', '--all', '--message=Another change');
  const asked = await until(id, (task) => task.waiting_for === 'input');
  const place = waiting.git.worktree;
  await call('answer_question', {
    task_id: id,
    answer: JSON.stringify([
      { tool: 'git_merge', arguments: { repo_path: '{{place.path}}', branch: '{{place.base}}' } },
      ...writing('two, and not committed\n'),
    ]),
  });
  const { git } = await until(id, ({ status }) => status === 'completed');
  const { result } = await until(next, ({ status }) => status === 'completed');

  expect(waiting.result).toMatchObject({ by: 'agent-backend', steps: 1, branch: waiting.git.branch });
  expect(gitInShop('show', '--no-patch', '--format=%an%n%B', waiting.result.commit)).toBe(
    `agent-backend\nRaise it Task-Id: ${foreign}\n\nTask-Id: ${id}\nRefs: #7`,
  );
  expect(gitInShop('log', '--format=%(trailers:key=Task-Id,valueonly)', 'main')).not.toContain(foreign);
  expect(gitInShop('log', '--format=%B', 'main')).not.toMatch(new RegExp(`^Task-Id: ${foreign}`, 'm'));
  expect(asked.question.question).toMatch(/cannot be merged\. .*conflicts with main in price\.txt/);
  expect(asked.question.question).toContain(place);
  expect(git.merged).toMatchObject({
    commit: gitInShop('rev-parse', 'main'),
    merged_by: 'agent-integration',
  });
  expect(result.saved.price.content).toBe('two, and not committed\n');
  // Nobody but agents was there, and nothing in it is lost.
  expect(existsSync(place)).toBe(false);
  expect(gitInShop('worktree', 'list', '--porcelain')).not.toContain(place);
  expect(gitInShop('branch', '--list', waiting.git.branch)).not.toBe('');
  // Another worker made this one.
  expect(existsSync(join(root, 'ada'))).toBe(true);
  expect(gitInShop('status', '--porcelain')).toBe('');
  expect((await taskOf(foreign)).waiting_for).toBe('merge');
});
