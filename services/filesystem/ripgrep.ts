/**
 * The only `@vscode/ripgrep` import: finds lines in open files. ripgrep gets descriptors and no paths, so that it reads
 * what was opened here and can be led nowhere else; it keeps to linear time whatever the pattern.
 */
import { spawn } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

import { rgPath } from '@vscode/ripgrep';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

export interface Query {
  readonly pattern: string;
  readonly isRegex: boolean;
  readonly ignoresCase: boolean;
  readonly contextLines: number;
  /** In each file. */
  readonly maxMatches: number;
}

export interface Line {
  /** Of the file in the list that was searched. */
  readonly file: number;
  readonly line: number;
  readonly isMatch: boolean;
  readonly text: string;
}

/** Where to begin in a file: behind so many lines, which are so many bytes. */
export interface Start {
  readonly lines: number;
  readonly bytes: number;
}

/** Longer lines are cut by ripgrep. */
const maxLineLength = 500;
const maxOutputBytes = 4 * 1024 * 1024;
/** Standard streams come first. */
const firstDescriptor = 3;

/**
 * Lines in the order of the files and their lines; what does not fit into the output is left out, and said. With `start`
 * there is one file, which is handed over from there on.
 */
export async function searchIn(
  files: readonly FileHandle[],
  query: Query,
  { signal }: Pick<Call, 'signal'>,
  start?: Start,
): Promise<{ readonly lines: Line[]; readonly isCut: boolean }> {
  const paths = start ? ['-'] : files.map((_, index) => descriptorPath(index));
  const child = spawn(rgPath, [...argumentsOf(query), ...paths], {
    stdio: [start ? 'pipe' : 'ignore', 'pipe', 'pipe', ...files.map(({ fd }) => fd)],
    env: {},
    cwd: '/',
    signal,
    killSignal: 'SIGKILL',
  });
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new TypeError('ripgrep has no output');
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [file] = files;
  // ripgrep reads no further than it has to: then the rest is not taken.
  const fed =
    start && file && child.stdin
      ? pipeline(file.createReadStream({ start: start.bytes, autoClose: false }), child.stdin).catch(() => {})
      : undefined;
  const pieces: Buffer[] = [];
  let size = 0;
  let complaint = '';
  stderr.on('data', (piece: Buffer) => {
    if (complaint.length < 1_000) complaint += piece.toString();
  });
  stdout.on('data', (piece: Buffer) => {
    pieces.push(piece);
    size += piece.length;
    if (size > maxOutputBytes) child.kill('SIGKILL');
  });
  const code = await ended.catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  await fed;
  const isCut = size > maxOutputBytes;
  if (!isCut && code !== 0 && code !== 1) throw refused(complaint);
  return { lines: parse(Buffer.concat(pieces).toString(), isCut, start?.lines ?? 0), isCut };
}

const descriptorPath = (index: number) => `/proc/self/fd/${firstDescriptor + index}`;

function argumentsOf({ pattern, isRegex, ignoresCase, contextLines, maxMatches }: Query): string[] {
  return [
    '--no-config',
    // One thread keeps the order of the files.
    '--threads=1',
    '--text',
    '--no-mmap',
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
    `--max-count=${maxMatches}`,
    `--context=${contextLines}`,
    ignoresCase ? '--ignore-case' : '--case-sensitive',
    ...(isRegex ? [] : ['--fixed-strings']),
    `--regexp=${pattern}`,
    '--',
  ];
}

function parse(output: string, isCut: boolean, linesBefore: number): Line[] {
  const rows = output.split('\n');
  // The last is empty, or was cut in the middle.
  rows.pop();
  if (isCut) rows.pop();
  return rows.flatMap((row) => {
    const found = /^(?:<stdin>|\/proc\/self\/fd\/(\d+))\0(\d+)([:-])(.*)$/s.exec(row);
    if (!found) return [];
    const [, descriptor = firstDescriptor, line, separator, text = ''] = found;
    return [
      {
        file: Number(descriptor) - firstDescriptor,
        line: linesBefore + Number(line),
        isMatch: separator === ':',
        text: text.replace(/\r$/, ''),
      },
    ];
  });
}

function refused(complaint: string): ToolError {
  const reason = complaint.replaceAll(/^rg: /gm, '').trim().slice(0, 500);
  return new ToolError('invalid_input', `The pattern cannot be searched for: ${reason}`, {
    hint: "Patterns are Rust's regular expressions, without look-around and back-references; leave out regex to find the text as it stands.",
  });
}
