/**
 * Finds decisions by their uid. An index of random uids would have each commit write a page for nearly each of them. So the newest ones
 * are in memory, read again from the decisions at start; when there are many, they are written once, sorted, as a run. A filter in
 * memory tells uids that are in no run, which nearly all new ones are, without reading any.
 */
import type { Database } from '#runtime/database.ts';

/** Uids of one run. */
const runLength = 262_144;
/** Pages of a run: one is read to find a uid. */
const pagesPerRun = 512;
const slots = runLength * 2;
/** Bits of the filter: 13 for each of twenty million. */
const filterWords = 2 ** 23;
const hashSpan = 2 ** 53;

/** 53 bits, as many as a number holds. Two uids may share one: whoever looks compares the uid itself. */
export function hashOf(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 0x85ebca6b);
    b = Math.imul(b ^ code, 0xc2b2ae35);
    a ^= b >>> 15;
    b ^= a >>> 13;
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return (b & 0x1f_ff_ff) * 2 ** 32 + (a >>> 0);
}

const pageOf = (hash: number) => Math.floor((hash / hashSpan) * pagesPerRun);

/** Four bits in one word: it is in one line of the processor's cache. */
const wordOf = (hash: number) => Math.floor(hash / 2 ** 20) % filterWords;
const bitsOf = (hash: number) => {
  const low = hash % 2 ** 20;
  return (
    (1 << (low & 31)) | (1 << ((low >>> 5) & 31)) | (1 << ((low >>> 10) & 31)) | (1 << ((low >>> 15) & 31))
  );
};

interface Run {
  /** The number of its last decision, by which it is known. */
  readonly last: number;
  /** How many of its decisions are still kept. */
  live: number;
}

export type Uids = ReturnType<typeof openUids>;

