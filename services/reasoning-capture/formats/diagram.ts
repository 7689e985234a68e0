/**
 * Diagrams: a node for each step, its shape by the type, an arrow from the step that it follows; a decision has its options, with the
 * chosen one bold. A longer chain is drawn in parts: a node for so many steps that all of them fit.
 */
import { diagramLabelLength, maxDiagramNodes } from '../limits.ts';
import { detailIn, types } from '../steps/step.ts';
import type { ChainRow, StoredStep } from '../store/reads.ts';
import { visible } from './format.ts';

export interface Node {
  readonly id: string;
  readonly kind: 'analysis' | 'decision' | 'inference' | 'reflection' | 'option' | 'chosen' | 'part';
  readonly label: string;
  /** From which node, and how. */
  readonly from: string | undefined;
  readonly arrow: 'next' | 'chosen' | 'option';
}

/** In steps that look at some rows each. @param withContent whether labels have what was said. */
export function* nodesOf(
  chain: ChainRow,
  rows: Iterable<readonly StoredStep[]>,
  withContent: boolean,
): Generator<void, readonly Node[]> {
  const perPart = Math.ceil(chain.n_steps / maxDiagramNodes);
  const single: Node[] = [];
  const parts: { from: number; to: number; readonly counts: number[] }[] = [];
  let [count, before] = [0, 0];
  for (const some of rows) {
    for (const step of some) {
      const at = Math.floor(count / Math.max(perPart, 1));
      const part = (parts[at] ??= { from: step.seq, to: step.seq, counts: [0, 0, 0, 0] });
      part.to = step.seq;
      part.counts[step.type] = (part.counts[step.type] ?? 0) + 1;
      count += 1;
      if (single.length <= maxDiagramNodes) single.push(...nodesOfStep(step, before, withContent));
      before = step.seq;
    }
    yield;
  }
  if (single.length <= maxDiagramNodes) return single;
  // Options may be what makes it too long: then each part has a step, or some.
  return parts.map(({ from, to, counts }, at): Node => {
    const mix = counts.flatMap((n, type) => (n === 0 ? [] : [`${n} ${types[type]}`])).join(', ');
    return {
      id: `p${at + 1}`,
      kind: 'part',
      label: `${from === to ? from : `${from} to ${to}`}: ${mix}`,
      from: at === 0 ? undefined : `p${at}`,
      arrow: 'next',
    };
  });
}

function nodesOfStep(step: StoredStep, before: number, withContent: boolean): Node[] {
  const type = types[step.type] ?? 'analysis';
  const above = step.parent_seq ?? before;
  const { options = [], chosen } = withContent ? detailIn(step.detail) : {};
  const labels = options.map(({ label }) => label);
  const all = chosen === undefined || labels.includes(chosen) ? labels : [...labels, chosen];
  return [
    {
      id: `s${step.seq}`,
      kind: type,
      label: withContent ? `${step.seq}: ${step.content}` : `${step.seq}: ${type}`,
      from: above === 0 ? undefined : `s${above}`,
      arrow: 'next',
    },
    ...all.map((label, at): Node => ({
      id: `s${step.seq}o${at + 1}`,
      kind: label === chosen ? 'chosen' : 'option',
      label,
      from: `s${step.seq}`,
      arrow: label === chosen ? 'chosen' : 'option',
    })),
  ];
}

function short(text: string): string {
  const line = visible(text.slice(0, 1_000).replaceAll(/\s+/g, ' ').trim());
  if (line.length <= diagramLabelLength) return line.toWellFormed();
  return `${line.slice(0, diagramLabelLength).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** Letters and digits as they are; all else, which might mean something to Mermaid or HTML, by its number. */
const mermaidText = (text: string) =>
  short(text).replaceAll(/[^\p{L}\p{N} .,:…]/gu, (character) => `#${character.codePointAt(0)};`);

const mermaidShapes: Readonly<Record<Node['kind'], readonly [string, string]>> = {
  analysis: ['["', '"]'],
  decision: ['{"', '"}'],
  inference: ['{{"', '"}}'],
  reflection: ['(["', '"])'],
  option: ['("', '")'],
  chosen: ['("', '"):::chosen'],
  part: ['[["', '"]]'],
};
const mermaidArrows = { next: '-->', chosen: '==>', option: '-.->' };

export function mermaid(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ id, kind, label, from, arrow }) => {
    const [open, close] = mermaidShapes[kind];
    const box = `  ${id}${open}${mermaidText(label)}${close}`;
    return from === undefined ? [box] : [box, `  ${from} ${mermaidArrows[arrow]} ${id}`];
  });
  return ['flowchart TD', '  classDef chosen font-weight:bold,stroke-width:3px', ...lines, ''].join('\n');
}

/** Graphviz reads HTML entities in labels. */
const dotText = (text: string) =>
  `"${short(text)
    .replaceAll('&', '&amp;')
    .replaceAll(/[\\"]/g, String.raw`\$&`)}"`;

const dotShapes: Readonly<Record<Node['kind'], string>> = {
  analysis: 'box',
  decision: 'diamond',
  inference: 'hexagon',
  reflection: 'ellipse',
  option: 'plaintext',
  chosen: 'box, style=bold',
  part: 'box3d',
};
const dotArrows = { next: '', chosen: ' [style=bold]', option: ' [style=dotted]' };

export function dot(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ id, kind, label, from, arrow }) => {
    const box = `  ${id} [label=${dotText(label)}, shape=${dotShapes[kind]}];`;
    return from === undefined ? [box] : [box, `  ${from} -> ${id}${dotArrows[arrow]};`];
  });
  return ['digraph reasoning {', '  rankdir=TB;', ...lines, '}', ''].join('\n');
}
