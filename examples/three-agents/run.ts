/** Three agents share a repository, and one of them is killed. Uses the fleet that runs, or starts one for as long as this takes. */
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { styleText } from 'node:util';

import { connect, nameOf, Refusal } from '../fleet.ts';
import { Agent, showing, stage } from '../stage.ts';

const run = randomBytes(3).toString('hex');
const colors = { lead: 'cyan', ada: 'magenta', ben: 'green' } as const;
type Who = keyof typeof colors;

const show = showing(colors);

function agent(who: Who, args: readonly string[]): Agent {
  const script = who === 'lead' ? './lead.ts' : './writer.ts';
  return new Agent(
    who,
    new URL(script, import.meta.url),
    [...(who === 'lead' ? [] : [who]), run, ...args],
    show,
  );
}

/** Where the services may work: in the first of the folders that the operator has named. */
async function makeRepository(): Promise<string> {
  await using filesystem = await connect('filesystem');
  await using git = await connect('git');
  const { content } = await filesystem.call('list_allowed_directories');
  const [root] = /^\/.*$/m.exec(content) ?? [];
  if (root === undefined) throw new Error('The fleet has no folder to work in: start it with --root FOLDER.');
  const repository = join(root, `three-agents-${run}`);
  await git.call('git_init', { repo_path: repository });
  const files = ['guide.md', 'questions.md', 'news.md'];
  for (const file of files) writeFileSync(join(repository, file), `# ${file}\n`);
  await git.call('git_commit', {
    repo_path: repository,
    message: 'Empty chapters',
    files,
    author: 'lead <lead@example.com>',
  });
  return repository;
}

async function leaveNothing(repository: string): Promise<void> {
  await using hub = await connect('hub');
  for (const who of Object.keys(colors))
    await hub.call('unregister_agent', { name: nameOf(who, run) }).catch((error: unknown) => {
      if (!(error instanceof Refusal) || error.code !== 'not_found') throw error;
    });
  rmSync(repository, { recursive: true, force: true });
}

await stage(['hub', 'filesystem', 'git'], show, async (stack) => {
  const repository = await makeRepository();
  stack.defer(async () => leaveNothing(repository));
  show('', `Three agents share ${repository}`);

  const lead = stack.use(agent('lead', [repository]));
  const ada = stack.use(agent('ada', [repository]));
  const ben = stack.use(agent('ben', [repository]));
  const [victim, name] = await Promise.race([
    ada.reaches('half written').then(() => [ada, 'ada'] as const),
    ben.reaches('half written').then(() => [ben, 'ben'] as const),
  ]);
  await victim.kill();
  show(
    '',
    styleText(
      'red',
      `✗ ${name} is killed in the middle of guide.md. The hub waits for a sign of life of it.`,
    ),
  );
  await lead.reaches('done');
  const again = stack.use(agent(name, [repository, 'catch-up']));
  await again.reaches('caught up');
  show('', styleText('green', '✓ Four tasks, one writer killed, nothing lost.'));
});
