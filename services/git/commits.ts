/** Commits in lists, and how the official server writes them. */
import { z } from 'zod';

import type { Repository } from './git.ts';
import { maxListBytes, maxListedMessage } from './limits.ts';
import { listPage, placeIn, type Continued } from './pages.ts';

export const commitOutput = z.object({
  hash: z.string().describe('The commit.'),
  parents: z.array(z.string()).describe('The commits before it.'),
  author: z.string().describe('Name.'),
  email: z.string().describe('Of the author.'),
  authored_at: z.string().describe("ISO 8601, in the author's time zone."),
  message: z.string().describe(`The first ${maxListedMessage} characters; git_show has all.`),
});
export type Commit = z.output<typeof commitOutput>;

const fields = ['%H', '%P', '%an', '%ae', '%aI', '%B'];

export async function listCommits(
  tool: string,
  repository: Repository,
  args: { readonly cursor?: string | undefined },
  limit: number,
  gitArgs: readonly string[],
): Promise<{ commits: Commit[] } & Continued> {
  const place = placeIn(tool, args);
  const { output, isCut } = await repository.run(
    [
      'log',
      '-z',
      `--format=${fields.join('%x00')}`,
      '--no-notes',
      '--no-show-signature',
      `--skip=${place.start}`,
      `--max-count=${limit + 1}`,
      ...gitArgs,
    ],
    { takeBytes: maxListBytes },
  );
  const parts = output.toString().split('\0').slice(0, -1);
  const found: Commit[] = [];
  for (let at = 0; at + fields.length <= parts.length; at += fields.length) {
    const [hash = '', parents = '', author = '', email = '', authoredAt = '', message = ''] = parts.slice(at);
    found.push({
      hash,
      parents: parents.split(' ').filter((parent) => parent !== ''),
      author,
      email,
      authored_at: authoredAt.replace(/Z$/, '+00:00'),
      message: message.slice(0, maxListedMessage).toWellFormed(),
    });
  }
  // Messages of many megabytes: what was read is a page, as if the limit were lower.
  const { items, ...more } = listPage(found, isCut ? Math.max(1, found.length - 1) : limit, place);
  return { commits: [...items], ...more };
}

const escapes: Readonly<Record<string, string>> = {
  '\\': String.raw`\\`,
  '\n': String.raw`\n`,
  '\r': String.raw`\r`,
  '\t': String.raw`\t`,
};

/** As Python writes a text: the official server prints its values so. */
function pythonText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll(
    /[\\\p{Cc}]/gu,
    (character) => escapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `${quote}${quote === "'" ? escaped.replaceAll("'", String.raw`\'`) : escaped}${quote}`;
}

export const officialEntry = ({ hash, author, email, authored_at: authoredAt, message }: Commit): string =>
  `Commit: ${pythonText(hash)}\nAuthor: <git.Actor "${author} <${email}>">\nDate: ${authoredAt.replace('T', ' ')}\nMessage: ${pythonText(message)}\n`;
