/**
 * The vectors of the memories, and which are nearest to another. Of each, one bit per dimension (whether it is above the mean) is
 * held in memory, for a look at all of them; the best by that are compared by what is in the database. The only SQL on `memory_vector` and
 * `meaning`.
 */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import { rowsPerStep } from '../limits.ts';
import { byScore, type Scored } from '../search/score-table.ts';

/** Looked at by their bits in one step: well under a millisecond. */
const slotsPerStep = 4_000;
/** Of these, the best by their bits, the true ones are compared. */
const compared = 400;
const countedAtMost = 10_000;

export interface Unembedded {
  readonly id: number;
  readonly text: string;
  readonly project: string | null;
}

interface Progress {
  readonly model: string;
  readonly dimensions: number | null;
  readonly reached: number;
  readonly refused: number;
}

interface Embedded<Vector = Int8Array> {
  readonly id: number;
  readonly project: string | null;
  readonly vector: Vector;
}

export function openVectors(database: Database) {
  const progressOf = database.prepare<[], Progress>('SELECT * FROM meaning');
  const begin = database.prepare<[string]>(
    'INSERT INTO meaning (one, model) VALUES (1, ?) ON CONFLICT DO UPDATE SET model = excluded.model, dimensions = NULL, reached = 0, refused = 0',
  );
  const advance = database.prepare<[{ dimensions: number | null; reached: number; refused: number }]>(
    'UPDATE meaning SET dimensions = coalesce(dimensions, :dimensions), reached = :reached, refused = refused + :refused',
  );
  const waiting = `FROM memory WHERE id > ? AND valid_to IS NULL AND (expires_at IS NULL OR expires_at > ?)`;
  const next = database.prepare<[number, string, number], Unembedded>(
    `SELECT id, text, project ${waiting} ORDER BY id LIMIT ?`,
  );
  const countWaiting = database
    .prepare<[number, string, number], number>(`SELECT count(*) FROM (SELECT 1 ${waiting} LIMIT ?)`)
    .pluck();
  const insert = database.prepare<[number, Buffer]>(
    'INSERT OR REPLACE INTO memory_vector (id, vector) VALUES (?, ?)',
  );
  const after = database.prepare<[number, number], Embedded<Buffer>>(
    `SELECT memory_vector.id, project, vector FROM memory_vector JOIN memory USING (id)
     WHERE memory_vector.id > ? AND valid_to IS NULL ORDER BY memory_vector.id LIMIT ?`,
  );
  const among = database.prepare<[string], Pick<Embedded<Buffer>, 'id' | 'vector'>>(
    `SELECT memory_vector.id, vector FROM json_each(?) AS wanted
     CROSS JOIN memory_vector ON memory_vector.id = wanted.value
     JOIN memory ON memory.id = memory_vector.id AND valid_to IS NULL`,
  );
  const eraseSome = database.prepare<[number]>(
    'DELETE FROM memory_vector WHERE id IN (SELECT id FROM memory_vector LIMIT ?)',
  );

  // Slot by slot: the row, its project as a number, and the bits of its vector.
  let size = 0;
  let words = 0;
  let ids = new Float64Array(0);
  let projects = new Int32Array(0);
  let bits = new Uint32Array(0);
  /** Of the first that came, because all vectors of a model may lean to one side. */
  let mean: Float64Array | undefined;
  const numbers = new Map<string | null, number>();

  function forget(): void {
    [size, words, mean] = [0, 0, undefined];
    [ids, projects, bits] = [new Float64Array(0), new Int32Array(0), new Uint32Array(0)];
  }

  function remember(rows: readonly Embedded[]): void {
    mean ??= meanOf(rows.map(({ vector }) => vector));
    for (const { id, project, vector } of rows) {
      words ||= Math.ceil(vector.length / 32);
      if (size === ids.length) {
        const room = Math.max(1_024, 2 * size);
        ids = grown(ids, new Float64Array(room));
        projects = grown(projects, new Int32Array(room));
        bits = grown(bits, new Uint32Array(room * words));
      }
      let number = numbers.get(project);
      if (number === undefined) numbers.set(project, (number = numbers.size));
      ids[size] = id;
      projects[size] = number;
      bits.set(bitsOf(vector, mean), size * words);
      size += 1;
    }
  }

  return {
    progress: (): Progress | undefined => progressOf.get(),

    /** Begins anew for another model; the vectors of the one before have to be erased first. */
    begin(model: string): void {
      begin.run(model);
      forget();
    },

    /** @returns how many. */
    eraseSome: (most: number): number => eraseSome.run(most).changes,

    next: (nowIso: string, most: number): Unembedded[] =>
      next.all(progressOf.get()?.reached ?? 0, nowIso, most),

    /** Keeps the vectors of the next memories, in a transaction of the caller; those without one were refused. */
    keep(memories: readonly Unembedded[], vectors: readonly (Float32Array | undefined)[]): void {
      const reached = memories.at(-1)?.id;
      if (reached === undefined) return;
      const dimensions = vectors.find((vector) => vector !== undefined)?.length ?? null;
      const refused = vectors.filter((vector) => vector === undefined).length;
      for (const [index, { id }] of memories.entries()) {
        const vector = vectors[index];
        if (vector) insert.run(id, Buffer.from(inBytes(vector).buffer));
      }
      advance.run({ dimensions, reached, refused });
    },

    /** Once they are kept. */
    remember(memories: readonly Unembedded[], vectors: readonly (Float32Array | undefined)[]): void {
      remember(
        memories.flatMap(({ id, project }, index) => {
          const vector = vectors[index];
          return vector ? [{ id, project, vector: inBytes(vector) }] : [];
        }),
      );
    },

    /** Reads those that were kept before. */
    *load(): Steps<void> {
      forget();
      for (let at = 0; ;) {
        const rows = after.all(at, rowsPerStep);
        remember(rows.map((row) => ({ ...row, vector: bytesOf(row.vector) })));
        at = rows.at(-1)?.id ?? at;
        if (rows.length < rowsPerStep) return;
        yield;
      }
    },

    counts(nowIso: string): { embedded: number; waiting: number; refused: number } {
      const { reached = 0, refused = 0 } = progressOf.get() ?? {};
      return { embedded: size, waiting: countWaiting.get(reached, nowIso, countedAtMost) ?? 0, refused };
    },

    /** The nearest live memories, of a project or of all, with the cosine. */
    *nearest(vector: Float32Array, project: string | undefined, count: number): Steps<Scored[]> {
      const wanted = project === undefined ? undefined : numbers.get(project);
      if (size === 0 || (project !== undefined && wanted === undefined)) return [];
      const own = inBytes(vector);
      const ownBits = bitsOf(own, mean);
      const end = size;
      const distances = new Uint16Array(end);
      const byDistance = new Uint32Array(32 * words + 1);
      for (let slot = 0; slot < end; slot += 1) {
        if (slot % slotsPerStep === slotsPerStep - 1) yield;
        if (wanted !== undefined && projects[slot] !== wanted) continue;
        let distance = 0;
        for (let word = 0; word < words; word += 1)
          distance += ones((bits[slot * words + word] ?? 0) ^ (ownBits[word] ?? 0));
        distances[slot] = distance + 1;
        byDistance[distance] = (byDistance[distance] ?? 0) + 1;
      }
      let farthest = 0;
      for (let seen = 0; farthest < byDistance.length; farthest += 1) {
        seen += byDistance[farthest] ?? 0;
        if (seen >= compared) break;
      }
      const [nearer, farther]: [number[], number[]] = [[], []];
      for (let slot = 0; slot < end; slot += 1) {
        if (slot % slotsPerStep === slotsPerStep - 1) yield;
        const distance = (distances[slot] ?? 0) - 1;
        if (distance < 0 || distance > farthest) continue;
        if (distance < farthest) nearer.push(ids[slot] ?? 0);
        else if (farther.length < compared) farther.push(ids[slot] ?? 0);
      }
      const near = [...nearer, ...farther].slice(0, compared);
      const scored: Scored[] = [];
      for (let at = 0; at < near.length; at += rowsPerStep) {
        yield;
        for (const row of among.all(JSON.stringify(near.slice(at, at + rowsPerStep))))
          scored.push({ id: row.id, score: cosine(own, bytesOf(row.vector)) });
      }
      return scored.toSorted(byScore).slice(0, count);
    },
  };
}

