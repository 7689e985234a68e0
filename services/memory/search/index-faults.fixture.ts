/** Compares the posting lists with what the live memories say. */
import { openDatabase } from '#runtime/database.ts';

import { atOnce } from '../store.fixture.ts';
import { countTerms, type IndexedMemory } from './memory-index.ts';
import { decoded, openPostingLists } from './postings.ts';

interface ScopeRow {
  id: number;
  project: string;
  memories: number;
  terms: number;
}

type StoredMemory = Omit<IndexedMemory, 'tags'> & { tags: string };

/** @returns what only one of both has: nothing where the index agrees. */
export function indexFaults(file: string, migrations: string): string[] {
  const database = openDatabase(file, migrations);
  try {
    const expected = new Map<string, string>();
    const totals = new Map<string, { memories: number; terms: number }>();
    const live = database.prepare<[], StoredMemory>(
      'SELECT id, text, project, speaker, tags FROM memory WHERE valid_to IS NULL AND is_indexed = 1 ORDER BY id',
    );
    for (const row of live.iterate()) {
      const { counts, length } = countTerms({ ...row, tags: JSON.parse(row.tags) as string[] });
      const project = row.project ?? '';
      const total = totals.get(project) ?? { memories: 0, terms: 0 };
      totals.set(project, { memories: total.memories + 1, terms: total.terms + length });
      for (const [term, count] of counts) {
        const key = JSON.stringify([project, term]);
        expected.set(key, `${expected.get(key) ?? ''} ${row.id}:${count}:${length}`);
      }
    }

    const found = new Map<string, string>();
    const lists = openPostingLists(database);
    const scopes = database.prepare<[], ScopeRow>('SELECT * FROM memory_scope').all();
    const termsOf = database
      .prepare<[number], string>('SELECT DISTINCT term FROM memory_posting WHERE scope = ?')
      .pluck();
    for (const { id, project: key, memories, terms } of scopes) {
      const project = key.slice(key.indexOf('\0') + 1);
      if (memories > 0) found.set(`scope ${project}`, `${memories} ${terms}`);
      for (const term of termsOf.all(id)) {
        const postings = [...decoded(atOnce(lists.read(term, id, id + 1)))].flatMap(
          ({ ids, counts, lengths }) =>
            Array.from(ids, (memory, index) => ` ${memory}:${counts[index]}:${lengths[index]}`),
        );
        found.set(JSON.stringify([project, term]), postings.join(''));
      }
    }
    const all = { memories: 0, terms: 0 };
    for (const [project, { memories, terms }] of totals) {
      expected.set(`scope ${project}`, `${memories} ${terms}`);
      all.memories += memories;
      all.terms += terms;
    }
    expected.set('all', JSON.stringify([all]));
    found.set('all', JSON.stringify(database.prepare('SELECT memories, terms FROM memory_index').all()));

    const keys = new Set([...expected.keys(), ...found.keys()]);
    return [...keys]
      .filter((key) => expected.get(key) !== found.get(key))
      .map((key) => `${key}: expected ${expected.get(key)}, found ${found.get(key)}`);
  } finally {
    database.close();
  }
}
