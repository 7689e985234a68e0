/** Commits in lists, and how the official server writes them. */
import { z } from 'zod';

import { peeled, resolveRevision, unresolved } from './arguments.ts';
import { failure } from './failures.ts';
import type { Repository } from './git.ts';
import { maxLineLength, maxListedMessage, maxRecordBytes } from './limits.ts';
import { placeIn, type Continued } from './pages.ts';

export const commitOutput = z.object({
  hash: z.string().describe('The commit.'),
  parents: z.array(z.string()).describe('Commits before it.'),
  author: z.string().describe('Name.'),
  email: z.string().describe('E-mail.'),
  authored_at: z.string().describe('ISO 8601.'),
  message: z.string().describe(`Up to ${maxListedMessage} characters.`),
});
export type Commit = z.output<typeof commitOutput>;

const isUnresolved = /bad revision|unknown revision|ambiguous argument|does not have any commits|bad object/;

/** Which commits a list has. */
interface Walk {
  readonly revision: string;
  readonly options: readonly string[];
  readonly paths?: readonly string[];
}

const fields = ['%H', '%P', '%an', '%ae', '%aI', '%B'];

export async function listCommits(
  tool: string,
  repository: Repository,
  args: { readonly cursor?: string | undefined },
  limit: number,
  { revision, options, paths = [] }: Walk,
): Promise<{ commits: Commit[] } & Continued> {
  const place = placeIn(tool, args);
  // One commit and those before it: no range, and nothing to leave out.
  if (/^\^|\.\./.test(revision)) throw unresolved(revision);
  const from = peeled(revision, 'commit') ?? (await resolveRevision(repository, revision));
  if (limit === 0) return { commits: [] };
  const { output, isCut, code, errors } = await repository.run(
    [
      'log',
      '-z',
      `--format=${fields.join('%x00')}`,
      '--no-notes',
      '--no-show-signature',
      `--skip=${place.start}`,
      `--max-count=${limit + 1}`,
      ...options,
      '--end-of-options',
      from,
      '--',
      ...paths,
    ],
    { takeBytes: maxRecordBytes, accept: [128] },
  );
  if (code === 128) throw isUnresolved.test(errors) ? unresolved(revision) : failure({ output, errors });

  const parts = output.toString().split('\0');
  const found: Commit[] = [];
  for (let at = 0; at < parts.length - 1; at += fields.length) {
    const [hash = '', parents = '', author = '', email = '', authoredAt = '', message = ''] = parts.slice(at);
    // Where git was stopped: what is listed of it may still be there, and the first one is told as far as it was read.
    const isWhole = at + fields.length < parts.length || message.length > maxListedMessage;
    if (!isWhole && found.length > 0) break;
    found.push({
      hash,
      parents: parents.split(' ').filter((parent) => parent !== ''),
      author: author.slice(0, maxLineLength).toWellFormed(),
      email: email.slice(0, maxLineLength).toWellFormed(),
      authored_at: authoredAt.replace(/Z$/, '+00:00'),
      message: message.slice(0, maxListedMessage).toWellFormed(),
    });
  }
  // Messages of many megabytes: what was read is a page, as if the limit were lower.
  const count = isCut ? Math.min(found.length, limit) : limit;
  const commits = found.slice(0, count);
  return isCut || found.length > count ? { commits, ...place.next(place.start + count) } : { commits };
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
    /(?! )[\\\p{C}\p{Z}]/gu,
    (character) => escapes[character] ?? numbered(character),
  );
  return `${quote}${quote === "'" ? escaped.replaceAll("'", String.raw`\'`) : escaped}${quote}`;
}

function numbered(character: string): string {
  const number = (character.codePointAt(0) ?? 0).toString(16);
  if (number.length <= 2) return `\\x${number.padStart(2, '0')}`;
  return number.length <= 4 ? `\\u${number.padStart(4, '0')}` : `\\U${number.padStart(8, '0')}`;
}

export const officialEntry = ({ hash, author, email, authored_at: authoredAt, message }: Commit): string =>
  `Commit: ${pythonText(hash)}\nAuthor: <git.Actor "${author} <${email}>">\nDate: ${authoredAt.replace('T', ' ')}\nMessage: ${pythonText(message)}\n`;
