/** CSV as RFC 4180 has it, and as it is written in the wild: read in pieces, with the line of what is wrong. */
import { ToolError } from '#runtime/errors.ts';

import { maxColumns, maxRecordLength } from '../limits.ts';

/** A field that was not quoted and is empty has no text. */
export type Field = string | null;

export interface CsvForm {
  readonly delimiter: string;
  /** What stands for NULL where it is not quoted, besides nothing at all. */
  readonly nullText?: string | undefined;
}

/** Takes pieces of a text, and hands on each record with the line that it begins in. */
export class CsvReader {
  readonly #form: CsvForm;
  readonly #receive: (record: Field[], line: number) => void;
  /** What was not read yet: a record that is not whole. */
  #rest = '';
  #line = 1;

  constructor(form: CsvForm, receive: (record: Field[], line: number) => void) {
    this.#form = form;
    this.#receive = receive;
  }

  /** @throws ToolError with the line. */
  push(piece: string): void {
    this.#read(this.#rest + piece, false);
  }

  end(): void {
    this.#read(this.#rest, true);
  }

  #read(text: string, isLast: boolean): void {
    const { delimiter } = this.#form;
    // Looked for once, not again for each field before them.
    const lineEnd = seeker(text, '\n');
    const fieldEnd = seeker(text, delimiter);
    let start = 0;
    while (start < text.length) {
      const record: Field[] = [];
      const line = this.#line;
      let lines = 0;
      let at = start;
      let isWhole = false;
      for (;;) {
        if (text[at] === '"') {
          let end = at + 1;
          let value = '';
          for (;;) {
            const quote = text.indexOf('"', end);
            // A quote at the very end may be the first of two.
            if (quote < 0 || (quote + 1 >= text.length && !isLast))
              return this.#wait(text, start, line, isLast);
            value += text.slice(end, quote);
            end = quote + 1;
            if (text[end] !== '"') break;
            value += '"';
            end += 1;
          }
          lines += count(value, '\n');
          record.push(value);
          at = end;
          const next = text[at];
          if (next !== undefined && next !== delimiter && next !== '\n' && next !== '\r') {
            throw wrong(line + lines, `after a closing quote comes ${JSON.stringify(next)}`);
          }
        } else {
          const newline = lineEnd(at);
          const end = Math.min(newline, fieldEnd(at));
          if (end === text.length && !isLast) return this.#wait(text, start, line, isLast);
          const bare = text.slice(at, end === newline && text[end - 1] === '\r' && end > at ? end - 1 : end);
          record.push(bare === '' || bare === this.#form.nullText ? null : bare);
          at = end;
        }
        if (text[at] === delimiter) {
          at += 1;
          if (record.length > maxColumns) throw wrong(line, `more than ${maxColumns} fields`);
          if (at === text.length && !isLast) return this.#wait(text, start, line, isLast);
          continue;
        }
        if (text[at] === '\r') {
          if (at + 1 === text.length && !isLast) return this.#wait(text, start, line, isLast);
          at += 1;
        }
        if (text[at] === '\n') at += 1;
        else if (at < text.length) throw wrong(line + lines, 'a carriage return without a line feed');
        isWhole = true;
        break;
      }
      if (!isWhole) break;
      this.#line = line + lines + 1;
      start = at;
      // An empty line is no record.
      if (record.length > 1 || record[0] !== null) this.#receive(record, line);
    }
    this.#rest = '';
  }

  #wait(text: string, start: number, line: number, isLast: boolean): void {
    if (isLast) throw wrong(line, 'a quote is not closed');
    this.#rest = text.slice(start);
    if (this.#rest.length > maxRecordLength) {
      throw new ToolError(
        'too_large',
        `Line ${line}: one record is longer than ${maxRecordLength} characters.`,
        {
          hint: 'A quote may not be closed.',
        },
      );
    }
  }
}

/** Finds where the next one is, or the end of the text; asked for places that only grow. */
function seeker(text: string, what: string): (at: number) => number {
  let next = -1;
  return (at) => {
    if (next < at) next = text.indexOf(what, at);
    if (next < 0) next = text.length;
    return next;
  };
}

function count(text: string, what: string): number {
  let found = 0;
  for (let at = text.indexOf(what); at >= 0; at = text.indexOf(what, at + 1)) found += 1;
  return found;
}

const wrong = (line: number, what: string) =>
  new ToolError('invalid_input', `Line ${line} of the CSV file: ${what}.`, {
    hint: 'Nothing was imported. Correct the file, or name the delimiter that it has.',
  });

/** One value in a line of CSV. NULL is nothing at all, and an empty text is quoted. */
export function csvField(value: null | bigint | number | string | Uint8Array, delimiter: string): string {
  if (value === null) return '';
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') {
    const text = String(value);
    // A whole number of type REAL stays one.
    return Number.isInteger(value) && !text.includes('e') ? `${text}.0` : text;
  }
  if (typeof value !== 'string') return Buffer.from(value).toString('base64');
  const isPlain = value !== '' && !value.includes(delimiter) && !/["\n\r]/.test(value);
  return isPlain ? value : `"${value.replaceAll('"', '""')}"`;
}

export type ColumnType = 'INTEGER' | 'REAL' | 'TEXT';

/** Finds the narrowest type that gives every value back as it was written. */
export class TypeFinder {
  #type: ColumnType | undefined;
  /** An integer that a REAL cannot hold. */
  #hasLarge = false;

  see(field: Field): void {
    if (field === null || this.#type === 'TEXT') return;
    const type = typeOf(field);
    if (type === 'INTEGER') this.#hasLarge ||= !Number.isSafeInteger(Number(field));
    if (this.#type === undefined || type === 'TEXT') this.#type = type;
    else if (type !== this.#type) this.#type = this.#hasLarge ? 'TEXT' : 'REAL';
  }

  get type(): ColumnType {
    return this.#type ?? 'TEXT';
  }
}

function typeOf(field: string): ColumnType {
  if (field.length > 25) return 'TEXT';
  if (/^-?(0|[1-9]\d{0,18})$/.test(field)) {
    const value = BigInt(field);
    return field !== '-0' && value >= -(2n ** 63n) && value < 2n ** 63n ? 'INTEGER' : 'TEXT';
  }
  if (!/^-?(0|[1-9]\d*)\.\d+$/.test(field)) return 'TEXT';
  const text = String(Number(field));
  return text === field || `${text}.0` === field ? 'REAL' : 'TEXT';
}
