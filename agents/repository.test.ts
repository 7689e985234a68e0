/** Tasks on real repositories, through a real gateway, git service and orchestrator. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import git from '../services/git/service.ts';
import orchestrator from '../services/orchestrator/service.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { callTool } from '../tests/support/rpc.ts';
import { temporaryFolder } from '../tests/support/serve.ts';
import { plainGit } from './agents.fixture.ts';
import { giveUpLeft, mergeOrReport, watchMerges } from './integration.ts';
import { mostAnswerBytes } from './limits.ts';
import { mergeNotes } from './merge-notes.ts';
import { commit, onRepository, prepare, type CallTool, type RepositoryTask } from './repository.ts';

const stack = new AsyncDisposableStack();
const root = realpathSync(stack.use(temporaryFolder()).path);
let fleet: Fronted;

beforeAll(async () => {
  // Each git starts sooner without its sandbox, which the tests of git try.
  const settings = { FLOTILLA_ROOTS: root, FLOTILLA_GIT_SANDBOX: 'off' };
  fleet = stack.use(await serveBehind([orchestrator, git], { settings }));
  await call('register_worker', { worker: 'ada', capabilities: ['git'], most_tasks: 5 });
});
afterAll(async () => stack.disposeAsync());

const call: CallTool = async (tool, args) => {
  const { result, error } = await callTool(fleet.gateway, tool, args);
  const told = result as { isError?: boolean; structuredContent?: object; content?: { text: string }[] };
  if (error || told.isError) throw new Error(`${tool}: ${error?.message ?? told.content?.[0]?.text}`);
  return told.structuredContent as Readonly<Record<string, unknown>>;
};

let count = 0;
/** Copied from the first: files cost less than processes. */
function newRepository(): string {
  count += 1;
  const folder = join(root, `shop-${count}`);
  if (count > 1) cpSync(join(root, 'template'), folder, { recursive: true });
  else {
    mkdirSync(folder);
    writeFileSync(join(folder, 'price.txt'), 'one\ntwo\nthree\n');
    plainGit(folder, 'init', '--quiet', '--template=', '--initial-branch=main');
    plainGit(folder, 'add', '--all');
    plainGit(folder, 'commit', '--quiet', '--message=first');
    cpSync(folder, join(root, 'template'), { recursive: true });
  }
  return folder;
}

interface Claimed {
  readonly task: RepositoryTask;
  readonly held: { readonly task_id: string; readonly fence: number };
}

async function claim(more: object = {}): Promise<Claimed> {
  const { tasks } = await call('claim_tasks', { worker: 'ada', ...more });
  const [told] = tasks as { task_id: string; lease: { fence: number } }[];
  const task = onRepository(told);
  if (!told || !task) throw new Error('There is no task on a repository.');
  return { task, held: { task_id: told.task_id, fence: told.lease.fence } };
}

async function claimed(repository: object, title = 'Raise the price'): Promise<Claimed> {
  await call('create_tasks', { tasks: [{ title, repository, refs: ['#7'], requires: ['git'] }] });
  return claim();
}

/** A task whose branch has a commit that changes a file, and that waits to be merged. */
async function committed(
  repository: { readonly path: string; readonly integration?: 'auto' },
  content: string,
): Promise<RepositoryTask> {
  const { task, held } = await claimed(repository);
  const place = await prepare(call, task);
  writeFileSync(join(place.path, 'price.txt'), content);
  await commit(call, task, place, 'Raise the price');
  await call('complete_task', held);
  return task;
}

const stateOf = async ({ task_id: id }: Pick<RepositoryTask, 'task_id'>) =>
  (await call('get_task', { task_id: id }))['task'] as { status: string; git: Record<string, unknown> };

