/** How notes and folders are shown, in the words that models are trained on. */
import { answerTokens, bytesOf, bytesPerToken, firstBytes } from '../limits.ts';
import type { NoteEntry } from './note-store.ts';

/** What an answer shows of one note; it goes on by `view_range`. */
const maxShownBytes = 16_000;
/** With a range, which asks for more. */
const maxRangeBytes = answerTokens * bytesPerToken;
/** A line number with its tab, and the newline. */
const lineBytes = 10;
const maxShownEntries = 500;

export interface NoteView {
  content: string;
  truncated?: true;
}

export function linesOf(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** Lines by number; what is cut off says so. */
function numbered(lines: readonly string[], first: number, mostBytes: number, goOn: string) {
  const shown: string[] = [];
  let left = mostBytes;
  for (const [index, line] of lines.entries()) {
    const number = `${String(first + index).padStart(6)}\t`;
    left -= lineBytes + bytesOf(line);
    if (left < 0) {
      // A line that is longer than an answer is shown in part.
      if (index === 0) shown.push(number + firstBytes(line, mostBytes));
      return { shown: [...shown, `[cut: ${goOn}]`].join('\n'), isCut: true };
    }
    shown.push(number + line);
  }
  return { shown: shown.join('\n'), isCut: false };
}

export function noteView(place: string, lines: readonly string[], first: number, isRange: boolean): NoteView {
  const { shown, isCut } = isRange
    ? numbered(lines, first, maxRangeBytes, 'pass a later view_range')
    : numbered(lines, first, maxShownBytes, 'pass view_range');
  return {
    content: `Here's the content of ${place} with line numbers:\n${shown}`,
    ...(isCut && { truncated: true }),
  };
}

export const editView = (lines: readonly string[], first: number) =>
  `The memory file has been edited.\n${numbered(lines, first, maxShownBytes, 'view the file').shown}`;

/** Two levels deep; what lies deeper, and folders, show as the size of all that is in them. */
export function folderView(place: string, entries: readonly NoteEntry[], isComplete: boolean): NoteView {
  const sizes = new Map<string, number>();
  let total = 0;
  for (const entry of entries) {
    total += entry.size;
    const names = entry.path.slice(place.length + 1).split('/');
    for (const depth of [1, 2]) {
      const shown = names.slice(0, depth);
      if (names.length < depth || shown.some((name) => name.startsWith('.') || name === 'node_modules'))
        break;
      const key = `${place}/${shown.join('/')}${names.length > depth ? '/' : ''}`;
      sizes.set(key, (sizes.get(key) ?? 0) + entry.size);
    }
  }
  const lines = [...sizes].slice(0, maxShownEntries).map(([entry, size]) => `${humanSize(size)}\t${entry}`);
  const header = `Here're the files and directories up to 2 levels deep in ${place}, excluding hidden items and node_modules:`;
  return {
    content: [header, `${humanSize(total)}\t${place}`, ...lines].join('\n'),
    ...((!isComplete || sizes.size > maxShownEntries) && { truncated: true }),
  };
}

function humanSize(bytes: number): string {
  const units = ['', 'K', 'M', 'G'];
  const power = bytes < 1_024 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  const size = bytes / 1_024 ** power;
  return `${power === 0 ? size : size.toFixed(1)}${units[power]}`;
}
