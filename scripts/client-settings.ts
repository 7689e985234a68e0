/** Reads the settings of a client, and merges servers into them, changing no other letter. */
import {
  createScanner,
  findNodeAtLocation,
  parse,
  parseTree,
  printParseErrorCode,
  type Node,
  type ParseError,
} from 'jsonc-parser';

import { ConfigError } from '#runtime/errors.ts';

import { isOurs } from './front-door.ts';
import { ownCommand } from './own-command.ts';

/**
 * The settings with the servers that are due, and without ours that no longer are. Everything else stays as it is, comments
 * included.
 *
 * @throws ConfigError for settings that cannot be merged into.
 */
export function mergedSettings(before: string, due: string, file: string): string {
  return file.endsWith('.toml') ? mergedToml(before, due, file) : mergedJson(before, due, file);
}

/** What a merge adds besides servers: keys, and elements of lists as KEY/ID. What is there already is not added. */
export function addedBy(before: string, due: string, file: string): readonly string[] {
  if (file.endsWith('.toml')) return [];
  const old = (before.trim() === '' ? {} : parse(before)) as Readonly<Record<string, unknown>>;
  return Object.entries(JSON.parse(due) as Readonly<Record<string, unknown>>).flatMap(([key, value]) => [
    ...(key in old ? [] : [key]),
    ...(Array.isArray(value) ? (value as readonly { readonly id: string }[]) : [])
      .filter(({ id }) => !idsIn(old[key]).includes(id))
      .map(({ id }) => `${key}/${id}`),
  ]);
}

const idsIn = (list: unknown): readonly unknown[] =>
  Array.isArray(list) ? list.map((one) => (one as { readonly id?: unknown } | null)?.id) : [];

/**
 * The settings without servers of ours, and without what was added for them. Everything else stays as it is.
 *
 * @throws ConfigError for settings that cannot be read.
 */
export function withoutOurs(before: string, due: string, added: readonly string[], file: string): string {
  if (file.endsWith('.toml')) return withoutTables(before, file);
  if (before.trim() === '') return before;
  requireObject(before, file);
  let text = before;
  for (const [key, value] of Object.entries(JSON.parse(due) as Readonly<Record<string, unknown>>)) {
    if (!findNodeAtLocation(nodeAt(text, []), [key])) continue;
    if (!Array.isArray(value)) {
      for (const name of namesIn(text, key)) if (isOurs(name)) text = without(text, [key, name]);
    } else {
      for (const { id } of value as readonly { readonly id: string }[]) {
        const at = added.includes(`${key}/${id}`) ? idsIn(parse(text)[key]).indexOf(id) : -1;
        if (at >= 0) text = without(text, [key, at]);
      }
    }
    const isEmpty = (nodeAt(text, [key]).children ?? []).length === 0;
    if (isEmpty && added.includes(key)) text = without(text, [key]);
  }
  return text;
}

/** JSON with comments. @throws ConfigError that names the line. */
export function commentedJson(text: string, file: string): unknown {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (!first) return value;
  const line = text.slice(0, first.offset).split('\n').length;
  throw new ConfigError(`${file}, line ${line}: ${printParseErrorCode(first.error)}. Mend it there.`);
}

function unfit(file: string, what: string): ConfigError {
  return new ConfigError(`${file} ${what}: mend it, or paste what "${ownCommand()} connect" prints.`);
}

function mergedJson(before: string, due: string, file: string): string {
  let text = before.trim() === '' ? '{}\n' : before;
  const root = requireObject(text, file);
  for (const [key, value] of Object.entries(JSON.parse(due) as Record<string, object>)) {
    const there = findNodeAtLocation(root, [key]);
    const type = Array.isArray(value) ? 'array' : 'object';
    if (!there) text = withNew(text, [], `${JSON.stringify(key)}: `, value);
    else if (there.type !== type) throw unfit(file, `has a "${key}" that is no ${type}`);
    else if (Array.isArray(value)) text = withElements(text, key, value as { readonly id?: string }[]);
    else text = withServers(text, key, value as Record<string, unknown>);
  }
  return text;
}

function requireObject(text: string, file: string): Node {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  if (errors.length > 0 || root?.type !== 'object') throw unfit(file, 'is no JSON that can be merged into');
  return root;
}

/** Those that are not there by their id. */
function withElements(before: string, key: string, due: readonly { readonly id?: string }[]): string {
  let text = before;
  for (const one of due) {
    const ids = nodeAt(text, [key]).children?.map((node) => findNodeAtLocation(node, ['id'])?.value);
    if (!ids?.includes(one.id)) text = withNew(text, [key], '', one);
  }
  return text;
}

