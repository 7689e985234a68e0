/**
 * The only `@vscode/ripgrep` import: finds lines in open files. ripgrep gets our descriptors and no paths, so that it reads
 * what was opened here and can be led nowhere else; it keeps to linear time whatever the pattern.
 */
import { constants, setPriority } from 'node:os';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { rgPath } from '@vscode/ripgrep';

import { ToolError } from '#runtime/errors.ts';
import { startProgram } from '#runtime/starter.ts';
import type { Call } from '#runtime/tool.ts';

import type { Handle } from './handle.ts';

export interface Query {
  readonly pattern: string;
  readonly isRegex: boolean;
  readonly ignoresCase: boolean;
  readonly contextLines: number;
  /** More are not looked for. */
  readonly maxMatches: number;
  /** Of lines, once there is a match. */
  readonly maxBytes: number;
}

export interface Line {
  /** Of the file in the list that was searched. */
  readonly file: number;
  readonly line: number;
  readonly isMatch: boolean;
  readonly text: string;
}

/** What a line takes in an answer. */
export const bytesOf = ({ text }: Line) => Buffer.byteLength(text) + 40;

/** What is left of a file behind so many lines. */
export interface Rest {
  readonly lines: number;
  readonly text: Readable;
}

/** Longer lines are cut by ripgrep. */
const maxLineLength = 500;

/**
 * Lines in the order of the files and their lines, up to the last that belongs to as many matches as are wanted: then it is
 * cut. With `rest` there is one file, of which only that is searched.
 */
export async function searchIn(
  files: readonly Pick<Handle, 'fd'>[],
  query: Query,
  { signal }: Pick<Call, 'signal'>,
  rest?: Rest,
): Promise<{ readonly lines: Line[]; readonly isCut: boolean }> {
  const paths = rest ? ['-'] : files.map(({ fd }) => `/proc/${process.pid}/fd/${fd}`);
  const child = await startProgram({
    file: rgPath,
    args: [...argumentsOf(query), ...paths],
    cwd: '/',
    env: {},
    inputs: [],
    hasChannel: false,
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const stop = () => child.kill('SIGKILL');
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  // Calls that are answered at once go first on a busy machine.
  if (child.pid !== undefined) yieldTo(child.pid);
  // ripgrep reads no further than it has to: then the rest is not taken.
  const fed = rest ? pipeline(rest.text, child.stdin).catch(() => {}) : child.stdin.end();
  let complaint = '';
  child.stderr.on('data', (piece: Buffer) => {
    if (complaint.length < 1_000) complaint += piece.toString();
  });
  const found = gather(files, query, rest?.lines ?? 0);
  child.stdout.on('data', (piece: Buffer) => {
    if (!found.take(piece)) stop();
  });
  const code = await ended.finally(() => signal.removeEventListener('abort', stop));
  await fed;
  signal.throwIfAborted();
  if (!found.isCut && code !== 0 && code !== 1) throw refused(complaint);
  return found;
}

function yieldTo(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // It has ended already.
  }
}

/** Takes what ripgrep says, piece by piece, until it is enough. */
function gather(files: readonly Pick<Handle, 'fd'>[], { maxMatches, maxBytes }: Query, linesBefore: number) {
  const indexOf = new Map(files.map(({ fd }, index) => [fd, index]));
  const found = {
    lines: [] as Line[],
    isCut: false,
    /** Whether more is wanted. */
    take(piece: Buffer): boolean {
      if (found.isCut) return false;
      const rows = Buffer.concat([open, piece]).toString('latin1').split('\n');
      // Bytes one by one: a character may end in the next piece.
      open = Buffer.from(rows.pop() ?? '', 'latin1');
      for (const row of rows) {
        const line = lineOf(Buffer.from(row, 'latin1').toString(), indexOf, linesBefore);
        if (!line) continue;
        found.isCut = (line.isMatch && matches === maxMatches) || (bytes > maxBytes && matches > 0);
        if (found.isCut) break;
        matches += line.isMatch ? 1 : 0;
        bytes += bytesOf(line);
        found.lines.push(line);
      }
      return !found.isCut;
    },
  };
  let open = Buffer.alloc(0);
  let matches = 0;
  let bytes = 0;
  return found;
}

function argumentsOf({ pattern, isRegex, ignoresCase, contextLines, maxMatches }: Query): string[] {
  return [
    '--no-config',
    // One thread keeps the order of the files.
    '--threads=1',
    '--text',
    '--no-mmap',
    '--crlf',
    '--color=never',
    '--no-heading',
    '--with-filename',
    '--line-number',
    '--null',
    '--no-context-separator',
    '--field-match-separator=:',
    '--field-context-separator=-',
    `--max-columns=${maxLineLength}`,
    '--max-columns-preview',
    `--max-count=${maxMatches + 1}`,
    `--context=${contextLines}`,
    ignoresCase ? '--ignore-case' : '--case-sensitive',
    ...(isRegex ? [] : ['--fixed-strings']),
    `--regexp=${pattern}`,
    '--',
  ];
}

function lineOf(row: string, indexOf: ReadonlyMap<number, number>, linesBefore: number): Line | undefined {
  const found = /^(?:<stdin>|\/proc\/\d+\/fd\/(\d+))\0(\d+)([:-])(.*)$/s.exec(row);
  if (!found) return undefined;
  const [, descriptor, line, separator, text = ''] = found;
  return {
    file: indexOf.get(Number(descriptor)) ?? 0,
    line: linesBefore + Number(line),
    isMatch: separator === ':',
    text: text.replace(/\r$/, ''),
  };
}

function refused(complaint: string): ToolError {
  const reason = complaint.replaceAll(/^rg: /gm, '').trim().slice(0, 500);
  return new ToolError('invalid_input', `The pattern cannot be searched for: ${reason}`, {
    hint: "Patterns are Rust's regular expressions, without look-around and back-references; leave out regex to find the text as it stands.",
  });
}
