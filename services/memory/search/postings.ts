import type { Database } from '#runtime/database.ts';

/** One occurrence of a term: the row id of the memory, how often it has the term, and its length in terms. */
interface Posting {
  id: number;
  count: number;
  length: number;
}

// A block of this many postings stays below the 1,002 bytes that SQLite keeps inside a page of 4 KiB.
const blockSize = 200;
// The varints are read with 32-bit operators.
const farthestId = 2 ** 31 - 1;

/**
 * The posting lists in SQLite. A block is a run of postings by ascending id, each three varints: the distance
 * from the id before (from `first_id` for the first), the count, the length.
 */
export class PostingLists {
  readonly #blockOf;
  readonly #write;
  readonly #erase;
  readonly #inScope;
  readonly #everywhere;

  constructor(db: Database) {
    this.#blockOf = db.prepare<[string, number, number], { first_id: number; block: Buffer }>(
      `SELECT first_id, block FROM memory_posting
       WHERE term = ? AND scope = ? AND first_id <= ? ORDER BY first_id DESC LIMIT 1`,
    );
    this.#write = db.prepare<[string, number, number, Buffer]>(
      `INSERT INTO memory_posting (term, scope, first_id, block) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET block = excluded.block`,
    );
    this.#erase = db.prepare<[string, number, number]>(
      'DELETE FROM memory_posting WHERE term = ? AND scope = ? AND first_id = ?',
    );
    this.#inScope = db
      .prepare<[string, number], [number, Buffer]>(
        'SELECT first_id, block FROM memory_posting WHERE term = ? AND scope = ?',
      )
      .raw();
    this.#everywhere = db
      .prepare<[string], [number, Buffer]>('SELECT first_id, block FROM memory_posting WHERE term = ?')
      .raw();
  }

  add(term: string, scope: number, posting: Posting): void {
    const found = this.#blockOf.get(term, scope, posting.id);
    if (!found || posting.id - found.first_id > farthestId) {
      this.#write.run(term, scope, posting.id, encode(posting.id, [posting]));
      return;
    }
    const postings = decode(found.first_id, found.block).filter(({ id }) => id !== posting.id);
    const later = postings.findIndex(({ id }) => id > posting.id);
    postings.splice(later < 0 ? postings.length : later, 0, posting);
    const last = postings.length > blockSize ? postings.pop() : undefined;
    this.#write.run(term, scope, found.first_id, encode(found.first_id, postings));
    // Ids grow, so the overflow is the new posting and opens the block of those to come.
    if (last) {
      this.#write.run(term, scope, last.id, encode(last.id, [last]));
    }
  }

  remove(term: string, scope: number, id: number): void {
    const found = this.#blockOf.get(term, scope, id);
    if (!found) {
      return;
    }
    const left = decode(found.first_id, found.block).filter((posting) => posting.id !== id);
    if (left.length > 0) {
      this.#write.run(term, scope, found.first_id, encode(found.first_id, left));
    } else {
      this.#erase.run(term, scope, found.first_id);
    }
  }

  /** The undecoded list of a term, in one scope or in all. */
  read(term: string, scope: number | null): PostingList {
    const blocks = scope === null ? this.#everywhere.all(term) : this.#inScope.all(term, scope);
    return new PostingList(blocks);
  }
}

/** A posting list as parallel arrays, decoded on demand because some lists are never needed. */
class PostingList {
  readonly bytes: number;
  readonly #blocks: [firstId: number, block: Buffer][];

  constructor(blocks: [number, Buffer][]) {
    this.#blocks = blocks;
    this.bytes = blocks.reduce((sum, [, block]) => sum + block.length, 0);
  }

  decode(): Decoded {
    // A posting takes three bytes at least.
    const most = Math.floor(this.bytes / 3);
    const ids = new Float64Array(most);
    const counts = new Uint32Array(most);
    const lengths = new Uint32Array(most);
    let decoded = 0;
    for (const [firstId, block] of this.#blocks) {
      let id = firstId;
      let field = 0;
      let value = 0;
      let shift = 0;
      for (let at = 0; at < block.length; at += 1) {
        const byte = block[at] ?? 0;
        value |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte > 0x7f) {
          continue;
        }
        if (field === 0) {
          id += value;
          ids[decoded] = id;
        } else if (field === 1) {
          counts[decoded] = value;
        } else {
          lengths[decoded] = value;
          decoded += 1;
        }
        field = (field + 1) % 3;
        value = 0;
        shift = 0;
      }
    }
    return {
      ids: ids.subarray(0, decoded),
      counts: counts.subarray(0, decoded),
      lengths: lengths.subarray(0, decoded),
    };
  }
}

interface Decoded {
  ids: Float64Array;
  counts: Uint32Array;
  lengths: Uint32Array;
}

function decode(firstId: number, block: Buffer): Posting[] {
  const { ids, counts, lengths } = new PostingList([[firstId, block]]).decode();
  return Array.from(ids, (id, i) => ({ id, count: counts[i] ?? 0, length: lengths[i] ?? 0 }));
}

function encode(firstId: number, postings: Posting[]): Buffer {
  const bytes: number[] = [];
  let before = firstId;
  for (const { id, count, length } of postings) {
    for (let value of [id - before, count, length]) {
      for (; value > 0x7f; value >>>= 7) {
        bytes.push((value & 0x7f) | 0x80);
      }
      bytes.push(value);
    }
    before = id;
  }
  return Buffer.from(bytes);
}
