/** A report for a terminal, for programs and for documents. The page for people is in report-page.ts. */
import { table } from '../table.ts';
import { machineLine, type Machine } from './machine.ts';
import type { Cell, Column, Depth, Section } from './section.ts';

export interface Report {
  readonly machine: Machine;
  readonly depth: Depth;
  readonly sections: readonly Section[];
}

/** A cell as it is shown everywhere. */
export function shown(cell: Cell, { digits = 0 }: Column): string {
  if (cell === null || Number.isNaN(cell)) return '–';
  if (typeof cell === 'string') return cell;
  return cell.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** The rows of a section, ready to be shown. */
export function shownRows({ columns, rows }: Section): readonly (readonly string[])[] {
  return rows.map((row) => columns.map((column, index) => shown(row[index] ?? null, column)));
}

/** Where the figures come from, in one line. */
export function originOf({ machine, depth }: Report): string {
  const note = depth === 'quick' ? ' (quick: short runs, rough figures)' : '';
  return `${machineLine(machine)}${note}.`;
}

export function sectionText(section: Section): string {
  const heading = `\n${section.title}\n`;
  if (section.skipped !== undefined) return `${heading}skipped: ${section.skipped}\n`;
  const faults = (section.faults ?? []).map((fault) => `✗ ${fault}\n`).join('');
  const names = section.columns.map(({ name }) => name);
  return `${heading}${table(names, shownRows(section))}${faults}`;
}

export function reportMarkdown(report: Report): string {
  return `${originOf(report)}\n${report.sections.map(sectionMarkdown).join('')}`;
}

const line = (cells: readonly string[]) =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;

function sectionMarkdown(section: Section): string {
  const heading = `\n### ${section.title}\n\n`;
  if (section.skipped !== undefined) return `${heading}Skipped: ${section.skipped}.\n`;
  const rules = section.columns.map((_, index) => (isNumeric(section, index) ? '---:' : '---'));
  return [
    heading,
    line(section.columns.map(({ name }) => name)),
    `|${rules.join('|')}|\n`,
    ...shownRows(section).map(line),
    ...(section.faults ?? []).map((fault) => `\n**Not to be trusted:** ${fault}.\n`),
    `\n${section.method}\n`,
  ].join('');
}

/** Whether a column is one of numbers, which stand at the right. */
export function isNumeric({ rows }: Section, column: number): boolean {
  return rows.some((row) => typeof row[column] === 'number');
}
