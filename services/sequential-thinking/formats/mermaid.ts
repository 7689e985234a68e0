/** A flowchart: one box per thought, an arrow from the one before on its line, a dotted one to what it reconsiders. */
import { diagramLabelLength } from '../limits.ts';
import type { ThoughtRow } from '../thoughts.ts';

/** Letters and digits as they are; all else, which might mean something to Mermaid or HTML, by its number. */
const escaped = (text: string) =>
  text.replaceAll(/[^\p{L}\p{N} .,:…]/gu, (character) => `#${character.codePointAt(0)};`);

function label(text: string): string {
  const line = text.slice(0, 1_000).replaceAll(/\s+/g, ' ').trim();
  const short =
    line.length > diagramLabelLength
      ? `${line.slice(0, diagramLabelLength).replace(/[\ud800-\udbff]$/, '')}…`
      : line;
  return escaped(short);
}

export const mermaidFrame = { head: 'flowchart TD\n', between: '', foot: '' };

/** @param previous position of the thought that this one follows, on its line or where its branch began. */
export function mermaidThought(row: ThoughtRow, previous: number | undefined): string {
  const box = `  t${row.position}["${label(`${row.number}: ${row.text}`)}"]\n`;
  const branch = row.branch_id && row.line !== 0 ? `|"${label(row.branch_id)}"| ` : '';
  const arrow = previous === undefined ? '' : `  t${previous} -->${branch}t${row.position}\n`;
  const revises =
    row.revised_position === null ? '' : `  t${row.position} -.->|revises| t${row.revised_position}\n`;
  return box + arrow + revises;
}
