/**
 * `coder.ts NAME RUN`: stands for a coding agent, such as Claude Code or Codex. Claims tasks from the list and does each in a worktree of its
 * own until it is ended. It writes files itself, as these do; git and the list it reaches as they do, by MCP through the gateway.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { commit, onRepository, prepare, type Place, type RepositoryTask } from '../../agents/repository.ts';
import { connect, nameOf, reach, say, type Answer } from '../fleet.ts';
import { features, jobs, joined, type Job } from './jobs.ts';

const [who = '', run = ''] = process.argv.slice(2);
const worker = nameOf(who, run);
const author = `${who} <${who}@example.com>`;
/** So that a person can follow it. */
const thinkingMs = 700;

process.on('disconnect', () => process.exit());
await using fleet = await connect('gateway');
const { call } = fleet;

async function save(task: RepositoryTask, place: Place, message: string): Promise<void> {
  const hash = await commit(call, task, place, message, author);
  if (hash !== undefined) say(`commits ${hash.slice(0, 7)} “${message}”, with Task-Id: ${task.task_id}`);
}

/** What is there of an earlier attempt is not written again. */
async function write(task: RepositoryTask, place: Place, job: Job): Promise<void> {
  const [list, file] = [join(place.path, features), join(place.path, job.file)];
  if (job.feature !== undefined) writeFileSync(list, joined(readFileSync(list, 'utf8'), job.feature));
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const left = job.chapters.filter((chapter) => !before.includes(`## ${chapter}\n`));
  for (const chapter of left) {
    appendFileSync(file, `## ${chapter}\n\nThis chapter is not fin`);
    if (job.key === 'guide' && chapter === job.chapters.at(-1)) reach('half written');
    await sleep(thinkingMs);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace(/This chapter is not fin$/, `By ${who}.\n\n`));
    await save(task, place, chapter);
  }
}

/** As the guidance says: bring the branch up to its base, and keep what both sides meant. */
async function mend(task: RepositoryTask, place: Place): Promise<void> {
  const { conflicts } = await call('git_merge', { repo_path: place.path, branch: place.base });
  say(`brings its branch up to ${place.base}: both have changed ${conflicts.join(', ')}`);
  await sleep(thinkingMs);
  const sideOf = async (revision: string) =>
    (await call('git_show_file', { repo_path: place.path, revision, path: features }))['content'] as string;
  const both = joined(await sideOf('HEAD'), await sideOf(place.base));
  writeFileSync(join(place.path, features), both);
  say(`keeps what both meant: “${both.trim()}”`);
  await save(task, place, `Merge ${place.base}, with the features of both`);
}

async function work(told: Answer): Promise<void> {
  const task = onRepository(told);
  const job = jobs.find(({ title }) => title === told['title']);
  if (!task || !job) throw new Error(`${told['task_id']} is no task of this example.`);
  const held = { task_id: task.task_id, fence: told['lease'].fence };
  const renewing = setInterval(() => void call('renew_lease', held).catch(() => {}), 1_000);
  try {
    const place = await prepare(call, task);
    const { conflict, guidance } = told['git'];
    if (conflict) {
      const [why = ''] = String(guidance).split('. ');
      say(`claims “${task.title}”, and is told: “${why}”`);
      await mend(task, place);
    } else {
      say(
        place.isResumed
          ? `takes “${task.title}” over: what was committed is there, what was half-written is put aside`
          : `claims “${task.title}”: a worktree of its own, on ${place.branch}`,
      );
      await write(task, place, job);
    }
    await call('complete_task', { ...held, result: { branch: place.branch } });
  } finally {
    clearInterval(renewing);
  }
}

await call('register_worker', {
  worker,
  capabilities: [`coding-${run}`],
  most_tasks: 1,
  description: `Stands for ${who}.`,
});
for (;;) {
  const { tasks } = await call('claim_tasks', { worker, wait_seconds: 10 });
  for (const task of tasks) await work(task);
}
