/** A flowchart: one box per thought, an arrow from the one before on its line, a dotted one to what it reconsiders. */
import { diagramLabelLength, maxDiagramLength, maxDiagramThoughts } from '../limits.ts';
import { mainLine, type ThoughtRow } from '../thoughts.ts';
import type { Format } from './format.ts';

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

/** @param previous position of the thought that another follows, on its line or where its branch began. */
export const mermaidFormat = (previous: (row: ThoughtRow) => number | null | undefined): Format => ({
  head: 'flowchart TD\n',
  between: '',
  foot: '',
  mostThoughts: maxDiagramThoughts,
  mostCharacters: maxDiagramLength,
  write(row) {
    const from = previous(row) ?? undefined;
    const box = `  t${row.position}["${label(`${row.number}: ${row.text}`)}"]\n`;
    // An arrow must not have an empty label.
    const branch = row.branch_id && row.line !== mainLine ? label(row.branch_id) : '';
    const link = branch === '' ? '' : `|"${branch}"| `;
    const arrow = from === undefined ? '' : `  t${from} -->${link}t${row.position}\n`;
    const revised = row.revised_position;
    return box + arrow + (revised === null ? '' : `  t${row.position} -.->|revises| t${revised}\n`);
  },
});
