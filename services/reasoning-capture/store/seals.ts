/**
 * Seals: the hash of a chain runs over its steps in order, and the list of seals runs over itself. A step that is changed, taken
 * out or moved no longer gives the hash that was sealed; a seal that is changed or taken out breaks the list. There is no key:
 * whoever may write the file could make all of it anew, but not so that it agrees with a head that was noted elsewhere.
 */
import { hash } from 'node:crypto';

import type { Database } from '#runtime/database.ts';

export interface StepRow {
  readonly id: number;
  readonly type: number;
  readonly subtype: string | null;
  readonly at_us: number;
  readonly dur_us: number | null;
  readonly parent_seq: number | null;
  readonly confidence: number | null;
  readonly prov: number;
  readonly content: string;
  readonly detail: string | null;
}

export interface OpaqueRow {
  readonly step_id: number;
  readonly kind: string;
  readonly is_text: number;
  readonly payload: Buffer;
}

export interface SealRow {
  readonly n: number;
  readonly kind: 'sealed' | 'redacted' | 'deleted' | 'expired';
  readonly owner: string;
  readonly uid: Buffer;
  readonly through_seq: number;
  readonly chain_hash: Buffer;
  readonly at_us: number;
  readonly by: string;
  readonly reason: string;
  readonly hash: Buffer;
}

const sha256 = (text: string): Buffer => hash('sha256', text, 'buffer');

export const chainStart = (owner: string, uid: Buffer): Buffer =>
  sha256(JSON.stringify(['flotilla reasoning chain', owner, uid.toString('hex')]));

/** The hash of a chain up to this step. */
export function chainHash(before: Buffer, step: StepRow, opaque: readonly OpaqueRow[]): Buffer {
  return sha256(
    JSON.stringify([
      before.toString('hex'),
      step.id,
      step.type,
      step.subtype,
      step.at_us,
      step.dur_us,
      step.parent_seq,
      step.confidence,
      step.prov,
      step.content,
      step.detail,
      opaque.map(({ kind, is_text, payload }) => [kind, is_text, hash('sha256', payload, 'hex')]),
    ]),
  );
}

export function sealHash(before: Buffer, seal: Omit<SealRow, 'hash'>): Buffer {
  const { n, kind, owner, uid, through_seq, chain_hash, at_us, by, reason } = seal;
  return sha256(
    JSON.stringify([
      before.toString('hex'),
      n,
      kind,
      owner,
      uid.toString('hex'),
      through_seq,
      chain_hash.toString('hex'),
      at_us,
      by,
      reason,
    ]),
  );
}

export const firstSeal: Buffer = sha256('flotilla reasoning seals');

export function openSeals(database: Database) {
  const last = database.prepare<[], Pick<SealRow, 'n' | 'hash'>>(
    'SELECT n, hash FROM seal ORDER BY n DESC LIMIT 1',
  );
  const insert = database.prepare('INSERT INTO seal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  return {
    /** To be called in the transaction of what it is about. */
    add(seal: Omit<SealRow, 'n' | 'hash'>): void {
      const before = last.get() ?? { n: 0, hash: firstSeal };
      const row = { n: before.n + 1, ...seal };
      const { n, kind, owner, uid, through_seq, chain_hash, at_us, by, reason } = row;
      const own = sealHash(before.hash, row);
      insert.run(n, kind, owner, uid, through_seq, chain_hash, at_us, by, reason, own);
    },
  };
}
