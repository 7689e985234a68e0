/**
 * What a foreign server's definitions were when they were first seen. A later one that differs, or is new, is held back until
 * the operator approves it: a server that was looked over cannot become another one in silence.
 *
 * Whatever is pinned stays so, also when the server is taken out and mounted again: a short absence is no way round.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { createTwoFilesPatch } from 'diff';
import { z } from 'zod';

import { DamagedDataError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { subjectOf, visible, type Definition } from './findings.ts';

const pinSchema = z.strictObject({
  kind: z.enum(['tool', 'prompt', 'instructions']),
  name: z.string(),
  hash: z.string(),
  since: z.string(),
  value: z.record(z.string(), z.unknown()),
});
const fileSchema = z.strictObject({ pinned: z.array(pinSchema), held: z.array(pinSchema) });

export type Pin = z.output<typeof pinSchema>;
export type Pins = z.output<typeof fileSchema>;

/** Of an upstream, in the gateway's own data folder. */
export const pinsFile = (dataDir: string, upstream: string): string =>
  join(dataDir, folderName, `${upstream}.json`);

const folderName = 'upstreams';

/** Whether they can be read in a copy of the folder. @throws DamagedDataError. */
export function readAllPins(dataDir: string): void {
  const folder = join(dataDir, folderName);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) if (name.endsWith('.json')) readPins(join(folder, name));
}

/** @returns `undefined` where nothing was seen yet. @throws DamagedDataError. */
export function readPins(file: string): Pins | undefined {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new DamagedDataError(
      `${file} cannot be read: ${(error as Error).message.slice(0, 200)}. Restore it from a backup; without it, the definitions of that server would be taken as they come.`,
      { cause: error },
    );
  }
}

/** The keys of an object in one order, so that a definition has one hash however it is written. */
export function hashOf({ kind, name, value }: Definition): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted({ kind, name, value })))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

const keyOf = ({ kind, name }: Pick<Definition, 'kind' | 'name'>) => `${kind} ${name}`;

/**
 * What may be offered of these definitions, which are all that the server has now, and what is held back. Pure.
 *
 * @param before `undefined` at first sight, which pins everything.
 */
export function judged(
  before: Pins | undefined,
  definitions: readonly Definition[],
  { approved, now }: { readonly approved: ReadonlySet<string>; readonly now: string },
): Pins {
  const pinned = new Map((before?.pinned ?? []).map((pin) => [keyOf(pin), pin]));
  const waiting = new Map((before?.held ?? []).map((pin) => [keyOf(pin), pin]));
  const held: Pin[] = [];
  for (const definition of definitions) {
    const key = keyOf(definition);
    const hash = hashOf(definition);
    const pin: Pin = { ...definition, hash, since: now };
    const known = pinned.get(key);
    if (known?.hash === hash) continue;
    if (before === undefined || approved.has(hash)) pinned.set(key, pin);
    else held.push(waiting.get(key)?.hash === hash ? (waiting.get(key) ?? pin) : pin);
  }
  return { pinned: [...pinned.values()], held };
}

/** Written when something changed, and not for nothing: the first sight of a server that has nothing yet does not count. */
export function writePins(file: string, before: Pins | undefined, pins: Pins): void {
  if (before === undefined && pins.pinned.length === 0) return;
  const text = JSON.stringify(pins);
  if (before !== undefined && JSON.stringify(before) === text) return;
  writeFileAtomic(file, text, 0o600);
}

/** What a held definition changes, for people: as a patch. */
export function differenceOf(pins: Pins, held: Pin): string {
  const before = pins.pinned.find((pin) => keyOf(pin) === keyOf(held));
  const text = (pin: Pin | undefined) => (pin ? `${linesOf(pin.value)}\n` : '');
  const patch = createTwoFilesPatch(
    before ? `${subjectOf(held)}, pinned ${before.since}` : 'nothing',
    `${subjectOf(held)}, seen ${held.since}`,
    text(before),
    text(held),
    '',
    '',
    { context: 2 },
  );
  return patch.replace(/^=+\n/, '');
}

/** JSON, but with texts as they are read; what is not seen is made visible. */
function linesOf(value: unknown, indent = ''): string {
  if (typeof value === 'string')
    return value.split('\n').length === 1
      ? visible(value)
      : value
          .split('\n')
          .map((line) => `\n${indent}| ${visible(line)}`)
          .join('');
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(sorted(value) as object);
  if (entries.length === 0) return Array.isArray(value) ? '[]' : '{}';
  return entries
    .map(([key, inner]) => {
      const isBranch = typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0;
      const said = linesOf(inner, `${indent}  `);
      return `\n${indent}${visible(key)}:${isBranch || said.startsWith('\n') ? '' : ' '}${said}`;
    })
    .join('')
    .replace(indent === '' ? /^\n/ : /^(?!)/, '');
}
