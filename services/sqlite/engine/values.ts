/**
 * Values of SQLite in JSON, both ways. JSON has no 64-bit integers, bytes or infinities: these are objects of one key,
 * `{"int64": "9223372036854775807"}`, `{"base64": "AAE="}` and `{"real": "Infinity"}`.
 */
import type { SQLInputValue, SQLOutputValue } from 'node:sqlite';

import { ToolError } from '#runtime/errors.ts';

export type Cell = null | number | string | { int64: string } | { base64: string } | { real: string };

export type Given = null | boolean | number | string | Readonly<Record<string, unknown>>;

const isBetween = (value: bigint) => value >= -(2n ** 63n) && value < 2n ** 63n;
const isBase64 = (text: string) =>
  /^[A-Za-z0-9+/]*={0,2}$/.test(text) && Buffer.from(text, 'base64').toString('base64') === text;

/** Why something is no value of SQLite; `undefined` when it is one. */
export function whyNoValue(given: unknown): string | undefined {
  if (given === null || typeof given === 'boolean') return undefined;
  if (typeof given === 'number') {
    // Beyond, JSON has lost the last digits before we saw them.
    return Number.isInteger(given) && !Number.isSafeInteger(given) && Math.abs(given) < 2 ** 64
      ? 'an integer beyond 2^53 is written as {"int64": "9223372036854775807"}'
      : undefined;
  }
  if (typeof given === 'string') return given.isWellFormed() ? undefined : 'a text must be well-formed';
  if (typeof given !== 'object' || Array.isArray(given)) return other;
  const [[key, value] = ['', undefined], ...more] = Object.entries(given);
  if (more.length > 0) return other;
  if (key === 'int64') {
    const isInteger = typeof value === 'string' && /^-?\d{1,19}$/.test(value) && isBetween(BigInt(value));
    return isInteger ? undefined : 'int64 takes the digits of a 64-bit integer as text';
  }
  if (key === 'base64')
    return typeof value === 'string' && isBase64(value) ? undefined : 'base64 takes padded base64';
  if (key === 'real') {
    const isReal = /^(-?Infinity|-?\d+(\.\d+)?(e[+-]?\d+)?)$/i.test(String(value));
    return isReal ? undefined : 'real takes a number or "Infinity"';
  }
  return other;
}

const other = 'a value is a text, number, boolean, null, {"int64": "…"}, {"base64": "…"} or {"real": "…"}';

/** A value that `whyNoValue` finds nothing wrong with. Whole numbers are integers, as they are written. */
export function bound(given: Given): SQLInputValue {
  if (given === null || typeof given === 'string') return given;
  if (typeof given === 'boolean') return given ? 1n : 0n;
  if (typeof given === 'number') return Number.isSafeInteger(given) ? BigInt(given) : given;
  const { int64, base64, real } = given as { int64?: string; base64?: string; real?: string | number };
  if (int64 !== undefined) return BigInt(int64);
  return base64 === undefined ? Number(real) : Buffer.from(base64, 'base64');
}

/** @returns the value, and how much of it was left out to fit `most` bytes, in words. */
export function cellOf(value: SQLOutputValue, most: number): { cell: Cell; cut?: string } {
  if (typeof value === 'bigint') {
    return { cell: BigInt.asIntN(54, value) === value ? Number(value) : { int64: String(value) } };
  }
  if (typeof value === 'number') return { cell: Number.isFinite(value) ? value : { real: String(value) } };
  if (value === null) return { cell: null };
  if (typeof value === 'string') {
    if (value.length <= most / 3 || Buffer.byteLength(value) <= most) return { cell: value };
    const kept = Buffer.from(value.slice(0, most))
      .subarray(0, most)
      .toString()
      .replace(/\ufffd$/, '');
    return { cell: kept, cut: `${value.length} characters` };
  }
  if (value.length * 1.4 <= most) return { cell: base64Of(value) };
  return { cell: base64Of(value.subarray(0, Math.floor(most / 1.4))), cut: `${value.length} bytes` };
}

const base64Of = (bytes: Uint8Array) => ({
  base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
});

/** An identifier in SQL, whatever is in it. */
export function quoted(name: string): string {
  if (name.includes('\0')) throw new ToolError('invalid_input', 'A name cannot contain NUL.');
  return `"${name.replaceAll('"', '""')}"`;
}

export const asText = (name: string): string => `'${name.replaceAll("'", "''")}'`;
