/**
 * Breaks in audit trails that a person meant: a restore, which puts an older trail in place, or an acceptance of what is
 * there. They stand in the data folder, where on a host no process of the fleet can write. Heads that others saw before are
 * held against a trail with regard to them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { giveToReaders } from '../data/data-folder.ts';
import { DamagedDataError } from '../errors.ts';
import { writeFileAtomic } from '../files.ts';
import { headSchema, type Head } from './audit-chain.ts';
import type { Anchor } from './audit-proof.ts';

const chainSchema = headSchema.shape.chain.unwrap();

const breakSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('restored'),
    name: z.string(),
    at: z.iso.datetime(),
    archive: z.string(),
    /** The chain in the archive, and how far it had come there. */
    from: chainSchema,
    sequence: z.int().min(0),
    /** The chain that goes on from it. */
    to: chainSchema,
  }),
  z.strictObject({ kind: z.literal('accepted'), name: z.string(), at: z.iso.datetime() }),
]);

export type Break = Readonly<z.output<typeof breakSchema>>;

export const breaksFile = (dataRoot: string) => join(dataRoot, 'audit-breaks.jsonl');

/** @throws DamagedDataError when the file is not what this program writes. */
export function readBreaks(dataRoot: string): readonly Break[] {
  const file = breaksFile(dataRoot);
  if (!existsSync(file)) return [];
  try {
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
    return lines.map((line) => breakSchema.parse(JSON.parse(line)));
  } catch (cause) {
    throw new DamagedDataError(`${file} cannot be read as a list of breaks: move it away.`, { cause });
  }
}

export function addBreaks(dataRoot: string, more: readonly Break[]): void {
  const lines = [...readBreaks(dataRoot), ...more].map((one) => `${JSON.stringify(one)}\n`);
  writeFileAtomic(breaksFile(dataRoot), lines.join(''));
  giveToReaders(breaksFile(dataRoot), dataRoot);
}

/** What others saw of a process's trail, sorted by what its breaks leave to be said. */
export interface Sorted<Seen extends Anchor> {
  /** These have to be in the trail. */
  readonly due: readonly Seen[];
  /** These are of another chain, and nothing tells why this one took its place. */
  readonly unexplained: readonly Seen[];
}

/** `head` is `undefined` where it is lost: then every anchor is due. */
export function sortAnchors<Seen extends Anchor>(
  name: string,
  head: Head | undefined,
  anchors: readonly Seen[],
  breaks: readonly Break[],
): Sorted<Seen> {
  const own = breaks.filter((one) => one.name === name);
  const acceptedAt = own.findLast(({ kind }) => kind === 'accepted')?.at ?? '';
  const restore = own.find((one) => one.kind === 'restored' && one.to === head?.chain);
  const due: Seen[] = [];
  const unexplained: Seen[] = [];
  for (const anchor of anchors) {
    const { chain, sequence, seenAt } = anchor;
    if (seenAt <= acceptedAt) continue;
    if (!head || chain === head.chain) due.push(anchor);
    else if (restore?.kind !== 'restored') unexplained.push(anchor);
    else if (chain === restore.from && sequence <= restore.sequence) due.push(anchor);
  }
  return { due, unexplained };
}
