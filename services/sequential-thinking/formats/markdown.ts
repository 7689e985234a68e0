/** For people: a heading per thought, and its text quoted, so that no text can pass for a heading. */
import type { SaidThought } from '../thought-schema.ts';

const inOneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim();

export const markdownFrame = (title: string | null, from: number) => ({
  head: from === 1 ? `# ${inOneLine(title ?? '') || 'Thoughts'}\n\n` : '',
  between: '\n',
  foot: '',
});

export function markdownThought(said: SaidThought): string {
  const about = [
    ...(said.revisesThought === undefined ? [] : [`revises ${said.revisesThought}`]),
    ...(said.branchId ? [`branch ${inOneLine(said.branchId)}`] : []),
    ...(said.branchFromThought === undefined ? [] : [`from ${said.branchFromThought}`]),
  ];
  const quoted = said.thought
    .split(/\r\n|\r|\n/)
    .map((line) => `> ${line}`)
    .join('\n');
  return `## Thought ${said.thoughtNumber}/${said.totalThoughts}${about.length > 0 ? ` (${about.join(', ')})` : ''}\n\n${quoted}\n`;
}
