/**
 * The word index of the memories: how it follows the rows, and how it is built anew when words are made differently. A new
 * generation is built beside the one that is searched, and takes its place when it is complete.
 */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';
import { analyzerVersion, terms, words } from '#runtime/words.ts';

import { keysPerStep, wordCost } from '../limits.ts';
import { openPostingLists, type Posting } from './postings.ts';

export interface IndexedMemory {
  id: number;
  text: string;
  project: string | null;
  speaker: string | null;
  tags: readonly string[];
}

type StoredMemory = Omit<IndexedMemory, 'tags'> & { readonly tags: string };
const indexed = (row: StoredMemory): IndexedMemory => ({ ...row, tags: JSON.parse(row.tags) as string[] });

/** What is searched: the lists of one project, or all of a generation. Word statistics are those of the scope. */
export interface Scope {
  readonly memories: number;
  readonly terms: number;
  /** The ids of its lists, from the first to before the last. */
  readonly from: number;
  readonly to: number;
}

interface Generation {
  readonly generation: number;
  /** The version of the code that made its words. */
  readonly analyzer: number;
  readonly memories: number;
  readonly terms: number;
  /** The last memory that it has, while it is being built; `null` when it is complete. */
  readonly reached: number | null;
}

interface ProjectCount {
  readonly project: string;
  readonly count: number;
}

/** What a change does to the lists of a project. */
interface ScopeUpdate {
  memories: number;
  terms: number;
  readonly lists: Map<string, { readonly removed: number[]; readonly added: Posting[] }>;
}

const expiredPerChange = 20;
const expiredCharactersPerChange = 2_000;
/** What one step of building writes, in the unit of the cost of a change: some 30 ms. */
const rebuiltPerStep = 1_500;
const rebuiltRowsPerStep = 500;
const erasedPerStep = 2_000;

/** Scopes of a generation have ids of their own. */
const idsPerGeneration = 2 ** 32;
const firstIdOf = (generation: number) => (generation - 1) * idsPerGeneration;
const generationOf = (scopeId: number) => Math.floor(scopeId / idsPerGeneration) + 1;
/** No project has NUL in its name. */
const keyOf = (project: string | null, generation: number) =>
  generation === 1 ? (project ?? '') : `${generation}\0${project ?? ''}`;
const projectOf = (key: string) => key.slice(key.indexOf('\0') + 1);

export type MemoryIndex = ReturnType<typeof openMemoryIndex>;

