/** Battles as CSV (RFC 4180) and as JSONL. The only importer of csv-parse. */
import { parse } from 'csv-parse/sync';

import { ToolError } from '#runtime/errors.ts';

import { columns } from '../battle.ts';

export interface Table {
  /** One after the other, so that nobody waits until all are read. @throws ToolError where the text cannot be read any further. */
  readonly rows: IterableIterator<unknown>;
  /** Columns that mean nothing here; known when a row is. */
  readonly ignored: () => readonly string[];
}

/** A row that is no JSON: whoever checks rows refuses it. */
export class Unreadable {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** Characters that are parsed at a time: some 400 battles, in a few milliseconds. */
const partLength = 16_384;

/** A text that is no CSV, or has not the columns of arena-rank, is refused as its rows are read. */
export function readCsv(text: string): Table {
  let names: string[] | undefined;
  // Each sign is compared with each of them.
  const delimiters = text.includes('\r') ? ['\r\n', '\n', '\r'] : '\n';
  function* rows(): Generator<unknown, void> {
    let linesBefore = 0;
    for (const part of partsOf(text)) {
      yield* parsed(part, linesBefore);
      linesBefore += part.split('\n').length - 1;
    }
    requireColumns(names ?? []);
  }
  function parsed(part: string, linesBefore: number): unknown[] {
    const named = names;
    try {
      return parse(part, {
        bom: named === undefined,
        columns:
          named ??
          ((header: string[]) => {
            names = header.map((name) => name.trim());
            requireColumns(names);
            return [...names];
          }),
        record_delimiter: delimiters,
        skip_empty_lines: true,
        max_record_size: 100_000,
      });
    } catch (error) {
      if (error instanceof ToolError) throw error;
      throw unreadable((error as Error).message, linesBefore);
    }
  }
  return {
    rows: rows(),
    ignored: () => (names ?? []).filter((name) => !columns.some((one) => one === name)),
  };
}

/** Parts that end where a record does: at a line break with an even number of quotation marks before it. */
function* partsOf(text: string): Generator<string> {
  let [from, isQuoted] = [0, false];
  for (const { 0: sign, index } of text.matchAll(/["\n]/g)) {
    if (sign === '"') isQuoted = !isQuoted;
    else if (!isQuoted && index - from >= partLength) {
      yield text.slice(from, index + 1);
      from = index + 1;
    }
  }
  yield text.slice(from);
}

function unreadable(message: string, linesBefore: number): ToolError {
  const told = message.replace(/\bline (\d+)/, (_, line) => `line ${Number(line) + linesBefore}`);
  return new ToolError('invalid_input', `The CSV cannot be read: ${told.slice(0, 200)}`, {
    hint: 'Nothing was stored. The first line names the columns; texts with commas or line breaks stand in quotation marks.',
  });
}

function requireColumns(names: readonly string[]): void {
  const missing = columns.slice(0, 3).filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new ToolError('invalid_input', `The CSV has no column ${missing.join(', ')}.`, {
      hint: `Nothing was stored. The first line names the columns: ${columns.join(', ')}. The first three are needed.`,
    });
  }
}

export function* readJsonl(text: string): Generator<unknown, void> {
  for (let from = 0; from < text.length;) {
    const newline = text.indexOf('\n', from);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(from, end);
    from = end + 1;
    if (line.trim() === '') continue;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      row = new Unreadable('This line is no JSON.');
    }
    yield row;
  }
}

/** A battle as it is exported. */
export interface BattleRow {
  readonly model_a: string;
  readonly model_b: string;
  readonly winner: string;
  readonly item_id: string | null;
  readonly task_type: string;
  readonly judge: string;
  readonly source: string;
  readonly swapped: boolean | null;
  readonly len_a: number | null;
  readonly len_b: number | null;
  readonly time: string;
}

export const csvHeader = `${columns.join(',')}\r\n`;

/** A program for tables must not take a text for a formula; a name that begins so gets an apostrophe, which a reader may take away. */
function cell(value: string | number | boolean | null): string {
  const text = value === null ? '' : String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const csvLine = (row: BattleRow): string => `${columns.map((name) => cell(row[name])).join(',')}\r\n`;

export const jsonLine = (row: BattleRow): string =>
  `${JSON.stringify(Object.fromEntries(columns.filter((name) => row[name] !== null).map((name) => [name, row[name]])))}\n`;
