/** `upstreams.json`: the servers of others that the operator mounts. Comments are kept; every complaint has its line. */
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';

import { applyEdits, findNodeAtLocation, modify, parseTree, printParseErrorCode } from 'jsonc-parser';
import type { JSONPath, Node, ParseError } from 'jsonc-parser';
import { z } from 'zod';

import { entryOf } from '#config/catalogue.ts';
import { ConfigError } from '#runtime/errors.ts';

/** Its name in the fleet's data folder, which on a host nobody but root may write: whoever may, says what is started. */
export const upstreamsName = 'upstreams.json';

/** Beside it, with values that are secret, one `NAME=value` a line; for its owner alone. */
export const secretsName = 'upstreams.env';

export const upstreamNameForm = /^[a-z][a-z0-9-]{0,30}$/;

const sandboxClasses = ['none', 'files', 'network'] as const;
export type SandboxClass = (typeof sandboxClasses)[number];

const absolutePath = z
  .string()
  .refine((path) => isAbsolute(path), 'must be a path in full, beginning with /')
  .refine((path) => !path.includes('\0'), 'must not contain a zero byte');
const value = z.string().refine((text) => !text.includes('\0'), 'must not contain a zero byte');
const variableName = z.string().regex(/^[A-Za-z_]\w*$/, 'must be the name of a variable');
const headerName = z.string().regex(/^[\w!#$%&'*+.^|~-]+$/, 'must be the name of a header');

const common = {
  /** Before each of its names; empty where they are unique without it. */
  prefix: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{0,24}$/, 'must be up to 24 letters, digits, hyphens and underscores, or empty')
    .optional(),
  enabled: z.boolean().default(true),
  timeoutMs: z.int('must be a whole number').min(1_000).max(3_600_000).default(60_000),
  /** Hashes of definitions that were held back, and that the operator accepted. */
  approved: z.array(z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex')).default([]),
};

const remoteSchema = z.strictObject({
  ...common,
  url: z
    .string()
    .refine(isHttp, 'must be an address that begins with http:// or https://')
    .refine((url) => !hasPassword(url), 'must not contain a password: put it into headers, as ${NAME}'),
  type: z.enum(['http', 'sse']).default('http'),
  headers: z.record(headerName, value).default({}),
});

const localSchema = z.strictObject({
  ...common,
  command: value.min(1),
  args: z.array(value).default([]),
  env: z.record(variableName, value).default({}),
  cwd: absolutePath.optional(),
  /** `none`: all that the gateway may. `files`: only the paths named, no network. `network`: the same with network. */
  sandbox: z.enum(sandboxClasses).default('none'),
  /** Paths that it may read in a sandbox, besides the programs of the host. */
  read: z.array(absolutePath).default([]),
  /** Paths that it may write in a sandbox. */
  write: z.array(absolutePath).default([]),
});

export type RemoteEntry = z.input<typeof remoteSchema>;
export type LocalEntry = z.input<typeof localSchema>;
export type UpstreamEntry = RemoteEntry | LocalEntry;

type Named<Entry> = Omit<Entry, 'prefix'> & { readonly name: string; readonly prefix: string };
export type RemoteUpstream = Named<z.output<typeof remoteSchema>>;
export type LocalUpstream = Named<z.output<typeof localSchema>>;
export type Upstream = RemoteUpstream | LocalUpstream;

export const isLocal = (upstream: Upstream): upstream is LocalUpstream => 'command' in upstream;

/** @returns them in the order of the file, none where there is no file. @throws ConfigError that names file, line and remedy. */
export function readUpstreams(file: string): readonly Upstream[] {
  return parseUpstreams(textOf(file), file);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    throw new ConfigError(`${file} cannot be read (${code}): check its owner and permissions.`, {
      cause: error,
    });
  }
}

export function parseUpstreams(text: string, file: string): readonly Upstream[] {
  if (text.trim() === '') return [];
  const at = (offset: number) => `${file}, line ${text.slice(0, offset).split('\n').length}`;
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (first)
    throw new ConfigError(`${at(first.offset)}: ${words(printParseErrorCode(first.error))}. Mend it there.`);
  const complain = (path: JSONPath, message: string, node = tree && findNodeAtLocation(tree, path)) =>
    new ConfigError(`${at(node?.offset ?? 0)}, ${path.join('.') || 'the whole file'}: ${message}.`);

  if (tree?.type !== 'object') throw complain([], 'must be an object: {"upstreams": {}}');
  for (const member of tree.children ?? []) {
    const [key] = member.children ?? [];
    if (key?.value !== 'upstreams')
      throw complain([String(key?.value)], 'there is no such field; there is: upstreams', key);
  }
  const list = findNodeAtLocation(tree, ['upstreams']);
  if (!list) return [];
  if (list.type !== 'object') throw complain(['upstreams'], 'must be an object, with a name for each server');
  refuseTwins(tree, (path, key) => complain(path, 'stands here twice: remove one', key));

  return (list.children ?? []).map((member): Upstream => {
    const [key, node] = member.children ?? [];
    const name = String(key?.value);
    const path = ['upstreams', name];
    if (!upstreamNameForm.test(name))
      throw complain(
        path,
        'cannot name a server: use up to 31 small letters, digits and hyphens, a letter first',
        key,
      );
    // A scope that names one would reach the other.
    if (entryOf(name)) throw complain(path, `${name} is a name of the fleet: choose another one`, key);
    const entry = plainValue(node);
    const isObject = typeof entry === 'object' && entry !== null && !Array.isArray(entry);
    const kinds = isObject ? ['url', 'command'].filter((kind) => kind in entry) : [];
    if (kinds.length !== 1)
      throw complain(path, 'must be an object with either "url" or "command", and not both');
    const parsed = (kinds[0] === 'url' ? remoteSchema : localSchema).safeParse(entry);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw complain([...path, ...placeOf(issue)], messageOf(issue));
    }
    const { prefix = `${name.replaceAll('-', '_')}_`, ...rest } = parsed.data;
    return { ...rest, name, prefix };
  });
}

