/** Durations and sizes as LogQL writes them, and as log lines do. */

const msPerUnit: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

/** By their names in lower case. Those with an i count in 1,024s. */
const bytesPerUnit: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  pb: 1e15,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  pib: 2 ** 50,
};

/** Milliseconds of `1h30m`, `250ms`, `1.5s`; `undefined` for what is no duration. */
export const durationMs = (text: string) => sumOf(text, (unit) => msPerUnit[unit]);

/** Bytes of `42MB`, `1.5KiB`, `20B`; `undefined` for what is no size. */
export const sizeBytes = (text: string) => sumOf(text, (unit) => bytesPerUnit[unit.toLowerCase()]);

function sumOf(text: string, factorOf: (unit: string) => number | undefined): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1;
  const start = sign < 0 || text.startsWith('+') ? 1 : 0;
  let sum = 0;
  let end = start;
  for (const part of text.slice(start, 100).matchAll(parts)) {
    const factor = factorOf(part[2] as string);
    if (factor === undefined || part.index !== end - start) return undefined;
    sum += Number(part[1]) * factor;
    end += part[0].length;
  }
  return end > start && end === text.length ? sign * sum : undefined;
}

const parts = /(\d+(?:\.\d+)?|\.\d+) ?([a-zµμ]+)/giu;

/** A number as a label holds it; `undefined` for text. */
export function numberOf(text: string): number | undefined {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isNaN(value) ? undefined : value;
}
