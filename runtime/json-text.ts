/** A value that is JSON already: what is long need not be read to be written. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export const jsonTextOf = (value: object): string =>
  value instanceof JsonText ? value.text : JSON.stringify(value);

/** Characters of one piece: some milliseconds of work, where each has to be escaped. */
const pieceLength = 131_072;

/** Whether a text in it is so long that to escape it holds the loop. */
function hasLongText(value: unknown): boolean {
  if (typeof value === 'string') return value.length > pieceLength;
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(hasLongText);
}

/** As `JSON.stringify` writes it, piece by piece: others may be served between two of them. Of values that JSON has made. */
export function* jsonPieces(value: unknown): Generator<string> {
  if (!hasLongText(value)) yield JSON.stringify(value);
  else if (typeof value === 'string') yield* textPieces(value);
  else if (Array.isArray(value)) {
    yield '[';
    for (const [at, item] of (value as unknown[]).entries()) {
      if (at > 0) yield ',';
      yield* jsonPieces(item);
    }
    yield ']';
  } else {
    let before = '{';
    for (const [key, inner] of Object.entries(value as object)) {
      if (inner === undefined) continue;
      yield `${before}${JSON.stringify(key)}:`;
      yield* jsonPieces(inner);
      before = ',';
    }
    yield '}';
  }
}

function* textPieces(text: string): Generator<string> {
  yield '"';
  for (let at = 0; at < text.length;) {
    let end = at + pieceLength;
    // Both halves of a character stay together.
    if (isFirstHalf(text.charCodeAt(end - 1))) end += 1;
    yield JSON.stringify(text.slice(at, end)).slice(1, -1);
    at = end;
  }
  yield '"';
}

const isFirstHalf = (code: number) => code >= 0xd800 && code <= 0xdbff;
