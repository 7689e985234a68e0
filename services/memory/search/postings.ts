/**
 * The posting lists in SQLite. A block is a run of postings by ascending id, each three varints: the distance from the
 * id before (from `first_id` for the first), the count, the length. The only SQL on `memory_posting`.
 */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import { rowsPerStep } from '../limits.ts';

/** One occurrence of a term: the row id of the memory, how often it has the term, and its length in terms. */
export interface Posting {
  readonly id: number;
  readonly count: number;
  readonly length: number;
}

/** As parallel arrays. */
export interface Postings {
  readonly ids: Float64Array;
  readonly counts: Uint32Array;
  readonly lengths: Uint32Array;
}

/** The undecoded list of a term, because some lists are never needed. */
export interface PostingList {
  readonly blocks: readonly Block[];
  readonly bytes: number;
}

const noPostings: PostingList = { blocks: [], bytes: 0 };

type Block = readonly [firstId: number, block: Buffer];

// A block of this many postings stays below the 1,002 bytes that SQLite keeps inside a page of 4 KiB.
const blockSize = 200;
const blocksPerPart = 50;
// The varints are read with 32-bit operators.
const farthestId = 2 ** 31 - 1;

export function openPostingLists(database: Database) {
  const blockOf = database
    .prepare<[string, number, number], Block>(
      `SELECT first_id, block FROM memory_posting
       WHERE term = ? AND scope = ? AND first_id <= ? ORDER BY first_id DESC LIMIT 1`,
    )
    .raw();
  const write = database.prepare<[string, number, number, Buffer]>(
    `INSERT INTO memory_posting (term, scope, first_id, block) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET block = excluded.block`,
  );
  const erase = database.prepare<[string, number, number]>(
    'DELETE FROM memory_posting WHERE term = ? AND scope = ? AND first_id = ?',
  );
  const inScopes = database
    .prepare<[string, number, number, number, number], readonly [scope: number, ...Block]>(
      `SELECT scope, first_id, block FROM memory_posting
       WHERE term = ? AND (scope, first_id) > (?, ?) AND scope < ? ORDER BY scope, first_id LIMIT ?`,
    )
    .raw();
  const present = database
    .prepare<[{ terms: string; from: number; to: number }], string>(
      `SELECT value FROM json_each(:terms) AS wanted WHERE EXISTS (
         SELECT 1 FROM memory_posting WHERE term = wanted.value AND scope >= :from AND scope < :to)`,
    )
    .pluck();
  const eraseSome = database.prepare<[number, number, number]>(
    `DELETE FROM memory_posting WHERE (term, scope, first_id) IN (
       SELECT term, scope, first_id FROM memory_posting WHERE scope >= ? AND scope < ? LIMIT ?)`,
  );

  /** Both by ascending id; those that are added come after all that are there. */
  function append(term: string, scope: number, added: readonly Posting[]): void {
    const [first] = added;
    if (!first) return;
    const found = blockOf.get(term, scope, first.id);
    const end = found && endOf(...found);
    if (end && first.id <= end.last) throw new RangeError(`The list of ${term} has ids from ${first.id} on.`);
    let at = 0;
    if (found && end && end.count < blockSize && first.id - found[0] <= farthestId) {
      at = blockSize - end.count;
      write.run(term, scope, found[0], Buffer.concat([found[1], encode(end.last, added.slice(0, at))]));
    }
    for (; at < added.length; at += blockSize) {
      const block = added.slice(at, at + blockSize);
      const firstId = block[0]?.id ?? 0;
      write.run(term, scope, firstId, encode(firstId, block));
    }
  }

  function remove(term: string, scope: number, ids: readonly number[]): void {
    const gone = new Set(ids);
    let done = -Infinity;
    for (const id of ids) {
      const found = id > done ? blockOf.get(term, scope, id) : undefined;
      if (!found) continue;
      const postings = postingsOf(found);
      const left = postings.filter((posting) => !gone.has(posting.id));
      if (left.length === 0) erase.run(term, scope, found[0]);
      else if (left.length < postings.length) write.run(term, scope, found[0], encode(found[0], left));
      done = postings.at(-1)?.id ?? id;
    }
  }

  return {
    /** Ids and postings by ascending id; those that are added come after all that were ever there. */
    update(
      term: string,
      scope: number,
      { removed, added }: { readonly removed: readonly number[]; readonly added: readonly Posting[] },
    ): void {
      remove(term, scope, removed);
      append(term, scope, added);
    },

    /** Which of some terms have a list there: one look is cheaper than to read each. */
    present: (terms: readonly string[], from: number, to: number): string[] =>
      present.all({ terms: JSON.stringify(terms), from, to }),

    /** In all scopes from one to before another; `undefined` where it is longer than it may be. */
    *read(term: string, from: number, to: number, mostBytes = Infinity): Steps<PostingList | undefined> {
      const blocks: Block[] = [];
      let bytes = 0;
      for (let at: readonly [scope: number, firstId: number] = [from - 1, Number.MAX_SAFE_INTEGER]; ;) {
        const some = inScopes.all(term, ...at, to, rowsPerStep);
        for (const [scope, firstId, block] of some) {
          blocks.push([firstId, block]);
          bytes += block.length;
          at = [scope, firstId];
        }
        if (bytes > mostBytes) return undefined;
        if (some.length < rowsPerStep) return { blocks, bytes };
        yield;
      }
    },

    /** Removes some of what scopes from one to before another have. @returns whether there may be more. */
    erase: (from: number, to: number, most: number): boolean => eraseSome.run(from, to, most).changes > 0,
  };
}