export type Vectors = ReturnType<typeof openVectors>;

function grown<Numbers extends Float64Array | Int32Array | Uint32Array>(
  from: Numbers,
  into: Numbers,
): Numbers {
  into.set(from);
  return into;
}

/** A byte for each dimension, the largest as 127. */
function inBytes(vector: Float32Array): Int8Array<ArrayBuffer> {
  let most = 0;
  for (const number of vector) most = Math.max(most, Math.abs(number));
  return Int8Array.from(vector, (number) => Math.round((number / most) * 127));
}

const bytesOf = ({ buffer, byteOffset, length }: Buffer) => new Int8Array(buffer, byteOffset, length);

function bitsOf(vector: Int8Array, mean: Float64Array | undefined): Uint32Array {
  const bits = new Uint32Array(Math.ceil(vector.length / 32));
  vector.forEach((number, i) => {
    if (number > (mean?.[i] ?? 0)) bits[i >>> 5] = (bits[i >>> 5] ?? 0) | (1 << (i & 31));
  });
  return bits;
}

function meanOf(vectors: readonly Int8Array[]): Float64Array | undefined {
  const [first] = vectors;
  if (!first) return undefined;
  const sum = new Float64Array(first.length);
  for (const vector of vectors) vector.forEach((number, i) => (sum[i] = (sum[i] ?? 0) + number));
  return sum.map((number) => number / vectors.length);
}

/** How many bits are set (Warren, "Hacker's Delight", 2002). */
function ones(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function cosine(x: Int8Array, y: Int8Array): number {
  let [dot, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i += 1) {
    const [a, b] = [x[i] ?? 0, y[i] ?? 0];
    dot += a * b;
    xx += a * a;
    yy += b * b;
  }
  return dot / Math.sqrt(xx * yy || 1);
}