export function openMemoryIndex(database: Database) {
  const postings = openPostingLists(database);
  const generations = database.prepare<[], Generation>('SELECT * FROM memory_index ORDER BY generation');
  const count = database.prepare<[number, number, number]>(
    'UPDATE memory_index SET memories = memories + ?, terms = terms + ? WHERE generation = ?',
  );
  const countIn = database.prepare<[number, number, number]>(
    'UPDATE memory_scope SET memories = memories + ?, terms = terms + ? WHERE id = ?',
  );
  const beginScope = database.prepare<[{ key: string; firstId: number }]>(
    `INSERT INTO memory_scope (id, project)
     VALUES ((SELECT coalesce(max(id), :firstId) + 1 FROM memory_scope
              WHERE id >= :firstId AND id < :firstId + ${idsPerGeneration}), :key)`,
  );
  const scope = database.prepare<[string], { id: number; memories: number; terms: number }>(
    'SELECT id, memories, terms FROM memory_scope WHERE project = ?',
  );
  const scopesAfter = database.prepare<
    [number, number, number],
    { id: number; project: string; memories: number }
  >('SELECT id, project, memories FROM memory_scope WHERE id > ? AND id < ? ORDER BY id LIMIT ?');

  const expiredColumns = 'id, text, project, speaker, tags, expires_at';
  const expiring = `valid_to IS NULL AND expires_at IS NOT NULL AND is_indexed = 1 AND expires_at <= ?`;
  const expired = database.prepare<[string, number], StoredMemory>(
    `SELECT ${expiredColumns} FROM memory WHERE ${expiring} ORDER BY expires_at LIMIT ?`,
  );
  const expiredAfter = database.prepare<
    [string, string, number, number],
    { id: number; project: string | null; expires_at: string }
  >(
    `SELECT id, project, expires_at FROM memory WHERE ${expiring} AND (expires_at, id) > (?, ?)
     ORDER BY expires_at, id LIMIT ?`,
  );
  const unmark = database.prepare<[number]>('UPDATE memory SET is_indexed = 0 WHERE id = ?');

  const begin = database.prepare<[number, number]>(
    'INSERT INTO memory_index (generation, analyzer, memories, terms, reached) VALUES (?, ?, 0, 0, 0)',
  );
  const reach = database.prepare<[number | null, number]>(
    'UPDATE memory_index SET reached = ? WHERE generation = ?',
  );
  const renew = database.prepare<[number, number]>(
    'UPDATE memory_index SET analyzer = ? WHERE generation = ?',
  );
  const forget = database.prepare<[number]>('DELETE FROM memory_index WHERE generation = ?');
  const forgetScopes = database.prepare<[number, number]>(
    'DELETE FROM memory_scope WHERE id >= ? AND id < ?',
  );
  const scopeIds = database.prepare<[], { first: number | null; last: number | null }>(
    'SELECT (SELECT min(id) FROM memory_scope) AS first, (SELECT max(id) FROM memory_scope) AS last',
  );
  const unindexed = database.prepare<[number, number], StoredMemory>(
    `SELECT id, text, project, speaker, tags FROM memory
     WHERE id > ? AND valid_to IS NULL AND is_indexed = 1 ORDER BY id LIMIT ?`,
  );
  const newest = database.prepare<[], number>('SELECT coalesce(max(id), 0) FROM memory').pluck();

  /**
   * What is to be written, in the transaction of the rows, for those that ended, as they were indexed, and those that began.
   * Both by ascending id.
   */
  function prepare(removed: readonly IndexedMemory[], added: readonly IndexedMemory[]) {
    const scopes = updatesOf(removed, added);
    const all = generations.all();
    const updates = all.map(({ generation, reached }) => ({
      generation,
      // What one that is being built has not reached, it will find by itself.
      scopes:
        reached === null
          ? scopes
          : updatesOf(
              removed.filter(({ id }) => id <= reached),
              added.filter(({ id }) => id <= reached),
            ),
    }));
    const lists = updates.flatMap(({ scopes }) => [...scopes.values()].map((update) => update.lists.size));
    return {
      cost: lists.reduce((sum, size) => sum + size, 0) * wordCost,
      write() {
        for (const { generation, scopes } of updates) write(generation, scopes);
      },
    };
  }

  function write(generation: number, scopes: ReadonlyMap<string, ScopeUpdate>): void {
    for (const [project, { memories, terms, lists }] of scopes) {
      const key = keyOf(project, generation);
      const id =
        scope.get(key)?.id ?? Number(beginScope.run({ key, firstId: firstIdOf(generation) }).lastInsertRowid);
      countIn.run(memories, terms, id);
      count.run(memories, terms, generation);
      // In the order of the table, so that one page is written after the other.
      for (const [term, list] of [...lists].toSorted(byTerm)) postings.update(term, id, list);
    }
  }

  /**
   * Takes some of what has expired by now out of the lists, oldest first: few enough that no write is held up, and
   * more than one write adds.
   */
  function unindexExpired(nowIso: string): void {
    const rows = expired.all(nowIso, expiredPerChange);
    let characters = 0;
    const end = rows.findIndex(({ text }) => (characters += text.length) > expiredCharactersPerChange);
    const due = rows.slice(0, end < 0 ? rows.length : end + 1).toSorted((one, other) => one.id - other.id);
    if (due.length === 0) return;
    prepare(due.map(indexed), []).write();
    for (const { id } of due) unmark.run(id);
  }

  /** The generation that is searched: the newest that is complete. */
  const searched = (): Generation => {
    const found = generations.all().findLast(({ reached }) => reached === null);
    if (!found) throw new TypeError('No generation of the index is complete.');
    return found;
  };

  /** @returns what a search looks through: one project, or everything. */
  function scopeOf(project: string | undefined): Scope {
    const { generation, memories, terms } = searched();
    if (project === undefined) {
      const from = firstIdOf(generation);
      return { memories, terms, from, to: from + idsPerGeneration };
    }
    const found = scope.get(keyOf(project, generation)) ?? { id: 0, memories: 0, terms: 0 };
    return { memories: found.memories, terms: found.terms, from: found.id, to: found.id + 1 };
  }

  /** How many live memories there are, without those that have expired, and which projects have most. */
  function* counts(nowIso: string, most: number): Steps<{ memories: number; projects: ProjectCount[] }> {
    const gone = new Map<string, number>();
    for (let after: readonly [string, number] = ['', 0]; ;) {
      const rows = expiredAfter.all(nowIso, ...after, keysPerStep);
      for (const { id, project, expires_at: at } of rows) {
        gone.set(project ?? '', (gone.get(project ?? '') ?? 0) + 1);
        after = [at, id];
      }
      if (rows.length < keysPerStep) break;
      yield;
    }
    const { generation } = searched();
    let memories = 0;
    let projects: ProjectCount[] = [];
    const keepMost = () => {
      projects = projects
        .toSorted((x, y) => y.count - x.count || (x.project < y.project ? -1 : 1))
        .slice(0, most);
    };
    for (let after = firstIdOf(generation); ;) {
      const rows = scopesAfter.all(after, firstIdOf(generation + 1), keysPerStep);
      for (const { id, project: key, memories: indexed } of rows) {
        const project = projectOf(key);
        const count = indexed - (gone.get(project) ?? 0);
        memories += count;
        if (project !== '' && count > 0) projects.push({ project, count });
        after = id;
      }
      keepMost();
      if (rows.length < keysPerStep) return { memories, projects };
      yield;
    }
  }

  /**
   * How far the lists are from what this code would make of the memories: `undefined` when nothing is to be done, or the share
   * that is done, from 0 to 1.
   */
  function rebuilding(): number | undefined {
    const all = generations.all();
    const last = all.at(-1);
    if (last?.analyzer !== analyzerVersion) return 0;
    if (last.reached !== null) return last.reached / Math.max(1, newest.get() ?? 0);
    return all.length > 1 || leftOver(all) !== undefined ? 1 : undefined;
  }

  /** One step towards that, in a transaction of its own. */
  function rebuildStep(): void {
    const all = generations.all();
    const last = all.at(-1);
    const left = leftOver(all);
    if (last?.reached === null && last.memories === 0 && last.analyzer !== analyzerVersion) {
      // One of no memory, as of a new database, has no words to make anew.
      renew.run(analyzerVersion, last.generation);
    } else if (last?.analyzer !== analyzerVersion) {
      // One that another version began to build is given up; what it has is in the way of nobody.
      for (const { generation, reached } of all) if (reached !== null) forget.run(generation);
      const used = Math.max(last?.generation ?? 0, generationOf(scopeIds.get()?.last ?? 0));
      begin.run(used + 1, analyzerVersion);
    } else if (last.reached !== null) build(last, last.reached);
    else if (all.length > 1) for (const { generation } of all.slice(0, -1)) forget.run(generation);
    else if (left !== undefined) erase(left);
  }

  /** A generation that is given up and still has lists. */
  function leftOver(all: readonly Generation[]): number | undefined {
    const { first, last } = scopeIds.get() ?? {};
    return [first, last]
      .filter((id) => typeof id === 'number')
      .map(generationOf)
      .find((number) => all.every(({ generation }) => generation !== number));
  }

  function build({ generation }: Generation, reached: number): void {
    const rows = unindexed.all(reached, rebuiltRowsPerStep).map(indexed);
    let cost = 0;
    const end = rows.findIndex((row) => (cost += countTerms(row).counts.size * wordCost) > rebuiltPerStep);
    const some = end < 0 ? rows : rows.slice(0, end + 1);
    write(generation, updatesOf([], some));
    const isLast = end < 0 && rows.length < rebuiltRowsPerStep;
    reach.run(isLast ? null : (some.at(-1)?.id ?? reached), generation);
  }

  function erase(generation: number): void {
    const [from, to] = [firstIdOf(generation), firstIdOf(generation + 1)];
    if (!postings.erase(from, to, erasedPerStep)) forgetScopes.run(from, to);
  }

  return { prepare, unindexExpired, scopeOf, postings, counts, rebuilding, rebuildStep };
}

