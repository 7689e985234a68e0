/**
 * Two coding agents work through one list of tasks in one repository, each in worktrees of its own. Two tasks collide, and one agent is
 * killed. Uses the fleet that runs, or starts one for as long as this takes.
 */
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';

import { watchMerges } from '../../agents/integration.ts';
import type { CallTool } from '../../agents/repository.ts';
import { connect, nameOf, Refusal, type Answer } from '../fleet.ts';
import { Agent, showing, stage } from '../stage.ts';
import { features, jobs } from './jobs.ts';

const run = randomBytes(3).toString('hex');
const coders = ['claude', 'codex'] as const;
const leaseSeconds = 6;
const show = showing({ lead: 'cyan', claude: 'magenta', codex: 'green' });

/** In the first of the folders that the operator has named: a relative path begins there. */
async function makeRepository(call: CallTool): Promise<string> {
  const name = `two-coding-agents-${run}`;
  await call('git_init', { repo_path: name, initial_branch: 'main' });
  const { worktrees } = (await call('git_worktree', { repo_path: name })) as Answer;
  const path = worktrees[0].path as string;
  writeFileSync(join(path, features), 'features: cart\n');
  await call('git_commit', {
    repo_path: path,
    message: 'A shop with a cart',
    files: [features],
    author: 'lead <lead@example.com>',
  });
  return path;
}

/** @returns the project. */
async function handOut(call: CallTool, path: string): Promise<string> {
  const { project } = (await call('create_project', {
    name: `Shop ${run}`,
    tasks: jobs.map(({ key, title, description, needs = [] }) => ({
      key,
      title,
      description,
      depends_on: needs,
      requires: [`coding-${run}`],
      repository: { path, base: 'main', integration: 'auto' },
      refs: [`shop-${run}`],
      lease_seconds: leaseSeconds,
    })),
  })) as Answer;
  show('lead', `puts ${jobs.length} tasks on the list; the last one needs the other three to be merged`);
  return project.project_id as string;
}

/** Merges what is finished, until all is in. */
async function lead(call: CallTool, project: string): Promise<void> {
  for (let count = 0; count < jobs.length;) {
    for (const { title, outcome } of await watchMerges(call, { project })) {
      if (outcome.state === 'merged') {
        count += 1;
        show('lead', `merges “${title}” as ${outcome.commit.slice(0, 7)} (${count} of ${jobs.length})`);
      } else if (outcome.state === 'conflicts')
        show(
          'lead',
          styleText(
            'yellow',
            `cannot merge “${title}”: conflicts in ${outcome.files.join(', ')}. It goes back on the list`,
          ),
        );
      else show('lead', `waits: ${outcome.reason}`);
    }
    await sleep(200);
  }
}

async function report(call: CallTool, path: string): Promise<void> {
  const { commits } = (await call('git_log', { repo_path: path, max_count: 50 })) as Answer;
  show('lead', `sees ${commits.length} commits on main, the newest first:`);
  for (const { hash, author, message } of commits) {
    const [subject = ''] = message.split('\n');
    const [, id = ''] = /^Task-Id: (\S+)$/m.exec(message) ?? [];
    show('', `  ${hash.slice(0, 7)}  ${id.padEnd(8)}  ${author.padEnd(8)}  ${subject}`);
  }
  const { content } = (await call('git_show_file', { repo_path: path, path: features })) as Answer;
  show('lead', `reads in ${features}: “${content.trim()}”`);
}

async function leaveNothing(path: string, project: string | undefined): Promise<void> {
  await using fleet = await connect('gateway');
  for (const who of coders)
    await fleet.call('remove_worker', { worker: nameOf(who, run) }).catch((error: unknown) => {
      if (!(error instanceof Refusal) || error.code !== 'not_found') throw error;
    });
  if (project !== undefined) await fleet.call('cancel_project', { project_id: project });
  for (const folder of [path, `${path}.worktrees`]) rmSync(folder, { recursive: true, force: true });
}

await stage(['gateway', 'orchestrator', 'git'], show, async (stack) => {
  const fleet = stack.use(await connect('gateway'));
  const { call } = fleet;
  const path = await makeRepository(call);
  let project: string | undefined;
  stack.defer(async () => leaveNothing(path, project));
  project = await handOut(call, path);
  const agents = coders.map((who) => {
    const agent = stack.use(new Agent(who, new URL('./coder.ts', import.meta.url), [who, run], show));
    return { who, agent };
  });
  const merging = lead(call, project);
  const killing = async () => {
    const { who, agent } = await Promise.race(
      agents.map(async (one) => one.agent.reaches('half written').then(() => one)),
    );
    await agent.kill();
    show(
      '',
      styleText(
        'red',
        `✗ ${who} is killed in the middle of guide.md. Its lease ends in ${leaseSeconds} seconds.`,
      ),
    );
  };
  await Promise.all([merging, killing()]);
  await report(call, path);
  show('', styleText('green', '✓ Four tasks, one conflict mended, one agent killed, nothing lost.'));
});
