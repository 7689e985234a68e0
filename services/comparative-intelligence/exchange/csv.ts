/** Battles as CSV (RFC 4180) and as JSONL. The only importer of csv-parse. */
import { parse } from 'csv-parse/sync';

import { ToolError } from '#runtime/errors.ts';

import { columns } from '../battle.ts';
import { maxBattles } from '../limits.ts';

export interface Table {
  readonly rows: readonly unknown[];
  /** Columns that mean nothing here. */
  readonly ignored: readonly string[];
}

/** A row that is no JSON: whoever checks rows refuses it. */
export class Unreadable {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** @throws ToolError for a text that is no CSV, or has not the columns of arena-rank. */
export function readCsv(text: string): Table {
  let names: readonly string[] = [];
  let rows: readonly unknown[];
  try {
    rows = parse(text, {
      bom: true,
      columns: (header: string[]) => {
        names = header.map((name) => name.trim());
        return [...names];
      },
      skip_empty_lines: true,
      max_record_size: 100_000,
      to: maxBattles + 1,
    });
  } catch (error) {
    throw new ToolError(
      'invalid_input',
      `The CSV cannot be read: ${(error as Error).message.slice(0, 200)}`,
      {
        hint: 'Nothing was stored. The first line names the columns; texts with commas or line breaks stand in quotation marks.',
      },
    );
  }
  const missing = columns.slice(0, 3).filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new ToolError('invalid_input', `The CSV has no column ${missing.join(', ')}.`, {
      hint: `Nothing was stored. The first line names the columns: ${columns.join(', ')}. The first three are needed.`,
    });
  }
  return { rows, ignored: names.filter((name) => !columns.some((column) => column === name)) };
}

export function readJsonl(text: string): Table {
  const rows: unknown[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    try {
      rows.push(JSON.parse(line));
    } catch {
      rows.push(new Unreadable('This line is no JSON.'));
    }
  }
  return { rows, ignored: [] };
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
