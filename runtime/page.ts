/** What goes into one answer: pages of texts, and as many rows of a list as fit. */
import { encodeCursor } from './cursor.ts';

/**
 * What an answer holds of texts and lists unless the caller wants more, in bytes of UTF-8: eight thousand tokens of English, ten to
 * twenty thousand of most else. Clients cut answers of more than 25,000.
 */
export const pageBytes = 32_000;

/** The most that a program may ask for: to write and send more at once would keep others waiting. */
export const maxPageBytes = 128_000;

interface Page {
  readonly text: string;
  /** Where the next page begins. */
  readonly next: number | undefined;
}

/**
 * So many bytes of UTF-8 at most, up to the end of a line where one ends in the second half. Bytes, because characters that
 * take more of them take more tokens.
 */
export function pageOf(text: string, start: number, mostBytes: number): Page {
  const end = endOf(text, start, mostBytes);
  if (end === text.length) return { text: text.slice(start), next: undefined };
  const page = text.slice(start, end);
  const newline = page.lastIndexOf('\n') + 1;
  const next = newline > page.length / 2 ? start + newline : end;
  return { text: text.slice(start, next), next };
}

/** Whole characters, and one at least. */
function endOf(text: string, start: number, mostBytes: number): number {
  if ((text.length - start) * mostBytesPerUnit <= mostBytes) return text.length;
  let bytes = 0;
  for (let at = start; at < text.length;) {
    const code = text.codePointAt(at) as number;
    bytes += code < 0x80 ? 1 : code < 0x8_00 ? 2 : code < 0x1_00_00 ? 3 : 4;
    if (bytes > mostBytes && at > start) return at;
    at += code < 0x1_00_00 ? 1 : 2;
  }
  return text.length;
}

/** UTF-8 takes three for one unit of UTF-16, and four for two. */
const mostBytesPerUnit = 3;

/** No pair of surrogates is cut: a half of one is no text. */
export function cutAt(text: string, end: number): number {
  if (end >= text.length) return text.length;
  const unit = text.charCodeAt(end);
  return unit >= 0xdc_00 && unit < 0xe0_00 ? end - 1 : end;
}

/** A text as a model reads it, with how to read on where it is a page. */
export const withCursor = (text: string, cursor: string | undefined) =>
  cursor === undefined ? text : `${text}\n[truncated: call again with cursor ${cursor}]`;

/** As many as an answer holds by default, but always one: a cursor must not stand still. */
export function fitting<Row>(rows: readonly Row[]): Row[] {
  let bytes = 0;
  const end = rows.findIndex(
    (row, at) => (bytes += Buffer.byteLength(JSON.stringify(row))) > pageBytes && at > 0,
  );
  return rows.slice(0, end < 0 ? undefined : end);
}

/** What an answer says of where it goes on; nothing where that is nowhere. */
export const continued = (
  tool: string,
  args: object,
  next: readonly (number | string)[] | undefined,
): { truncated?: true; next_cursor?: string } =>
  next ? { truncated: true, next_cursor: encodeCursor(tool, args, next) } : {};
