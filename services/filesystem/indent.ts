/** Gives new lines the indentation of those that they replace, where the caller gave both with another one. */

/** How a line was said to be indented, and how it is. */
export interface Move {
  readonly given: string;
  readonly found: string;
}

export const indentOf = (line: string): string => /^\s*/.exec(line)?.[0] ?? '';

/**
 * A text whose lines are moved as the given ones are; blank lines stay as they are. `undefined` where it is not clear
 * how far: the given lines do not all move alike, or tabs would follow spaces of an unknown width.
 */
export function moved(text: string, moves: readonly Move[]): string | undefined {
  const newIndent = added(moves) ?? removed(moves) ?? converted(moves);
  if (!newIndent) return undefined;
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const rest = line.trimStart();
    const indent = newIndent(indentOf(line));
    if (rest !== '' && indent === undefined) return undefined;
    lines.push(rest === '' ? line : `${indent}${rest}`);
  }
  return lines.join('\n');
}

type NewIndent = (indent: string) => string | undefined;

/** All lines stand deeper than given, by the same. */
function added(moves: readonly Move[]): NewIndent | undefined {
  const [first = { given: '', found: '' }] = moves;
  const more = first.found.slice(0, Math.max(0, first.found.length - first.given.length));
  if (moves.some(({ given, found }) => found !== more + given)) return undefined;
  const known = new Set(moves.map(({ given }) => given));
  return (indent) => (known.has(indent) || isOfOneKind(more, indent) ? more + indent : undefined);
}

/** Nobody knows how many spaces a tab is. */
const isOfOneKind = (before: string, after: string) =>
  before === '' || after === '' || before.at(-1) === after[0];

/** All lines stand less deep than given, by the same. */
function removed(moves: readonly Move[]): NewIndent | undefined {
  const [first = { given: '', found: '' }] = moves;
  const less = first.given.slice(0, Math.max(0, first.given.length - first.found.length));
  if (moves.some(({ given, found }) => given !== less + found)) return undefined;
  return (indent) => (indent.startsWith(less) ? indent.slice(less.length) : undefined);
}

const widest = 8;

/** Given with spaces where tabs are, or the other way round. Lines of different depth show how many spaces a tab is. */
function converted(moves: readonly Move[]): NewIndent | undefined {
  const [spaces, tabs] = moves.every(({ given }) => /^ *$/.test(given))
    ? (['given', 'found'] as const)
    : (['found', 'given'] as const);
  if (moves.some((move) => !/^ *$/.test(move[spaces]) || !/^\t*$/.test(move[tabs]))) return undefined;
  const [first = { given: '', found: '' }] = moves;
  const deeper = (move: Move, kind: 'given' | 'found') => move[kind].length - first[kind].length;
  const other = moves.find((move) => deeper(move, tabs) !== 0);
  const width = other && deeper(other, spaces) / deeper(other, tabs);
  if (width === undefined)
    return moves.every((move) => deeper(move, spaces) === 0)
      ? (indent) => (indent === first.given ? first.found : undefined)
      : undefined;
  if (!Number.isInteger(width) || width < 1 || width > widest) return undefined;
  if (moves.some((move) => deeper(move, spaces) !== width * deeper(move, tabs))) return undefined;
  const [of, to, perOne] = spaces === 'given' ? [' ', '\t', 1 / width] : ['\t', ' ', width];
  return (indent) => {
    const length = first.found.length + (indent.length - first.given.length) * perOne;
    const isClear = indent === of.repeat(indent.length) && Number.isInteger(length) && length >= 0;
    return isClear ? to.repeat(length) : undefined;
  };
}
