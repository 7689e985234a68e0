/** For people: a heading per thought, and its text quoted, so that no text can pass for a heading. */
import { maxExportLength, maxThoughtsPerImport } from '../limits.ts';
import type { ThoughtRow } from '../thoughts.ts';
import type { Format } from './format.ts';

const inOneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim();

export const markdownFormat = (title: string | null, from: number): Format => ({
  head: from === 1 ? `# ${inOneLine(title ?? '') || 'Thoughts'}\n\n` : '',
  between: '\n',
  foot: '',
  mostThoughts: maxThoughtsPerImport,
  mostCharacters: maxExportLength,
  write,
});

function write(row: ThoughtRow): string {
  const about = [
    ...(row.revises === null ? [] : [`revises ${row.revises}`]),
    ...(row.branch_id ? [`branch ${inOneLine(row.branch_id)}`] : []),
    ...(row.branch_from === null ? [] : [`from ${row.branch_from}`]),
  ];
  const quoted = row.text
    .split(/\r\n|\r|\n/)
    .map((line) => `> ${line}`)
    .join('\n');
  return `## Thought ${row.number}/${row.total}${about.length > 0 ? ` (${about.join(', ')})` : ''}\n\n${quoted}\n`;
}