type Issue = z.core.$ZodIssue | undefined;

const placeOf = (issue: Issue): JSONPath => [
  ...((issue?.path ?? []) as JSONPath),
  ...(issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []),
];

function messageOf(issue: Issue): string {
  if (issue?.code !== 'unrecognized_keys') return issue?.message ?? 'is not valid';
  const schema = issue.keys.some((key) => key in localSchema.shape) ? 'a server with a url' : 'this server';
  return `there is no such field for ${schema}`;
}

/** JSON takes the last of two with one name in silence. */
function refuseTwins(node: Node, complaint: (path: JSONPath, key: Node) => Error, path: JSONPath = []): void {
  const seen = new Set<unknown>();
  for (const member of node.type === 'object' ? (node.children ?? []) : []) {
    const [key, inner] = member.children ?? [];
    if (!key || !inner) continue;
    const place = [...path, String(key.value)];
    if (seen.has(key.value)) throw complaint(place, key);
    seen.add(key.value);
    refuseTwins(inner, complaint, place);
  }
}

/** As JSON.parse would have it: `getNodeValue` makes objects without `__proto__` fields safe, but is not typed. */
function plainValue(node: Node | undefined): unknown {
  if (node?.type === 'array') return (node.children ?? []).map(plainValue);
  if (node?.type !== 'object') return node?.value;
  return Object.fromEntries(
    (node.children ?? []).map(({ children: [key, inner] = [] }) => [String(key?.value), plainValue(inner)]),
  );
}

const words = (code: string) =>
  code
    .replaceAll(/([A-Z])/g, ' $1')
    .trim()
    .toLowerCase();

function isHttp(text: string): boolean {
  // References stand for parts of it.
  const url = URL.parse(text.replaceAll(/\$\{[^}]*\}/g, 'x'));
  return url !== null && ['http:', 'https:'].includes(url.protocol);
}

function hasPassword(text: string): boolean {
  const url = URL.parse(text.replaceAll(/\$\{[^}]*\}/g, 'x'));
  return url !== null && (url.username !== '' || url.password !== '');
}

/** The text of the file with one server more, another one in its place, or without it; the rest stays as it was written. */
export function withUpstream(text: string, name: string, entry: UpstreamEntry | undefined): string {
  return edited(text, ['upstreams', name], entry);
}

/** The text of the file with these hashes as all that is approved for a server. */
export function withApproved(text: string, name: string, hashes: readonly string[]): string {
  return edited(text, ['upstreams', name, 'approved'], hashes.length === 0 ? undefined : hashes);
}

function edited(text: string, path: JSONPath, put: unknown): string {
  const before = text.trim() === '' ? '{\n  "upstreams": {}\n}\n' : text;
  const formattingOptions = { insertSpaces: true, tabSize: 2, eol: '\n' };
  return applyEdits(before, modify(before, path, put, { formattingOptions }));
}