describe('Before and during the work', () => {
  test('a task gets a worktree beside the repository, and commits with its trailers', async () => {
    const path = newRepository();
    const { task, held } = await claimed({ path });

    const place = await prepare(call, task);
    writeFileSync(join(place.path, 'new.txt'), 'new\n');
    const hash = await commit(call, task, place, 'Add a file', 'Ada <ada@example.com>');
    const nothing = await commit(call, task, place, 'Nothing');
    await call('release_task', held);
    await call('cancel_task', { task_id: task.task_id });

    expect(place).toEqual({
      path: `${path}.worktrees/${task.task_id}-raise-the-price`,
      branch: `task/${task.task_id}-raise-the-price`,
      base: 'main',
      isResumed: false,
    });
    expect(plainGit(path, 'log', '-1', '--format=%H %an%n%B', place.branch)).toBe(
      `${hash} Ada\nAdd a file\n\nTask-Id: ${task.task_id}\nRefs: #7`,
    );
    expect(plainGit(path, 'log', '-1', '--format=%(trailers:key=Task-Id,valueonly)', place.branch)).toBe(
      task.task_id,
    );
    expect(nothing).toBeUndefined();
    expect(plainGit(path, 'status', '--porcelain')).toBe('');
  });

  test('whoever takes over finds what was committed, and what was not is put aside', async () => {
    const path = newRepository();
    const { task, held } = await claimed({ path });
    const first = await prepare(call, task);
    writeFileSync(join(first.path, 'price.txt'), 'committed\n');
    await commit(call, task, first, 'Half of it');
    writeFileSync(join(first.path, 'price.txt'), 'half writ');
    writeFileSync(join(first.path, 'untracked.txt'), 'half');
    await call('release_task', held);

    const { task: again, held: now } = await claim();
    const second = await prepare(call, again);
    await call('fail_task', { ...now, error: { message: 'enough', retryable: false } });

    expect(second).toEqual({ ...first, isResumed: true });
    expect(readFileSync(join(second.path, 'price.txt'), 'utf8')).toBe('committed\n');
    expect(plainGit(path, 'stash', 'list')).toContain(`${task.task_id}: left by an earlier attempt`);
  });

  test('without a worktree the branch is checked out, unless something would come along', async () => {
    const path = newRepository();
    const { task, held } = await claimed({ path, mode: 'branch' });
    writeFileSync(join(path, 'price.txt'), 'not committed\n');
    await expect(prepare(call, task)).rejects.toThrow('changes that are in no commit');
    plainGit(path, 'checkout', '--quiet', '--', 'price.txt');

    const place = await prepare(call, task);
    await call('fail_task', { ...held, error: { message: 'enough', retryable: false } });
    const other = await claimed({ path, mode: 'branch' });
    const refused = prepare(call, other.task);

    expect(place).toMatchObject({ path, base: 'main' });
    expect(plainGit(path, 'branch', '--show-current')).toBe(place.branch);
    await expect(refused).rejects.toThrow('what the branch is to be merged into');
    await call('fail_task', { ...other.held, error: { message: 'enough', retryable: false } });
  });
});

describe('Two tasks that check out their branches in one folder', () => {
  test('do not meet, though the folder has two names, and what the first left is put aside for it', async () => {
    const path = newRepository();
    const link = `${path}-link`;
    symlinkSync(path, link);
    const one = await claimed({ path, base: 'main', mode: 'branch' });
    const two = await claimed({ path: link, base: 'main', mode: 'branch' });
    await prepare(call, one.task);
    writeFileSync(join(path, 'price.txt'), 'half writ');

    const refused = prepare(call, two.task);
    await expect(refused).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`the task ${one.task.task_id} is at work there`),
    });
    const untouched = readFileSync(join(path, 'price.txt'), 'utf8');
    await call('fail_task', { ...one.held, error: { message: 'enough', retryable: false } });
    await prepare(call, two.task);

    expect(untouched).toBe('half writ');
    expect(plainGit(path, 'branch', '--show-current')).toBe(two.task.git.branch);
    expect(plainGit(path, 'status', '--porcelain')).toBe('');
    expect(plainGit(path, 'stash', 'list')).toContain(`${one.task.task_id}: left by an earlier attempt`);
    await call('fail_task', { ...two.held, error: { message: 'enough', retryable: false } });
  });
});

describe('A merge whose process is killed in the middle', () => {
  const killed: CallTool = async (tool, args) => {
    if (tool === 'git_merge' && args['mode'] === 'abort') throw new Error('killed');
    return call(tool, args);
  };

  async function left() {
    const path = newRepository();
    const task = await committed({ path, integration: 'auto' }, 'one\ntwo\nTHREE\n');
    writeFileSync(join(path, 'price.txt'), 'one\ntwo\n3\n');
    plainGit(path, 'commit', '--quiet', '--all', '--message=Another change');
    const file = join(root, `merges-${count}.json`);
    await expect(mergeOrReport(killed, task, { notes: mergeNotes(file, () => Date.now()) })).rejects.toThrow(
      'killed',
    );
    expect(existsSync(join(path, '.git/MERGE_HEAD'))).toBe(true);
    return { path, task, file };
  }

  test('is given up at the next look, and tried again', async () => {
    const { path, task, file } = await left();
    const notes = mergeNotes(file, () => Date.now());

    const given = [];
    for (const one of notes.left()) {
      given.push(await giveUpLeft(call, one));
      notes.end(one.path);
    }

    expect(given).toEqual([true]);
    expect(plainGit(path, 'status', '--porcelain')).toBe('');
    expect(mergeNotes(file, () => Date.now()).left()).toEqual([]);
    expect(await mergeOrReport(call, task, { notes })).toMatchObject({ state: 'conflicts' });
    expect(notes.left()).toEqual([]);
    await call('cancel_task', { task_id: task.task_id });
  });

  test('is left alone where a person is at another merge, and long after', async () => {
    const { path, task, file } = await left();
    const [begun] = mergeNotes(file, () => Date.now()).left();
    plainGit(path, 'merge', '--abort');
    plainGit(path, 'checkout', '--quiet', '-b', 'mine', 'HEAD~1');
    writeFileSync(join(path, 'price.txt'), 'mine\n');
    plainGit(path, 'commit', '--quiet', '--all', '--message=Mine');
    plainGit(path, 'checkout', '--quiet', 'main');
    expect(() => plainGit(path, 'merge', 'mine')).toThrow('git merge mine');

    const isGivenUp = begun && (await giveUpLeft(call, begun));

    expect(isGivenUp).toBe(false);
    expect(existsSync(join(path, '.git/MERGE_HEAD'))).toBe(true);
    expect(mergeNotes(file, () => Date.now() + 3_600_001).left()).toEqual([]);
    writeFileSync(file, '{"no": "list"}');
    expect(mergeNotes(file, () => Date.now()).left()).toEqual([]);
    await call('cancel_task', { task_id: task.task_id });
  });
});

