/** `writer.ts NAME RUN REPOSITORY [catch-up]`: ada or ben. Takes tasks out of its mailbox, and writes chapters until it is ended. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { connect, nameOf, reach, Refusal, say, type Answer } from '../fleet.ts';
import { whoIs, type Task } from './task.ts';

const [who = '', run = '', repository = '', mode] = process.argv.slice(2);
const name = nameOf(who, run);
/** So that a person can follow it. */
const thinkingMs = 1_200;

process.on('disconnect', () => process.exit());
await using hub = await connect('hub');
await using filesystem = await connect('filesystem');
await using git = await connect('git');

await hub.call('register_agent', {
  name,
  description: 'Writes chapters.',
  capabilities: [`write-${run}`],
  timeout_seconds: 8,
  // A task that has to wait is not in the way of the next.
  mailbox: { ordered: false },
});
setInterval(() => void hub.call('send_heartbeat', { agent: name }).catch(() => {}), 1_000).unref();

/** @returns whether the file is its own until it releases it. */
async function reserve({ file, title }: Task): Promise<boolean> {
  const reservation = `file:${repository}/${file}`;
  try {
    await hub.call('reserve_names', { agent: name, names: [reservation], reason: title });
    return true;
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'conflict') throw error;
    const { reservations } = await hub.call('list_reservations', { beginning: reservation });
    const [holder] = reservations;
    if (holder) say(`cannot have ${file}: ${whoIs(holder.agent)} has reserved it for “${holder.reason}”`);
    return false;
  }
}

async function write({ file, title }: Task): Promise<string> {
  const path = join(repository, file);
  const { restored } = await git.call('git_restore', { repo_path: repository, files: [file] });
  if (restored.length > 0) say(`puts ${file} back as it was: somebody has left it half-written`);
  const before = readFileSync(path, 'utf8');
  await filesystem.call('write_file', { path, content: `${before}\n## ${title}\n\nThis chapter is not fin` });
  if (file === 'guide.md') reach('half written');
  await sleep(thinkingMs);
  await filesystem.call('write_file', { path, content: `${before}\n## ${title}\n\nBy ${who}.\n` });
  const { hash } = await git.call('git_commit', {
    repo_path: repository,
    message: `${title}, by ${who}`,
    files: [file],
    author: `${who} <${who}@example.com>`,
  });
  return hash.slice(0, 7);
}

async function work(message: Answer): Promise<void> {
  const task = message['body'].params as Task;
  await sleep(thinkingMs / 4);
  if (!(await reserve(task))) {
    const messages = [{ receipt: message['receipt'], reason: `${task.file} is reserved`, retry_seconds: 4 }];
    await hub.call('reject_messages', { agent: name, messages });
    return;
  }
  say(`reserves ${task.file} and writes “${task.title}”`);
  const commit = await write(task);
  await hub.call('send_message', {
    from: name,
    to: [nameOf('lead', run)],
    type: 'response',
    reply_to: message['id'],
    correlation_id: run,
    // Should it have to send it again, it is still one answer.
    id: `done:${message['id']}`,
    body: { text: `“${task.title}” is commit ${commit}`, result: { commit } },
  });
  await hub.call('release_names', { agent: name });
  await hub.call('acknowledge_messages', { agent: name, receipts: [message['receipt']] });
}

/** What was said while it was away comes into its mailbox once more. */
async function catchUp(): Promise<void> {
  const { replayed } = await hub.call('replay_messages', {
    agent: name,
    correlation_id: run,
    type: 'response',
  });
  say(`is back, and has ${replayed} messages of the conversation replayed:`);
  const { messages } = await hub.call('receive_messages', { agent: name, limit: 100 });
  for (const { from, body } of messages) say(`  ${whoIs(from)}: ${body.text}`);
  const receipts = messages.map(({ receipt }: Answer) => receipt);
  await hub.call('acknowledge_messages', { agent: name, receipts });
  reach('caught up');
}

if (mode === 'catch-up') await catchUp();
for (;;) {
  const { messages } = await hub.call('receive_messages', { agent: name, limit: 1, wait_seconds: 2 });
  for (const message of messages) await work(message);
}
