/**
 * One line of the Prometheus text format, as prom-client writes it. No library that is kept up reads it, and only our own processes are
 * read; another program may answer on a port of theirs all the same, so that a line is text of others until it is parsed.
 */

export interface Figure {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

/** Longer ones are not ours. */
export const mostLineLength = 4_096;

const form = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy;

/** @returns `undefined` for comments, and for what is no such line. */
export function figureIn(line: string): Figure | undefined {
  if (line.length > mostLineLength) return undefined;
  const [, name, text = '', number = ''] = form.exec(line) ?? [];
  if (name === undefined) return undefined;
  const labels = labelsIn(text);
  const value = Number(number);
  return labels && Number.isFinite(value) ? { name, labels, value } : undefined;
}

function labelsIn(text: string): Map<string, string> | undefined {
  const labels = new Map<string, string>();
  let end = 0;
  for (const { 0: all, 1: name = '', 2: value = '', index } of text.matchAll(label)) {
    labels.set(name, unescaped(value));
    end = index + all.length;
  }
  return end === text.length ? labels : undefined;
}

function unescaped(value: string): string {
  return value.includes('\\')
    ? value.replaceAll(/\\(.)/g, (_, mark: string) => (mark === 'n' ? '\n' : mark))
    : value;
}
