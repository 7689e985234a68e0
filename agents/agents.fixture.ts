/** What the tests of agents share. */
import { execFileSync } from 'node:child_process';

// oxlint-disable-next-line typescript/no-explicit-any -- read field by field
export type Json = any;

/** As agents call tools: over REST, through the gateway. @throws Error with what the gateway says. */
export async function callTool(
  { url, token }: { readonly url: string; readonly token: string },
  tool: string,
  args: object,
): Promise<Json> {
  const answer = await fetch(`${url}/api/v1/tools/${tool}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(args),
  });
  const { data, errors } = (await answer.json()) as Json;
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return data;
}

/** As a person at a terminal, now: agents look for merges since a task was made. */
export const plainGit = (folder: string, ...args: readonly string[]): string =>
  execFileSync('git', args, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: '/nonexistent',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Bob',
      GIT_AUTHOR_EMAIL: 'bob@example.com',
      GIT_COMMITTER_NAME: 'Bob',
      GIT_COMMITTER_EMAIL: 'bob@example.com',
    },
  }).trimEnd();
