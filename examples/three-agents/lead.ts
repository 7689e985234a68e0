/** `lead.ts RUN REPOSITORY`: gives out the tasks, sees to it that each is done, whoever is killed meanwhile, and tells how it went. */
import { setTimeout as sleep } from 'node:timers/promises';

import { connect, nameOf, reach, say, type Answer } from '../fleet.ts';
import { whoIs, type Task } from './task.ts';

const [run = '', repository = ''] = process.argv.slice(2);
const name = nameOf('lead', run);
const capability = `write-${run}`;
const tasks: readonly Task[] = [
  { file: 'guide.md', title: 'How to begin' },
  { file: 'guide.md', title: 'How to go on' },
  { file: 'questions.md', title: 'Questions that come up' },
  { file: 'news.md', title: 'What is new' },
];
const titles = new Map(tasks.map(({ title }, at) => [`task-${at}`, title]));

process.on('disconnect', () => process.exit());
await using hub = await connect('hub');
await using git = await connect('git');

await hub.call('register_agent', { name, description: 'Gives out chapters.' });
await hub.call('subscribe_topic', { agent: name, topic: 'hub.agents' });

async function writersHere(): Promise<string[]> {
  const { agents } = await hub.call('list_agents', { capability, state: 'here' });
  return agents.map((agent: Answer) => agent['name']);
}

async function giveOut(): Promise<void> {
  while ((await writersHere()).length < 2) await sleep(50);
  say(`asks whoever can write for ${tasks.length} chapters`);
  const { results } = await hub.call('send_messages', {
    messages: tasks.map((task, at) => ({
      from: name,
      capability,
      id: `task-${at}`,
      type: 'request',
      correlation_id: run,
      body: { text: `Write “${task.title}”`, params: task },
    })),
  });
  for (const { id, delivered_to: to } of results) say(`  ${titles.get(id)} → ${whoIs(to[0])}`);
}

/** What a writer has not finished, the hub has given to another one that can write. */
async function takeOut(gone: string): Promise<void> {
  say(`hears from the hub that ${whoIs(gone)} is gone: nobody else has its reservations any more`);
  const heirs = await writersHere();
  await hub.call('unregister_agent', { name: gone });
  say(`  what ${whoIs(gone)} had not finished → ${heirs.map(whoIs).join(', ')}`);
}

async function untilDone(): Promise<void> {
  const done = new Set<string>();
  while (done.size < tasks.length) {
    const { messages } = await hub.call('receive_messages', { agent: name, wait_seconds: 5 });
    for (const { type, body, reply_to: task } of messages) {
      if (type === 'response') {
        done.add(task);
        say(`is told: ${body.text} (${done.size} of ${tasks.length})`);
      } else if (body.event === 'agent_gone' && body.agent.endsWith(`-${run}`)) await takeOut(body.agent);
    }
    const receipts = messages.map(({ receipt }: Answer) => receipt);
    if (receipts.length > 0) await hub.call('acknowledge_messages', { agent: name, receipts });
  }
}

async function report(): Promise<void> {
  const { commits } = await git.call('git_log', { repo_path: repository });
  const { is_clean: isClean } = await git.call('git_status', { repo_path: repository });
  say(
    `sees ${commits.length} commits, and ${isClean ? 'nothing half-written' : 'changes that are in no commit'}:`,
  );
  for (const { hash, message } of commits.toReversed()) say(`  ${hash.slice(0, 7)} ${message.trim()}`);
  const { summary } = await hub.call('get_thread', { correlation_id: run, limit: 1 });
  say(
    `reads in the history: ${summary.messages} messages, ${summary.unanswered.length} requests without an answer`,
  );
}

await giveOut();
await untilDone();
await report();
reach('done');
