/** Rows of JSON for an answer: as many as it holds, with what is too long cut. */
import { cutAt, pageBytes } from '#runtime/page.ts';

import { cellLength } from '../sql/values.ts';

export type Row = Readonly<Record<string, unknown>>;

/** One row at least. `cut` names the columns that are not whole. */
export function shownRows(found: readonly Row[]): { readonly rows: Row[]; readonly cut: readonly string[] } {
  const rows: Row[] = [];
  const cut = new Set<string>();
  let bytes = 0;
  for (const row of found) {
    const one = shownRow(row);
    bytes += Buffer.byteLength(JSON.stringify(one.row)) + 2;
    if (bytes > pageBytes && rows.length > 0) break;
    rows.push(one.row);
    for (const name of one.cut) cut.add(name);
  }
  return { rows, cut: [...cut] };
}

function shownRow(row: unknown): { readonly row: Row; readonly cut: readonly string[] } {
  // A function may return a list of bare values.
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    const { value, isCut } = shownValue(row, cellLength(1));
    return { row: value as Row, cut: isCut ? ['value'] : [] };
  }
  const entries = Object.entries(row);
  const mostLength = cellLength(entries.length);
  const cut: string[] = [];
  const shown = entries.map(([name, value]) => {
    const one = shownValue(value, mostLength);
    if (one.isCut) cut.push(name);
    return [name, one.value] as const;
  });
  return { row: Object.fromEntries(shown), cut };
}

function shownValue(
  value: unknown,
  mostLength: number,
): { readonly value: unknown; readonly isCut: boolean } {
  const isText = typeof value === 'string';
  if (!isText && (typeof value !== 'object' || value === null)) return { value, isCut: false };
  const text = isText ? value : JSON.stringify(value);
  if (text.length <= mostLength) return { value, isCut: false };
  return { value: `${text.slice(0, cutAt(text, mostLength))}…`, isCut: true };
}