/** A part of a list at a time. */
export function* decoded({ blocks }: PostingList = noPostings): Generator<Postings> {
  for (let at = 0; at < blocks.length; at += blocksPerPart)
    yield decode(blocks.slice(at, at + blocksPerPart));
}

function decode(blocks: readonly Block[]): Postings {
  const bytes = blocks.reduce((sum, [, block]) => sum + block.length, 0);
  // A posting takes three bytes at least.
  const most = Math.floor(bytes / 3);
  const ids = new Float64Array(most);
  const counts = new Uint32Array(most);
  const lengths = new Uint32Array(most);
  let size = 0;
  for (const [firstId, block] of blocks) {
    let id = firstId;
    let field = 0;
    let value = 0;
    let shift = 0;
    for (let at = 0; at < block.length; at += 1) {
      const byte = block[at] ?? 0;
      value |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte > 0x7f) continue;
      if (field === 0) {
        id += value;
        ids[size] = id;
      } else if (field === 1) {
        counts[size] = value;
      } else {
        lengths[size] = value;
        size += 1;
      }
      field = (field + 1) % 3;
      value = 0;
      shift = 0;
    }
  }
  return { ids: ids.subarray(0, size), counts: counts.subarray(0, size), lengths: lengths.subarray(0, size) };
}

/** The last id of a block, and how many it holds. */
function endOf(firstId: number, block: Buffer): { last: number; count: number } {
  let last = firstId;
  let count = 0;
  for (let at = 0; at < block.length; count += 1) {
    let byte = block[at++] ?? 0;
    last += byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      byte = block[at++] ?? 0;
      last += (byte & 0x7f) << shift;
    }
    // Its count and its length are passed over.
    while ((block[at++] ?? 0) > 0x7f);
    while ((block[at++] ?? 0) > 0x7f);
  }
  return { last, count };
}

function postingsOf(block: Block): Posting[] {
  const { ids, counts, lengths } = decode([block]);
  return Array.from(ids, (id, index) => ({ id, count: counts[index] ?? 0, length: lengths[index] ?? 0 }));
}

/** The most bytes that a number of 32 bits takes. */
const longestVarint = 5;

function encode(firstId: number, postings: readonly Posting[]): Buffer {
  const bytes = Buffer.allocUnsafe(3 * longestVarint * postings.length);
  let end = 0;
  const put = (number: number) => {
    let left = number;
    for (; left > 0x7f; left >>>= 7) bytes[end++] = (left & 0x7f) | 0x80;
    bytes[end++] = left;
  };
  let before = firstId;
  for (const { id, count, length } of postings) {
    put(id - before);
    put(count);
    put(length);
    before = id;
  }
  return bytes.subarray(0, end);
}
