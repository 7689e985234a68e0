/**
 * The posting lists in SQLite. A block is a run of postings by ascending id, each three varints: the distance from the
 * id before (from `first_id` for the first), the count, the length. The only SQL on `memory_posting`.
 */
import type { Database } from '#runtime/database.ts';

/** One occurrence of a term: the row id of the memory, how often it has the term, and its length in terms. */
interface Posting {
  readonly id: number;
  readonly count: number;
  readonly length: number;
}

/** As parallel arrays. */
interface Postings {
  readonly ids: Float64Array;
  readonly counts: Uint32Array;
  readonly lengths: Uint32Array;
}

/** The undecoded list of a term, because some lists are never needed. */
interface PostingList {
  readonly bytes: number;
  decode(): Postings;
}

type Block = readonly [firstId: number, block: Buffer];

// A block of this many postings stays below the 1,002 bytes that SQLite keeps inside a page of 4 KiB.
const blockSize = 200;
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
  const inScope = database
    .prepare<[string, number], Block>(
      'SELECT first_id, block FROM memory_posting WHERE term = ? AND scope = ?',
    )
    .raw();
  const everywhere = database
    .prepare<[string], Block>('SELECT first_id, block FROM memory_posting WHERE term = ?')
    .raw();

  return {
    add(term: string, scope: number, posting: Posting): void {
      const found = blockOf.get(term, scope, posting.id);
      if (!found || posting.id - found[0] > farthestId) {
        write.run(term, scope, posting.id, encode(posting.id, [posting]));
        return;
      }
      const [firstId, block] = found;
      const { last, count } = endOf(firstId, block);
      // Ids grow, so nearly every posting comes after all others.
      if (posting.id > last && count < blockSize) {
        write.run(term, scope, firstId, Buffer.concat([block, encode(last, [posting])]));
        return;
      }
      const postings = decoded([found]).filter(({ id }) => id !== posting.id);
      const later = postings.findIndex(({ id }) => id > posting.id);
      postings.splice(later < 0 ? postings.length : later, 0, posting);
      const overflow = postings.length > blockSize ? postings.pop() : undefined;
      write.run(term, scope, firstId, encode(firstId, postings));
      // It is the newest and opens the block of those to come.
      if (overflow) write.run(term, scope, overflow.id, encode(overflow.id, [overflow]));
    },

    remove(term: string, scope: number, id: number): void {
      const found = blockOf.get(term, scope, id);
      if (!found) return;
      const left = without(found, id);
      if (left.length > 0) write.run(term, scope, found[0], left);
      else erase.run(term, scope, found[0]);
    },

    /** In one scope or in all. */
    read(term: string, scope: number | null): PostingList {
      const blocks = scope === null ? everywhere.all(term) : inScope.all(term, scope);
      const bytes = blocks.reduce((sum, [, block]) => sum + block.length, 0);
      return { bytes, decode: () => decode(blocks, bytes) };
    },
  };
}

function decode(blocks: readonly Block[], bytes: number): Postings {
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

/** The block without a posting: what follows it is then as far away as both were. */
function without([firstId, block]: Block, id: number): Buffer {
  let before = firstId;
  for (let start = 0; start < block.length;) {
    const distance = varintAt(block, start);
    const end = afterVarints(block, start, 3);
    if (before + distance !== id) {
      before += distance;
      start = end;
      continue;
    }
    if (end === block.length) return block.subarray(0, start);
    const next = varint(distance + varintAt(block, end));
    return Buffer.concat([block.subarray(0, start), next, block.subarray(afterVarints(block, end, 1))]);
  }
  return block;
}

function varintAt(block: Buffer, start: number): number {
  let value = 0;
  for (let at = start, shift = 0; ; at += 1, shift += 7) {
    const byte = block[at] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte <= 0x7f) return value;
  }
}

function afterVarints(block: Buffer, start: number, count: number): number {
  let at = start;
  for (let left = count; left > 0; at += 1) if ((block[at] ?? 0) <= 0x7f) left -= 1;
  return at;
}

/** The last id of a block, and how many it holds. */
function endOf(firstId: number, block: Buffer): { last: number; count: number } {
  let last = firstId;
  let count = 0;
  for (let at = 0; at < block.length; at = afterVarints(block, at, 3)) {
    last += varintAt(block, at);
    count += 1;
  }
  return { last, count };
}

function decoded(blocks: readonly Block[]): Posting[] {
  const { ids, counts, lengths } = decode(
    blocks,
    blocks.reduce((sum, [, block]) => sum + block.length, 0),
  );
  return Array.from(ids, (id, index) => ({ id, count: counts[index] ?? 0, length: lengths[index] ?? 0 }));
}

function encode(firstId: number, postings: readonly Posting[]): Buffer {
  let before = firstId;
  const numbers = postings.flatMap(({ id, count, length }) => {
    const distance = id - before;
    before = id;
    return [distance, count, length];
  });
  return varint(...numbers);
}

function varint(...numbers: readonly number[]): Buffer {
  const bytes: number[] = [];
  for (let value of numbers) {
    for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
    bytes.push(value);
  }
  return Buffer.from(bytes);
}