function updatesOf(
  removed: readonly IndexedMemory[],
  added: readonly IndexedMemory[],
): Map<string, ScopeUpdate> {
  const scopes = new Map<string, ScopeUpdate>();
  const scopeOf = ({ project }: IndexedMemory) => {
    const name = project ?? '';
    let scope = scopes.get(name);
    if (!scope) scopes.set(name, (scope = { memories: 0, terms: 0, lists: new Map() }));
    return scope;
  };
  for (const memory of removed) {
    const { counts, length } = countTerms(memory);
    const scope = scopeOf(memory);
    scope.memories -= 1;
    scope.terms -= length;
    for (const term of counts.keys()) listOf(scope, term).removed.push(memory.id);
  }
  for (const memory of added) {
    const { counts, length } = countTerms(memory);
    const scope = scopeOf(memory);
    scope.memories += 1;
    scope.terms += length;
    for (const [term, count] of counts) listOf(scope, term).added.push({ id: memory.id, count, length });
  }
  return scopes;
}

function listOf({ lists }: ScopeUpdate, term: string) {
  let list = lists.get(term);
  if (!list) lists.set(term, (list = { removed: [], added: [] }));
  return list;
}

function byTerm([x]: readonly [string, unknown], [y]: readonly [string, unknown]): number {
  return x < y ? -1 : Number(x > y);
}

/** What a memory is found by; only the words of its text make its length. */
export function countTerms({ text, speaker, tags }: IndexedMemory): {
  counts: Map<string, number>;
  length: number;
} {
  const inText = terms(text);
  const counts = new Map<string, number>();
  for (const term of inText) counts.set(term, (counts.get(term) ?? 0) + 1);
  for (const key of [...words(speaker ?? '').map((word) => `@${word}`), ...tags.map((tag) => `#${tag}`)])
    counts.set(key, 1);
  return { counts, length: inText.length };
}
