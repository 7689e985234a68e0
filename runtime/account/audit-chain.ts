/**
 * The form of an audit trail. Records are numbered; those that were written together are a group, whose first carries the
 * SHA-256 of the group before it. `head.json` says how far the chain had come. There is no key: whoever may write the folder
 * can write a chain of his own, which the heads show that others have seen (audit-proof.ts).
 */
import { hash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

/** What one record says. */
export interface AuditEvent {
  readonly time: string;
  readonly caller: string;
  readonly method: string;
  /** The tool, prompt or resource; `null` where there is none. */
  readonly target: string | null;
  /** `ok` or an error code. */
  readonly outcome: string;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly traceId: string;
  /** Where the record stands for several calls: how many, and the time of the first. Durations and bytes are their sums. */
  readonly calls?: number;
  readonly since?: string;
}

/** What the first record follows. */
export const genesis = '0'.repeat(64);

/** What records say that the trail wrote about itself. `target` has more: a file, numbers `1-500`. */
export const notes = {
  /** The head was gone or damaged when the process started, with records there. */
  headMissing: 'head_missing',
  /** Records had come after the head was last written: of a kill in that moment, or put in. */
  headBehind: 'head_behind',
  torn: 'torn_record_removed',
  /** `target` says which records went by their age or number. */
  expired: 'expired',
  /** What came before is of the archive that `target` names. */
  restored: 'restored',
  refused: 'refusals_not_recorded',
  /** From here on, some calls of the caller are counted: their sums follow. */
  counted: 'calls_counted',
} as const;

/** The `method` of these records. No call has it. */
export const noteMethod = 'audit';

export const headSchema = z
  .object({
    /** A chain from its start, or from its restore: drawn at random. Empty in heads of older versions. */
    chain: z
      .string()
      .regex(/^(?:[0-9a-f]{16})?$/)
      .default(''),
    sequence: z.int().min(0),
    hash: z.string().regex(/^[0-9a-f]{64}$/),
  })
  .refine(({ sequence, hash: value }) => (sequence === 0) === (value === genesis));

/** How far a chain has come: the number of its last record, and the hash of the group that ends there. */
export type Head = Readonly<z.output<typeof headSchema>>;

export function hashOf(line: string): string {
  return hash('sha256', line, 'hex');
}

export const segmentName = (number: number) => `audit-${String(number).padStart(6, '0')}.jsonl`;

/** The number in the name of a segment; `undefined` for any other file. */
export function segmentNumber(name: string): number | undefined {
  const digits = /^audit-(\d{6})\.jsonl$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export function segmentsOf(folder: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => segmentNumber(name) !== undefined)
        .toSorted()
    : [];
}

export const headName = 'head.json';

export const headText = (head: Head) => `${JSON.stringify(head)}\n`;

export function readHead(folder: string): Head | 'damaged' | undefined {
  const file = join(folder, headName);
  try {
    if (!lstatSync(file).isFile()) return 'damaged';
    return headSchema.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data ?? 'damaged';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'damaged';
  }
}

const recordSchema = z.object({
  sequence: z.int().min(1),
  previous: z.string().optional(),
  time: z.string().optional(),
  method: z.string().optional(),
  target: z.string().nullish(),
  outcome: z.string().optional(),
});

/** As far as the chain is concerned. */
export type ChainRecord = z.output<typeof recordSchema>;

export function parseRecord(line: string): ChainRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The lines of the group that the last line belongs to. */
export function lastGroup(lines: readonly string[]): readonly string[] {
  return lines.slice(
    Math.max(
      0,
      lines.findLastIndex((line) => parseRecord(line)?.previous !== undefined),
    ),
  );
}
