/** The beginning of an answer in place of all of it: which of it is text, where it is cut, what stays as it is. Pure. */
import { cutAt } from '#runtime/page.ts';
import { tokensIn } from '#runtime/tokens-in.ts';

export type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The content blocks of a result. */
export const blocksOf = ({ content }: Json): readonly Json[] =>
  Array.isArray(content) ? content.filter(isObject) : [];

/** A text of a block, without the boundary that the fleet draws around text of others. */
interface Told {
  readonly opening: string;
  readonly text: string;
  readonly closing: string;
  /** The block with another text. */
  with(text: string): Json;
}

/** Texts, and documents that are part of the answer. Pictures, sounds and links are no text: they stay. */
function toldIn(block: Json): Told | undefined {
  const { type, text, resource } = block;
  if (type === 'text' && typeof text === 'string')
    return { ...unbound(text), with: (other) => ({ ...block, text: other }) };
  if (type !== 'resource' || !isObject(resource) || typeof resource['text'] !== 'string') return undefined;
  return {
    ...unbound(resource['text']),
    with: (other) => ({ ...block, resource: { ...resource, text: other } }),
  };
}

function unbound(text: string): Pick<Told, 'opening' | 'text' | 'closing'> {
  const [, name] = /^<(untrusted-[0-9a-f]+)> [^\n]*\n/.exec(text.slice(0, 300)) ?? [];
  const closing = `\n</${name}>`;
  if (name === undefined || !text.endsWith(closing)) return { opening: '', text, closing: '' };
  const begin = text.indexOf('\n') + 1;
  return { opening: text.slice(0, begin), text: text.slice(begin, -closing.length), closing };
}

/** All text of the blocks, in order. */
export const textIn = (blocks: readonly Json[]) =>
  blocks.flatMap((block) => toldIn(block)?.text ?? []).join('\n');

export interface Beginning {
  readonly blocks: readonly Json[];
  /** The line of the whole text with which it goes on, from 1. */
  readonly nextLine: number;
}

/** As much text as takes so many tokens, up to the end of a line where one is near. */
export function beginningOf(blocks: readonly Json[], tokens: number): Beginning {
  const kept: Json[] = [];
  let left = tokens;
  let lines = 0;
  let isCut = false;
  for (const block of blocks) {
    const told = toldIn(block);
    if (!told) kept.push(block);
    if (!told || isCut) continue;
    const text = head(told.text, left);
    isCut = text.length < told.text.length;
    left -= tokensIn(text);
    lines += linesIn(text, isCut);
    const shown = isCut ? text.trimEnd() : text;
    if (shown !== '') kept.push(told.with(`${told.opening}${shown}${told.closing}`));
  }
  return { blocks: kept, nextLine: lines + 1 };
}

/** Of a text that is cut in the midst of a line, this line comes again. */
function linesIn(text: string, isCut: boolean): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines += 1;
  return isCut ? lines : lines + 1;
}

const stepChars = 32;

function head(text: string, tokens: number): string {
  let end = 0;
  for (let left = tokens; end < text.length; end += stepChars) {
    left -= tokensIn(text.slice(end, end + stepChars));
    if (left < 0) break;
  }
  if (end >= text.length) return text;
  const cut = cutAt(text, end);
  const line = text.lastIndexOf('\n', cut - 1) + 1;
  return text.slice(0, line > cut / 2 ? line : cut);
}

/** A longer text has more tokens than there are, unless it is mostly blank. */
export const mostCharsPerToken = 16;
/**
 * From long to short: most characters of a text, items of a list, and entries of an object. Those of an object mostly have to be
 * there, so that it keeps more of them.
 */
const sizes = [
  [8_000, 500, 500],
  [2_000, 100, 100],
  [500, 30, 50],
  [120, 10, 50],
  [40, 3, 50],
  [40, 1, 50],
  [20, 1, 3],
] as const;
/** What a shortened object says of itself, where its schema lets it. */
const noteName = 'shortened';

/**
 * Data with shorter texts and lists, which still fit what is said of them.
 *
 * @returns `undefined` where it cannot be shortened so.
 */
export function shortened(
  data: Json,
  tokens: number,
  note: string,
  fits: (data: Json) => boolean,
): Json | undefined {
  for (const size of sizes) {
    const shorter = shorterOf(data, size) as Json;
    const text = JSON.stringify(shorter);
    if (text.length > tokens * mostCharsPerToken || tokensIn(text) > tokens) continue;
    const noted = Object.hasOwn(shorter, noteName) ? shorter : { ...shorter, [noteName]: note };
    const fitting = [noted, shorter].find(fits);
    if (fitting) return fitting;
  }
  return undefined;
}

function shorterOf(value: unknown, size: (typeof sizes)[number]): unknown {
  const [chars, items, entries] = size;
  if (typeof value === 'string')
    return value.length <= chars ? value : `${value.slice(0, cutAt(value, chars))}…`;
  if (Array.isArray(value)) return value.slice(0, items).map((one) => shorterOf(one, size));
  if (!isObject(value)) return value;
  const kept = Object.entries(value).slice(0, entries);
  return Object.fromEntries(kept.map(([name, one]) => [name, shorterOf(one, size)]));
}