describe('The worktree of a merged task', () => {
  test.each([
    ['is removed where nobody but agents was at it', true, false, undefined],
    ['stays where another worker was at it', false, false, undefined],
    ['stays where something in it is in no commit', true, true, /in no commit/],
  ])('%s', async (_what, isOurs, hasMore, words) => {
    const path = newRepository();
    const { task_id: id, git } = await committed({ path }, 'four\n');
    const place = git.worktree ?? '';
    plainGit(path, 'merge', '--quiet', '--no-ff', '--message=Merge it', git.branch);
    if (hasMore) writeFileSync(join(place, 'more.txt'), 'more');

    const seen = await watchMerges(call, { isOurs: (worker) => isOurs && worker === 'ada' });

    const [{ outcome }] = seen as [(typeof seen)[number]];
    expect(outcome).toMatchObject({ state: 'merged' });
    expect((outcome as { kept?: string }).kept ?? '').toMatch(words ?? /^$/);
    expect(existsSync(place)).toBe(!isOurs || hasMore);
    expect(await stateOf({ task_id: id })).toMatchObject({ status: 'completed' });
  });
});

describe('After the work', () => {
  test('a branch that a person has merged completes its task', async () => {
    const path = newRepository();
    const task = await committed({ path }, 'four\n');
    const before = await mergeOrReport(call, task);
    plainGit(path, 'merge', '--quiet', '--no-ff', '--message=Merge it', task.git.branch);

    const [seen, ...more] = await watchMerges(call);

    expect(before).toEqual({ state: 'waiting', reason: `${task.git.branch} is not merged into main.` });
    expect(seen?.outcome).toEqual({ state: 'merged', commit: plainGit(path, 'rev-parse', task.git.branch) });
    expect(more).toEqual([]);
    expect(await stateOf(task)).toMatchObject({ status: 'completed' });
    expect(await mergeOrReport(call, task)).toEqual(seen?.outcome);
  });

  test('a squashed merge is known by its trailer, also when the branch is gone', async () => {
    const path = newRepository();
    const task = await committed({ path }, 'five\n');
    plainGit(path, 'merge', '--quiet', '--squash', task.git.branch);
    plainGit(path, 'commit', '--quiet', '--no-edit');
    plainGit(path, 'worktree', 'remove', task.git.worktree ?? '');
    plainGit(path, 'branch', '--quiet', '-D', task.git.branch);

    const outcome = await mergeOrReport(call, task);

    expect(outcome).toEqual({ state: 'merged', commit: plainGit(path, 'rev-parse', 'main') });
    expect(await stateOf(task)).toMatchObject({ status: 'completed' });
  });

  test('a branch that went on after a part of it was merged is not merged', async () => {
    const path = newRepository();
    const task = await committed({ path }, 'six\n');
    plainGit(path, 'merge', '--quiet', task.git.branch);
    const place = await prepare(call, task);
    writeFileSync(join(place.path, 'price.txt'), 'six and a half\n');
    await commit(call, task, place, 'The rest');

    expect(await mergeOrReport(call, task)).toMatchObject({ state: 'waiting' });
    await call('cancel_task', { task_id: task.task_id });
  });

  test('a branch without a commit is not taken for merged', async () => {
    const { task, held } = await claimed({ path: newRepository() });
    await prepare(call, task);
    await call('complete_task', held);

    const outcome = await mergeOrReport(call, task);

    expect(outcome).toEqual({ state: 'waiting', reason: `There is no commit on ${task.git.branch} yet.` });
    await call('cancel_task', { task_id: task.task_id });
  });

  test('where the task says so it is merged; with conflicts it goes back to work, and is merged when they are mended', async () => {
    const path = newRepository();
    const task = await committed({ path, integration: 'auto' }, 'one\ntwo\nTHREE\n');
    writeFileSync(join(path, 'price.txt'), 'one\ntwo\n3\n');
    const dirty = await mergeOrReport(call, task);
    plainGit(path, 'commit', '--quiet', '--all', '--message=Another change');

    const conflict = await mergeOrReport(call, task);
    const status = plainGit(path, 'status', '--porcelain');
    const { task: again, held } = await claim();
    const place = await prepare(call, again);
    const meeting = await call('git_merge', { repo_path: place.path, branch: place.base });
    writeFileSync(join(place.path, 'price.txt'), 'one\ntwo\nTHREE (3)\n');
    await commit(call, again, place, 'Keep both');
    await call('complete_task', held);
    const [merged] = await watchMerges(call);

    expect(dirty).toMatchObject({ state: 'waiting', reason: expect.stringContaining('in no commit') });
    expect(conflict).toEqual({ state: 'conflicts', files: ['price.txt'] });
    expect(status).toBe('');
    expect(again.task_id).toBe(task.task_id);
    expect(meeting).toMatchObject({ outcome: 'conflicts', conflicts: ['price.txt'] });
    expect(merged?.outcome).toEqual({ state: 'merged', commit: plainGit(path, 'rev-parse', 'main') });
    expect(await stateOf(task)).toMatchObject({ status: 'completed' });
    expect(plainGit(path, 'show', 'main:price.txt')).toBe('one\ntwo\nTHREE (3)');
  });

  test('a repository that cannot be looked at keeps its task waiting, and no other', async () => {
    const lost = await committed({ path: newRepository() }, 'seven\n');
    const path = newRepository();
    const task = await committed({ path, integration: 'auto' }, 'eight\n');
    rmSync(lost.repository.path, { recursive: true });

    const seen = await watchMerges(call);

    expect(seen.map(({ outcome }) => outcome.state)).toEqual(['waiting', 'merged']);
    expect(await stateOf(task)).toMatchObject({ status: 'completed' });
    await call('cancel_task', { task_id: lost.task_id });
  });

  test('a task that goes while it is looked at keeps no other waiting', async () => {
    const { project } = await call('create_project', {
      name: 'Goes',
      tasks: [{ title: 'x', repository: { path: newRepository() }, requires: ['git'] }],
    });
    const { project_id: id } = project as { project_id: string };
    const gone = await claim();
    await call('complete_task', gone.held);
    const { task, held } = await claimed({ path: newRepository() });
    await call('complete_task', held);

    const seen = await watchMerges(async (tool, args) => {
      const answer = await call(tool, args);
      if (tool !== 'list_tasks') return answer;
      await call('cancel_project', { project_id: id });
      await expect.poll(async () => (await stateOf(gone.task)).status).toBe('cancelled');
      await call('delete_project', { project_id: id });
      await expect.poll(async () => stateOf(gone.task).catch(() => 'gone')).toBe('gone');
      return answer;
    });

    expect(seen.map(({ outcome }) => outcome)).toMatchObject([
      { state: 'waiting', reason: expect.stringContaining(gone.task.task_id) },
      { state: 'waiting', reason: expect.stringContaining(task.git.branch) },
    ]);
    await call('cancel_task', { task_id: task.task_id });
  });

  test('of a task whose work and result are long, so much is asked for as an agent reads', async () => {
    const repository = { path: newRepository() };
    await call('create_tasks', {
      tasks: [{ title: 'Long', repository, requires: ['git'], description: 'x'.repeat(1_040_000) }],
    });
    const { task, held } = await claim({ max_bytes: mostAnswerBytes });
    await call('complete_task', { ...held, result: { long: 'x'.repeat(1_048_000) } });
    let longest = 0;

    const [seen] = await watchMerges(async (tool, args) => {
      const answer = await call(tool, args);
      longest = Math.max(longest, JSON.stringify(answer).length);
      return answer;
    });

    expect(seen?.outcome).toMatchObject({ reason: expect.stringContaining(task.git.branch) });
    expect(longest).toBeLessThan(mostAnswerBytes - 500_000);
  });
});

test('only a task with a repository is worked on in one', () => {
  expect(onRepository({ task_id: 't1-aaaa', title: 'Plain' })).toBeUndefined();
  expect(onRepository(undefined)).toBeUndefined();
});
