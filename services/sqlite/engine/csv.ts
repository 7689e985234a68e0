/** CSV as RFC 4180 has it, and as it is written in the wild: read in pieces, with the line of what is wrong. */
import { ToolError } from '#runtime/errors.ts';

import { maxColumns, maxRecordLength } from '../limits.ts';

/** A field that was not quoted and is empty has no text. */
export type Field = string | null;

export const delimiters = [',', ';', '\t', '|'] as const;

export interface CsvForm {
  readonly delimiter: string;
  /** What stands for NULL where it is not quoted, besides nothing at all. */
  readonly nullText?: string | undefined;
}

/** What comes next: a field, more of one that is quoted or not, or what ends a field. */
type Expected = 'field' | 'bare' | 'quoted' | 'end';

/** Takes pieces of a text, looks at each character once, and hands on each record with the line that it begins in. */
export class CsvReader {
  readonly #form: CsvForm;
  readonly #receive: (record: Field[], line: number) => void;
  #expected: Expected = 'field';
  #record: Field[] = [];
  /** Of the record, in characters. */
  #length = 0;
  /** What there is of a field. */
  #value = '';
  /** The last field that was not quoted has no text. */
  #isBlank = false;
  #line = 1;
  /** Line ends within the record. */
  #lines = 0;
  /** A quote or carriage return at the end of a piece: what it means, the next one says. */
  #rest = '';

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
    if (this.#expected === 'quoted') throw wrong(this.#line, 'a quote is not closed');
    if (this.#expected === 'bare' || this.#record.length > 0) this.#endRecord();
  }

  #read(text: string, isLast: boolean): void {
    const { delimiter } = this.#form;
    // Looked for once, not again for each field before them.
    const bareEnds = [seeker(text, '\n'), seeker(text, '\r'), seeker(text, delimiter)] as const;
    const [lineFeed, carriageReturn, delimiting] = bareEnds;
    this.#rest = '';
    for (let at = 0; at < text.length;) {
      switch (this.#expected) {
        case 'field': {
          const isQuoted = text[at] === '"';
          this.#expected = isQuoted ? 'quoted' : 'bare';
          if (isQuoted) at += 1;
          break;
        }
        case 'bare': {
          const end = Math.min(lineFeed(at), carriageReturn(at), delimiting(at));
          this.#take(text.slice(at, end));
          at = end;
          if (at < text.length) this.#endBare();
          break;
        }
        case 'quoted': {
          let end = text.indexOf('"', at);
          while (end >= 0 && text[end + 1] === '"') end = text.indexOf('"', end + 2);
          const part = text.slice(at, end < 0 ? undefined : end);
          this.#take(part.includes('"') ? part.replace(/""/g, '"') : part);
          if (end < 0) return;
          if (end + 1 === text.length && !isLast) {
            this.#rest = '"';
            return;
          }
          at = end + 1;
          this.#lines += lineEndsIn(this.#value);
          this.#record.push(this.#value);
          this.#value = '';
          this.#expected = 'end';
          break;
        }
        case 'end': {
          const next = text[at];
          if (next === '\r' && at + 1 === text.length && !isLast) {
            this.#rest = next;
            return;
          }
          if (next === delimiter) {
            if (this.#record.length >= maxColumns) throw wrong(this.#line, `more than ${maxColumns} fields`);
            this.#expected = 'field';
          } else if (next === '\n' || next === '\r') {
            this.#endRecord();
            if (next === '\r' && text[at + 1] === '\n') at += 1;
          } else {
            throw wrong(this.#line + this.#lines, `after a closing quote comes ${JSON.stringify(next)}`);
          }
          at += 1;
        }
      }
    }
  }

  #take(part: string): void {
    this.#value = this.#value === '' ? part : this.#value + part;
    this.#length += part.length;
    if (this.#length <= maxRecordLength) return;
    throw new ToolError(
      'too_large',
      `Line ${this.#line}: one record is longer than ${maxRecordLength} characters.`,
      { hint: 'A quote may not be closed.' },
    );
  }

  #endBare(): void {
    this.#record.push(this.#value === '' || this.#value === this.#form.nullText ? null : this.#value);
    this.#isBlank = this.#value === '';
    this.#value = '';
    this.#expected = 'end';
  }

  #endRecord(): void {
    // The last one of the file has nothing after it.
    if (this.#expected !== 'end') this.#endBare();
    // An empty line is no record; a text for NULL alone is one.
    const isEmptyLine = this.#record.length === 1 && this.#record[0] === null && this.#isBlank;
    const [record, line] = [this.#record, this.#line];
    this.#line += this.#lines + 1;
    this.#lines = 0;
    this.#record = [];
    this.#length = 0;
    this.#expected = 'field';
    if (!isEmptyLine) this.#receive(record, line);
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

const lineEndsIn = (text: string) =>
  text.includes('\n') || text.includes('\r') ? (text.match(/\r\n|\n|\r/g)?.length ?? 0) : 0;

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

export type ColumnType = 'INTEGER' | 'REAL' | 'NUMERIC' | 'TEXT';

/** Finds the narrowest type that gives every value back as it was written. */
export class TypeFinder {
  readonly #seen = new Set<Kind>();

  see(field: Field): void {
    if (field !== null && !this.#seen.has('text')) this.#seen.add(kindOf(field));
  }

  get type(): ColumnType {
    const has = (kind: Kind) => this.#seen.has(kind);
    if (has('text') || this.#seen.size === 0) return 'TEXT';
    if (!has('integer')) return 'REAL';
    // NUMERIC keeps 5 apart from 5.5, but makes 5 of 5.0.
    if (has('whole')) return 'TEXT';
    return has('fraction') ? 'NUMERIC' : 'INTEGER';
  }
}

/** A `whole` number is written with a point. */
type Kind = 'integer' | 'whole' | 'fraction' | 'text';

function kindOf(field: string): Kind {
  if (field.length > 25) return 'text';
  if (/^-?(0|[1-9]\d{0,18})$/.test(field)) {
    const value = BigInt(field);
    return field !== '-0' && value >= -(2n ** 63n) && value < 2n ** 63n ? 'integer' : 'text';
  }
  if (!/^-?(0|[1-9]\d*)\.\d+$/.test(field)) return 'text';
  const text = String(Number(field));
  if (text === field) return 'fraction';
  return `${text}.0` === field ? 'whole' : 'text';
}
