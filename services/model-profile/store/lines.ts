/** Decisions as lines of JSON, each of which is read when it is its turn. */
import { Fault } from '../decision.ts';

export class Line {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  value(): unknown {
    try {
      return JSON.parse(this.#text) as unknown;
    } catch {
      throw new Fault('The line is no JSON.');
    }
  }
}

export function* linesOf(text: string): Generator<Line> {
  for (let from = 0; from < text.length;) {
    const newline = text.indexOf('\n', from);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(from, end);
    if (line.trim() !== '') yield new Line(line);
    from = end + 1;
  }
}

export function uidIn(given: unknown): string | undefined {
  const uid = typeof given === 'object' && given !== null && 'uid' in given ? given.uid : undefined;
  return typeof uid === 'string' ? uid.slice(0, 200) : undefined;
}