function withServers(before: string, key: string, due: Readonly<Record<string, unknown>>): string {
  let text = before;
  for (const name of namesIn(text, key)) {
    if (isOurs(name) && !(name in due)) text = without(text, [key, name]);
  }
  for (const [name, entry] of Object.entries(due).toReversed()) {
    const there = findNodeAtLocation(nodeAt(text, []), [key, name]);
    if (!there) text = withNew(text, [key], `${JSON.stringify(name)}: `, entry);
    else {
      const end = there.offset + there.length;
      const value: unknown = parse(text.slice(there.offset, end));
      if (JSON.stringify(value) !== JSON.stringify(entry))
        text = spliced(text, there.offset, end, indented(entry, 2));
    }
  }
  return text;
}

const namesIn = (text: string, key: string): readonly string[] =>
  (nodeAt(text, [key]).children ?? []).map((property) => String(property.children?.[0]?.value));

function nodeAt(text: string, path: readonly (string | number)[]): Node {
  const root = parseTree(text, [], { allowTrailingComma: true });
  const node = root && findNodeAtLocation(root, [...path]);
  if (!node) throw new Error(`There is nothing at ${path.join('.')}.`);
  return node;
}

/** In front of all others, where no comment is torn from what it is about. */
function withNew(text: string, path: readonly string[], name: string, value: unknown): string {
  const { offset, children = [] } = nodeAt(text, path);
  const restOfLine = /^[ \t]*(?:\/\/[^\n]*)?(?=\r?\n)/.exec(text.slice(offset + 1))?.[0] ?? '';
  const at = offset + 1 + restOfLine.length;
  const depth = path.length + 1;
  const separator = children.length > 0 ? ',' : '';
  const end = /^\s*\n/.test(text.slice(at))
    ? ''
    : `\n${'  '.repeat(children.length > 0 ? depth : depth - 1)}`;
  return spliced(text, at, at, `\n${'  '.repeat(depth)}${name}${indented(value, depth)}${separator}${end}`);
}

const indented = (value: unknown, depth: number) =>
  JSON.stringify(value, null, 2).replaceAll('\n', `\n${'  '.repeat(depth)}`);

/** A property, or an element of a list, goes with the comma that it needed, and its lines where nothing else is on them. */
function without(text: string, path: readonly (string | number)[]): string {
  const node = nodeAt(text, path);
  const property = typeof path.at(-1) === 'number' ? node : node.parent;
  const siblings = property?.parent?.children ?? [];
  const before = property && siblings[siblings.indexOf(property) - 1];
  if (!property) return text;
  const end = property.offset + property.length;
  const after = commaAfter(text, end);
  const separator = after ?? (before && commaAfter(text, before.offset + before.length));
  // From the end on, so that the places before stay true.
  let left = text;
  if (after !== undefined) left = spliced(left, after, after + 1, '');
  left = spliced(left, property.offset, end, '');
  if (after === undefined && separator !== undefined) left = spliced(left, separator, separator + 1, '');
  const at = property.offset - (after === undefined && separator !== undefined ? 1 : 0);
  const lineStart = left.lastIndexOf('\n', at - 1) + 1;
  const rest = /^[ \t]*\r?\n/.exec(left.slice(at))?.[0];
  const isBlank = left.slice(lineStart, at).trim() === '' && rest !== undefined;
  return isBlank ? spliced(left, lineStart, at + rest.length, '') : left;
}

/** Where the next comma stands, behind comments perhaps; `undefined` where something else comes first. */
function commaAfter(text: string, offset: number): number | undefined {
  const scanner = createScanner(text, true);
  scanner.setPosition(offset);
  scanner.scan();
  const at = scanner.getTokenOffset();
  return text[at] === ',' ? at : undefined;
}

function spliced(text: string, from: number, to: number, put: string): string {
  return text.slice(0, from) + put + text.slice(to);
}

/** Tables of ours are taken out, wherever they stand, and put at the end; comments among them stay. */
function mergedToml(before: string, due: string, file: string): string {
  const rest = withoutTables(before, file).trimEnd();
  return `${rest === '' ? '' : `${rest}\n\n`}${due}\n`;
}

function withoutTables(before: string, file: string): string {
  const kept: string[] = [];
  let isOfUs = false;
  for (const line of before.split('\n')) {
    if (/^\s*["']?mcp_servers["']?\s*=/.test(line)) throw unfit(file, 'has its mcp_servers on one line');
    const table = /^\s*\[+([^\]]+)\]/
      .exec(line)?.[1]
      ?.replaceAll(/["'\s]/g, '')
      .split('.');
    if (table) isOfUs = table[0] === 'mcp_servers' && isOurs(table[1] ?? '');
    if (!isOfUs || /^\s*#/.test(line)) kept.push(line);
  }
  return kept.join('\n');
}