/** @param perRun so many uids make a run; fewer for tests. */
export function openUids(database: Database, perRun = runLength) {
  const isThere = database
    .prepare<[number, string], number>('SELECT id FROM decision WHERE id = ? AND uid = ?')
    .pluck();
  const after = database.prepare<[number], { id: number; uid: string }>(
    'SELECT id, uid FROM decision WHERE id > ? ORDER BY id',
  );
  const between = database.prepare<[number, number], { id: number; uid: string }>(
    'SELECT id, uid FROM decision WHERE id > ? AND id <= ?',
  );
  const allRuns = database.prepare<[], Run>('SELECT last, live FROM run ORDER BY last DESC');
  const setRun = database.prepare('INSERT OR REPLACE INTO run VALUES (?, ?)');
  const dropRun = database.prepare('DELETE FROM run WHERE last = ?');
  const pageBy = database
    .prepare<[number, number], Buffer>('SELECT entries FROM uid_run WHERE run = ? AND page = ?')
    .pluck();
  const insertPage = database.prepare('INSERT INTO uid_run VALUES (?, ?, ?)');
  const dropPages = database.prepare('DELETE FROM uid_run WHERE run = ?');

  /** The newest uids, by hash: 0 is an empty slot, so hashes are kept with one added. */
  const hashes = new Float64Array(slots);
  const ids = new Float64Array(slots);
  const filter = new Uint32Array(filterWords);
  let count = 0;
  /** Of those in memory. */
  let gone = 0;
  let filtered = 0;
  let last = 0;
  /** The newest first. */
  let runs: Run[] = [];

  function load(): void {
    runs = allRuns.all();
    fillFilter();
    if (count > 0) hashes.fill(0);
    [count, gone] = [0, 0];
    for (const { id, uid } of after.iterate(runs[0]?.last ?? 0)) remember(hashOf(uid), id);
  }

  function fillFilter(): void {
    if (filtered > 0) filter.fill(0);
    filtered = 0;
    for (const run of runs) {
      for (let page = 0; page < pagesPerRun; page += 1) {
        const entries = entriesOf(run.last, page);
        for (let at = 0; at < entries.length; at += 2) addToFilter(entries[at] as number);
      }
    }
  }

  function remember(hash: number, id: number): void {
    let slot = hash % slots;
    while (hashes[slot] !== 0) slot = (slot + 1) % slots;
    hashes[slot] = hash + 1;
    ids[slot] = id;
    count += 1;
    last = id;
  }

  function addToFilter(hash: number): void {
    const word = wordOf(hash);
    filter[word] = (filter[word] as number) | bitsOf(hash);
    filtered += 1;
  }

  function entriesOf(run: number, page: number): Float64Array {
    const bytes = pageBy.get(run, page);
    return bytes
      ? new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
      : new Float64Array();
  }

  function find(uid: string): number | undefined {
    const hash = hashOf(uid);
    for (let slot = hash % slots; hashes[slot] !== 0; slot = (slot + 1) % slots) {
      if (hashes[slot] !== hash + 1) continue;
      const id = isThere.get(ids[slot] as number, uid);
      if (id !== undefined) return id;
    }
    const bits = bitsOf(hash);
    if (((filter[wordOf(hash)] as number) & bits) !== bits) return undefined;
    for (const run of runs) {
      const entries = entriesOf(run.last, pageOf(hash));
      for (let at = 0; at < entries.length; at += 2) {
        const id = entries[at] === hash ? isThere.get(entries[at + 1] as number, uid) : undefined;
        if (id !== undefined) return id;
      }
    }
    return undefined;
  }

  function writePages(run: number, uids: Iterable<readonly [hash: number, id: number]>): void {
    const pages: (readonly [number, number])[][] = Array.from({ length: pagesPerRun }, () => []);
    for (const entry of uids) pages[pageOf(entry[0])]?.push(entry);
    for (const [page, entries] of pages.entries()) {
      const flat = new Float64Array(entries.length * 2);
      for (const [at, [hash, id]] of entries.entries()) {
        flat[at * 2] = hash;
        flat[at * 2 + 1] = id;
        addToFilter(hash);
      }
      if (flat.length > 0) insertPage.run(run, page, Buffer.from(flat.buffer));
    }
  }

  function* inMemory(): Generator<readonly [number, number]> {
    for (let slot = 0; slot < slots; slot += 1) {
      const hash = (hashes[slot] as number) - 1;
      if (hash >= 0) yield [hash, ids[slot] as number];
    }
  }

  /** To be called in the transaction. */
  function writeRun(): void {
    writePages(last, inMemory());
    setRun.run(last, count - gone);
    runs.unshift({ last, live: count - gone });
    hashes.fill(0);
    [count, gone] = [0, 0];
  }

  function forget(at: number): void {
    for (const { last: run } of runs.splice(at, 1)) {
      dropPages.run(run);
      dropRun.run(run);
    }
  }

  /**
   * Two runs that lie side by side become one where that holds what is left of both: so there are few of them, whoever's decisions go.
   * One pair at a time, since it takes as long as writing a run.
   */
  function merge(): void {
    for (let at = runs.length - 1; at >= 0; at -= 1) if (runs[at]?.live === 0) forget(at);
    for (let at = runs.length - 1; at > 0; at -= 1) {
      const [newer, older] = [runs[at - 1] as Run, runs[at] as Run];
      if (newer.live + older.live <= perRun) {
        const rows = between.all(runs[at + 1]?.last ?? 0, newer.last);
        dropPages.run(newer.last);
        writePages(
          newer.last,
          rows.map(({ id, uid }) => [hashOf(uid), id] as const),
        );
        newer.live = rows.length;
        setRun.run(newer.last, newer.live);
        forget(at);
        return;
      }
    }
  }

  return {
    /** What is in memory is as it is on disk. */
    load,
    find,
    /** To be called in the transaction, after the decision was stored. */
    add(uid: string, id: number): void {
      remember(hashOf(uid), id);
      if (count >= perRun) writeRun();
    },
    /** These decisions are gone, in their order. To be called in the transaction. */
    drop(decisions: readonly number[]): void {
      let at = runs.length - 1;
      for (const id of decisions) {
        while (at >= 0 && id > (runs[at] as Run).last) at -= 1;
        const run = runs[at];
        if (run) run.live -= 1;
        else gone += 1;
      }
      for (const { last: run, live } of runs) setRun.run(run, live);
      merge();
      if (filtered > 2 * (runs.length + 1) * perRun) fillFilter();
    },
  };
}
