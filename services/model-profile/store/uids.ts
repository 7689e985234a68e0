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

/** @param perRun so many uids make a run; fewer for tests. */
export function openUids(database: Database, perRun = runLength) {
  const isThere = database
    .prepare<[number, string], number>('SELECT id FROM decision WHERE id = ? AND uid = ?')
    .pluck();
  const after = database.prepare<[number], { id: number; uid: string }>(
    'SELECT id, uid FROM decision WHERE id > ? ORDER BY id',
  );
  const allRuns = database.prepare<[], number>('SELECT DISTINCT run FROM uid_run ORDER BY run DESC').pluck();
  const pageBy = database
    .prepare<[number, number], Buffer>('SELECT entries FROM uid_run WHERE run = ? AND page = ?')
    .pluck();
  const insertPage = database.prepare('INSERT INTO uid_run VALUES (?, ?, ?)');
  const dropRuns = database.prepare('DELETE FROM uid_run WHERE run <= ?');

  /** The newest uids, by hash: 0 is an empty slot, so hashes are kept with one added. */
  const hashes = new Float64Array(slots);
  const ids = new Float64Array(slots);
  const filter = new Uint32Array(filterWords);
  let count = 0;
  let filtered = 0;
  let last = 0;
  /** The newest first; a run is known by the number of its last decision. */
  let runs: number[] = [];

  function load(): void {
    runs = allRuns.all();
    fillFilter();
    if (count > 0) hashes.fill(0);
    count = 0;
    for (const { id, uid } of after.iterate(runs[0] ?? 0)) remember(hashOf(uid), id);
  }

  function fillFilter(): void {
    if (filtered > 0) filter.fill(0);
    filtered = 0;
    for (const run of runs) {
      for (let page = 0; page < pagesPerRun; page += 1) {
        const entries = entriesOf(run, page);
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
      const entries = entriesOf(run, pageOf(hash));
      for (let at = 0; at < entries.length; at += 2) {
        const id = entries[at] === hash ? isThere.get(entries[at + 1] as number, uid) : undefined;
        if (id !== undefined) return id;
      }
    }
    return undefined;
  }

  /** To be called in the transaction. */
  function writeRun(): void {
    const pages: [number, number][][] = Array.from({ length: pagesPerRun }, () => []);
    for (let slot = 0; slot < slots; slot += 1) {
      const hash = (hashes[slot] as number) - 1;
      if (hash >= 0) pages[pageOf(hash)]?.push([hash, ids[slot] as number]);
    }
    for (const [page, entries] of pages.entries()) {
      const flat = new Float64Array(entries.length * 2);
      for (const [at, [hash, id]] of entries.entries()) {
        flat[at * 2] = hash;
        flat[at * 2 + 1] = id;
        addToFilter(hash);
      }
      if (flat.length > 0) insertPage.run(last, page, Buffer.from(flat.buffer));
    }
    runs.unshift(last);
    hashes.fill(0);
    count = 0;
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
    /** Decisions up to this one are gone. */
    drop(upTo: number): void {
      if ((runs.at(-1) ?? Infinity) > upTo) return;
      dropRuns.run(upTo);
      runs = runs.filter((run) => run > upTo);
      if (filtered > 2 * runs.length * perRun) fillFilter();
    },
  };
}
