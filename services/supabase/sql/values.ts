/** What Postgres sends as text, as values of JSON that lose nothing. */
import pg from 'pg';

import { cutAt, pageBytes } from '#runtime/page.ts';

import { exactJson, exactNumber } from '../exact.ts';
import { maxCellBytes } from '../limits.ts';

export type Row = Readonly<Record<string, unknown>>;

interface Field {
  readonly name: string;
  readonly dataTypeID: number;
}

/** Two columns of one name are `a` and `a:1`. */
export function columnNames(fields: readonly Field[]): string[] {
  const names = new Set<string>();
  for (const { name } of fields) {
    let unique = name;
    for (let number = 1; names.has(unique); number += 1) unique = `${name}:${number}`;
    names.add(unique);
  }
  return [...names];
}

/** A row for an answer. `cut` names the columns that are not whole. */
export function shown(
  values: readonly (string | null)[],
  fields: readonly Field[],
  names: readonly string[],
): { readonly row: Row; readonly cut: readonly string[] } {
  const mostLength = cellLength(fields.length);
  const cut: string[] = [];
  const entries = names.map((name, at) => {
    const text = values[at] ?? null;
    if (text === null) return [name, null] as const;
    if (text.length > mostLength) {
      cut.push(name);
      return [name, `${text.slice(0, cutAt(text, mostLength))}…`] as const;
    }
    return [name, valueOf(text, fields[at]?.dataTypeID ?? 0)] as const;
  });
  return { row: Object.fromEntries(entries), cut };
}

/** A row with very many long values has to fit into an answer as well. */
export function cellLength(columns: number): number {
  return Math.max(100, Math.min(maxCellBytes, Math.floor(pageBytes / Math.max(columns, 1))));
}

const boolean = (text: string) => text === 't';
const json = (text: string): unknown => JSON.parse(exactJson(text));
const same = (text: string) => text;

/** By the number that Postgres gives a type in every database. What is not here stays the text that Postgres writes. */
const scalars: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [16, boolean],
  ...[20, 21, 23, 26, 700, 701, 1_700].map((oid) => [oid, exactNumber] as const),
  [114, json],
  [3_802, json],
]);

/** The type of an array, and of what is in it. */
const arrays: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [1_000, boolean],
  // int8, int2, int4, oid, float4, float8, numeric
  ...[1_016, 1_005, 1_007, 1_028, 1_021, 1_022, 1_231].map((oid) => [oid, exactNumber] as const),
  [199, json],
  [3_807, json],
  // text, varchar, char, name, uuid, date, timestamp, timestamptz, time, bytea, inet
  ...[1_009, 1_015, 1_014, 1_003, 2_951, 1_182, 1_115, 1_185, 1_183, 1_001, 1_041].map(
    (oid) => [oid, same] as const,
  ),
]);

function valueOf(text: string, oid: number): unknown {
  const scalar = scalars.get(oid);
  if (scalar) return scalar(text);
  const element = arrays.get(oid);
  // An array whose bounds do not begin at 1 is written with them: it stays as it is written.
  return element && text.startsWith('{') ? arrayParser.create(text, element).parse() : text;
}

/** The types of pg say otherwise, and are wrong. */
const arrayParser = pg.types.arrayParser as unknown as {
  create(text: string, element: (text: string) => unknown): { parse(): unknown[] };
};
