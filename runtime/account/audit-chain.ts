/**
 * The form of an audit trail, and its proof. Records are numbered; those that were written together are a group, whose first
 * carries the SHA-256 of the group before it, so that a changed, missing or reordered record breaks the chain. `head.json` says
 * how far the chain had come, so that a cut-off end is found as well. There is no key: whoever may write the folder can write
 * a chain of his own from the start.
 */
import { hash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

/** What the first record follows. */
export const genesis = '0'.repeat(64);

/** What a record says that was written when the head was found missing, with records there. */
export const headMissing = 'head_missing';

/** How far the chain has come: the number and hash of its last record. */
export interface Head {
  readonly sequence: number;
  readonly hash: string;
}

export function hashOf(line: string): string {
  return hash('sha256', line, 'hex');
}

export const segmentName = (number: number) => `audit-${String(number).padStart(6, '0')}.jsonl`;

export function segmentsOf(folder: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /^audit-\d{6}\.jsonl$/.test(name))
        .toSorted()
    : [];
}

export interface AuditVerdict {
  readonly records: number;
  /** What is wrong, with the place; empty when the chain is whole. */
  readonly faults: readonly string[];
}

/** Reads the whole chain in `folder` and names every place where it does not hold. The process may go on appending meanwhile. */
export async function verifyAudit(folder: string): Promise<AuditVerdict> {
  const faults: string[] = [];
  let group: string[] = [];
  const groupHash = () => (group.length === 0 ? genesis : hashOf(group.join('\n')));
  let sequence = 0;
  let records = 0;
  const head = readHead(folder);
  if (head === 'damaged') faults.push('head.json is damaged, so a cut-off end cannot be ruled out');
  const headSequence = typeof head === 'object' ? head.sequence : 0;
  const names = segmentsOf(folder);
  for (const name of names) {
    const text = await readFile(join(folder, name), 'utf8');
    const lines = text.split('\n');
    const ending = lines.pop();
    // The process may be writing the last line right now; anywhere else a line without an end was cut off.
    if (ending !== '' && name !== names.at(-1)) faults.push(`${name} has a line without an end`);
    let lineNumber = 0;
    for (const line of lines) {
      lineNumber += 1;
      const place = `${name}:${lineNumber}`;
      const record = parseRecord(line);
      records += 1;
      if (!record) {
        faults.push(`${place} is not a record`);
      } else if (record.sequence !== sequence + 1) {
        faults.push(`${place} has number ${record.sequence} where ${sequence + 1} is due`);
      } else if (record.previous !== undefined && record.previous !== groupHash()) {
        faults.push(`${place} does not follow from ${groupNames(group)} before it, which was changed`);
      }
      if (record?.outcome === headMissing) {
        faults.push(`${place} tells that head.json was gone or damaged when the process started`);
      }
      if (record?.previous !== undefined) group = [];
      group.push(line);
      sequence = record?.sequence ?? sequence + 1;
      if (typeof head === 'object' && sequence === head.sequence && groupHash() !== head.hash) {
        faults.push(`${place} is not the record that was written there`);
      }
    }
  }
  if (sequence < headSequence)
    faults.push(`the chain ends at record ${sequence}, but had come to ${headSequence}`);
  // It is there from the start, before the first record.
  if (head === undefined) faults.push('head.json is missing, so a cut-off end cannot be ruled out');
  return { records, faults };
}

const headSchema = z.object({ sequence: z.number(), hash: z.string() });

export function readHead(folder: string): Head | 'damaged' | undefined {
  const file = join(folder, 'head.json');
  if (!existsSync(file)) return undefined;
  try {
    return headSchema.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data ?? 'damaged';
  } catch {
    return 'damaged';
  }
}

const recordSchema = z.object({
  sequence: z.number(),
  previous: z.string().optional(),
  outcome: z.string().optional(),
});

/** The lines of the group that the last line belongs to. */
export function lastGroup(lines: readonly string[]): readonly string[] {
  return lines.slice(
    Math.max(
      0,
      lines.findLastIndex((line) => parseRecord(line)?.previous !== undefined),
    ),
  );
}

function groupNames(group: readonly string[]): string {
  return group.length > 1 ? `one of the ${group.length} records` : 'the record';
}

export function parseRecord(line: string): z.output<typeof recordSchema> | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
