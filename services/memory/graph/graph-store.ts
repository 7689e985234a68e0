/** Entities, observations and relations: what the graph tools ask and do. The only SQL that reads them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Steps } from '#runtime/turns.ts';

import type { Change, Journal, Rows } from '../journal.ts';
import { keysPerStep, lookUpCost, rowsPerStep } from '../limits.ts';
import { liveCounter } from '../live-count.ts';
import { composed } from '../names.ts';

export interface Entity {
  name: string;
  entityType: string;
  observations: string[];
}

export interface Relation {
  from: string;
  to: string;
  relationType: string;
}

export interface LinkRow extends Relation {
  id: number;
  from_id: number;
  to_id: number;
}

/** A relation as seen from one of its ends. */
interface LinkEnd {
  id: number;
  there: number;
}

// Rows may be long texts.
const textsPerStep = 50;
const noIds = { last: null, count: 0 };

const links = `
  SELECT r.relation_id AS id, r.from_id, r.to_id, f.name AS "from", t.name AS "to", r.type AS relationType
  FROM relation AS r
  CROSS JOIN entity AS f ON f.entity_id = r.from_id AND f.valid_to IS NULL
  CROSS JOIN entity AS t ON t.entity_id = r.to_id AND t.valid_to IS NULL
  WHERE r.valid_to IS NULL`;

export const noEntity = (name: string) =>
  new ToolError('not_found', `Entity with name ${name} not found`, {
    hint: 'Use search_nodes to find the name, or create_entities to create it.',
  });

export type GraphStore = ReturnType<typeof openGraphStore>;

export function openGraphStore(database: Database, journal: Journal) {
  const byName = database.prepare<[string], Rows['entity']>(
    'SELECT * FROM entity WHERE name = ? AND valid_to IS NULL',
  );
  const byComposed = database.prepare<[string], Rows['entity']>(
    'SELECT * FROM entity WHERE composed = ? AND valid_to IS NULL ORDER BY id LIMIT 1',
  );
  const after = database.prepare<[number, number], Rows['entity']>(
    'SELECT * FROM entity WHERE valid_to IS NULL AND entity_id > ? ORDER BY entity_id LIMIT ?',
  );
  const observations = database.prepare<[number, number, number], Rows['observation']>(
    `SELECT * FROM observation WHERE entity_id = ? AND valid_to IS NULL AND observation_id > ?
     ORDER BY observation_id LIMIT ?`,
  );
  const observationIds = database.prepare<[number, number, number], { last: number | null; count: number }>(
    `SELECT max(observation_id) AS last, count(*) AS count FROM (
       SELECT observation_id FROM observation WHERE entity_id = ? AND valid_to IS NULL AND observation_id > ?
       ORDER BY observation_id LIMIT ?)`,
  );
  const statedSince = database
    .prepare<[number, number], number>(
      'SELECT 1 FROM observation WHERE entity_id = ? AND valid_from >= ? AND valid_to IS NULL LIMIT 1',
    )
    .pluck();
  const firstChange = database
    .prepare<[string], number>('SELECT id FROM change WHERE at >= ? ORDER BY at, id LIMIT 1')
    .pluck();
  const firstObservation = database.prepare<[number], Rows['observation']>(
    'SELECT * FROM observation WHERE entity_id = ? AND valid_to IS NULL ORDER BY observation_id LIMIT 1',
  );
  // By its length and beginning, which the index holds.
  const observationOf = database.prepare<[{ id: number; text: string }], Rows['observation']>(
    `SELECT * FROM observation WHERE entity_id = :id AND length(text) = length(:text)
     AND substr(text, 1, 64) = substr(:text, 1, 64) AND text = :text AND valid_to IS NULL`,
  );
  const relation = database.prepare<[number, number, string], Rows['relation']>(
    'SELECT * FROM relation WHERE from_id = ? AND to_id = ? AND type = ? AND valid_to IS NULL',
  );
  // Of both directions, each in the order of its index, so that nothing is sorted and a few cost no more than a few.
  const relationOf = database.prepare<[{ id: number }], Rows['relation']>(
    `SELECT * FROM relation WHERE relation_id = (
       SELECT min(relation_id) FROM (
         SELECT min(relation_id) AS relation_id FROM relation WHERE from_id = :id AND valid_to IS NULL
         UNION ALL SELECT min(relation_id) FROM relation WHERE to_id = :id AND valid_to IS NULL))
     AND valid_to IS NULL`,
  );
  const ends = database.prepare<[{ id: number; after: number; limit: number }], LinkEnd>(
    `SELECT relation_id AS id, to_id AS there FROM relation
     WHERE from_id = :id AND relation_id > :after AND valid_to IS NULL
     UNION ALL SELECT relation_id, from_id FROM relation
     WHERE to_id = :id AND relation_id > :after AND valid_to IS NULL
     ORDER BY id LIMIT :limit`,
  );
  const link = database.prepare<[number], LinkRow>(`${links} AND r.relation_id = ?`);
  const linksAfter = database.prepare<[number, number], LinkRow>(
    `${links} AND r.relation_id > ? ORDER BY r.relation_id LIMIT ?`,
  );
  const linksFrom = database.prepare<[number, number, number], LinkRow>(
    `${links} AND r.from_id = ? AND r.relation_id > ? ORDER BY r.relation_id LIMIT ?`,
  );
  const linksTo = database.prepare<[number, number, number], LinkRow>(
    `${links} AND r.to_id = ? AND r.from_id <> r.to_id AND r.relation_id > ? ORDER BY r.relation_id LIMIT ?`,
  );
  const countEntities = liveCounter(database, 'entity');
  /** In whichever form its characters are written: é is one character or two. */
  function observation(id: number, text: string): Rows['observation'] | undefined {
    for (const form of new Set([text, text.normalize('NFC'), text.normalize('NFD')])) {
      const found = observationOf.get({ id, text: form });
      if (found) return found;
    }
    return undefined;
  }

  const countObservations = liveCounter(database, 'observation');
  const countRelations = liveCounter(database, 'relation');
  const lastEntity = database
    .prepare<[], number>('SELECT coalesce(max(entity_id), 0) FROM entity WHERE valid_to IS NULL')
    .pluck();
  const typesBetween = database.prepare<[number, number], { type: string; count: number }>(
    `SELECT type, count(*) AS count FROM entity
     WHERE valid_to IS NULL AND entity_id > ? AND entity_id <= ? GROUP BY type`,
  );

  /** By its name as it is written, or else in another form of the same characters. */
  function find(name: string): Rows['entity'] | undefined {
    const found = byName.get(name);
    const key = composed(name);
    return found ?? (key === name ? undefined : byName.get(key)) ?? byComposed.get(key);
  }

  function entity(name: string): Rows['entity'] {
    const row = find(name);
    if (!row) throw noEntity(name);
    return row;
  }

  /** Live entities after one of them, in order of creation; `undefined` where others may be served. */
  function* entitiesAfter(id: number): Iterable<Rows['entity'] | undefined> {
    for (let at = id; ;) {
      const rows = after.all(at, rowsPerStep);
      yield* rows;
      if (rows.length < rowsPerStep) return;
      at = rows.at(-1)?.entity_id ?? at;
      yield undefined;
    }
  }

  /** The same, of some types, each with its id to go on after. */
  function* inOrder(id: number, types?: ReadonlySet<string>) {
    for (const row of entitiesAfter(id)) {
      if (!row) yield undefined;
      else if (!types || types.has(composed(row.type))) yield [row, row.entity_id] as const;
    }
  }

  /** The observations of an entity after one of them, in order; `undefined` where others may be served. */
  function* observationsFrom(entityId: number, id: number): Iterable<Rows['observation'] | undefined> {
    for (let at = id; ;) {
      const rows = observations.all(entityId, at, textsPerStep);
      yield* rows;
      if (rows.length < textsPerStep) return;
      at = rows.at(-1)?.observation_id ?? at;
      yield undefined;
    }
  }

  /** The id of the observation of an entity that so many lead up to. */
  function* observationAt(entityId: number, offset: number): Steps<number> {
    let at = 0;
    for (let left = offset; left > 0;) {
      const { last, count } = observationIds.get(entityId, at, Math.min(left, keysPerStep)) ?? noIds;
      at = last ?? at;
      left -= count;
      if (count === 0) return at;
      if (left > 0) yield;
    }
    return at;
  }

  function* observationCount(entityId: number): Steps<number> {
    let total = 0;
    for (let at = 0; ;) {
      const { last, count } = observationIds.get(entityId, at, keysPerStep) ?? noIds;
      total += count;
      if (last === null || count < keysPerStep) return total;
      at = last;
      yield;
    }
  }

  /** In either direction. */
  function linksTouching(entityId: number, after: number, limit: number): LinkRow[] {
    const from = linksFrom.all(entityId, after, limit);
    const to = linksTo.all(entityId, after, limit);
    if (to.length === 0) return from;
    return [...from, ...to].toSorted((one, other) => one.id - other.id).slice(0, limit);
  }

  function* counts() {
    return {
      entities: yield* countEntities(),
      observations: yield* countObservations(),
      relations: yield* countRelations(),
    };
  }

  /** The most frequent, first. */
  function* typeCounts(limit: number): Steps<{ entityType: string; count: number }[]> {
    const found = new Map<string, number>();
    for (let at = 0, end = lastEntity.get() ?? 0; at < end; at += keysPerStep) {
      for (const { type, count } of typesBetween.all(at, at + keysPerStep))
        found.set(type, (found.get(type) ?? 0) + count);
      yield;
    }
    let best: [type: string, count: number][] = [];
    const keepBest = () => {
      best = best.toSorted(([x, many], [y, more]) => more - many || (x < y ? -1 : 1)).slice(0, limit);
    };
    for (const one of found) {
      if (best.push(one) < keysPerStep) continue;
      keepBest();
      yield;
    }
    keepBest();
    return best.map(([entityType, count]) => ({ entityType, count }));
  }

  /** @returns the texts that were new. */
  function addTexts(change: Change, entityId: number, texts: readonly string[]): string[] {
    change.spend(lookUpCost * texts.length);
    return texts.filter((text) => {
      if (observation(entityId, text)) return false;
      change.insert('observation', { entity_id: entityId, text });
      return true;
    });
  }

  function linkOnce(change: Change, fromId: number, toId: number, type: string): boolean {
    if (relation.get(fromId, toId, type)) return false;
    change.insert('relation', { from_id: fromId, to_id: toId, type });
    return true;
  }

  return {
    find,
    byId: (id: number) => journal.live('entity', id),
    entity,
    entitiesAfter,
    inOrder,
    /** Whether an entity, or an observation of it, was stated by one of the changes from this one on. */
    isStatedSince: ({ entity_id: id, valid_from: from }: Rows['entity'], change: number) =>
      from >= change || statedSince.get(id, change) !== undefined,
    /** The first change at this instant or later; all that there are come before `Infinity`. */
    changeAt: (at: string) => firstChange.get(at) ?? Infinity,
    observationsFrom,
    observationAt,
    observationCount,
    /** Whether the text of an observation is among those that its entity has. */
    says: ({ entity_id: id, text }: Rows['observation']) => observation(id, text) !== undefined,
    /** What the relations of an entity lead to, after one of them. */
    ends: (entityId: number, after: number, limit: number) => ends.all({ id: entityId, after, limit }),
    link: (id: number) => link.get(id),
    linksAfter: (id: number, limit: number) => linksAfter.all(id, limit),
    linksFrom: (entityId: number, after: number, limit: number) => linksFrom.all(entityId, after, limit),
    linksTouching,
    counts,
    typeCounts,

    /** An entity whose name exists is left as it is. @returns the new ones, and the names of the others. */
    createEntities(
      change: Change,
      entities: readonly Entity[],
    ): { readonly created: Entity[]; readonly existing: string[] } {
      change.spend(lookUpCost * entities.length);
      const created: Entity[] = [];
      const existing: string[] = [];
      for (const { name, entityType, observations: texts } of entities) {
        if (find(name)) {
          existing.push(name);
          continue;
        }
        const { entity_id: id } = change.insert('entity', { name, type: entityType });
        created.push({ name, entityType, observations: addTexts(change, id, texts) });
      }
      return { created, existing };
    },

    /** @returns the new ones. @throws ToolError not_found. */
    createRelations(change: Change, wanted: readonly Relation[]): Relation[] {
      change.spend(3 * lookUpCost * wanted.length);
      return wanted.filter(({ from, to, relationType }) =>
        linkOnce(change, entity(from).entity_id, entity(to).entity_id, relationType),
      );
    },

    /** @returns the texts that were new. @throws ToolError not_found. */
    addObservations: (change: Change, name: string, texts: readonly string[]) =>
      addTexts(change, entity(name).entity_id, texts),

    /** With their observations and relations. @returns how many, and the names without an entity. */
    deleteEntities(
      change: Change,
      names: readonly string[],
    ): { readonly deleted: number; readonly notFound: string[] } {
      change.spend(lookUpCost * names.length);
      const notFound: string[] = [];
      const wanted = new Set(names);
      for (const name of wanted) {
        const row = find(name);
        if (!row) {
          notFound.push(name);
          continue;
        }
        for (const text of each(() => firstObservation.get(row.entity_id))) change.end('observation', text);
        for (const relation of each(() => relationOf.get({ id: row.entity_id })))
          change.end('relation', relation);
        change.end('entity', row);
      }
      return { deleted: wanted.size - notFound.length, notFound };
    },

    /** @returns the texts that the entity does not have. */
    deleteObservations(change: Change, name: string, texts: readonly string[]): string[] {
      const row = find(name);
      change.spend(lookUpCost * texts.length);
      return texts.filter((text) => {
        const found = row && observation(row.entity_id, text);
        if (found) change.end('observation', found);
        return !found;
      });
    },

    /** @returns those that there were not. */
    deleteRelations(change: Change, unwanted: readonly Relation[]): Relation[] {
      change.spend(3 * lookUpCost * unwanted.length);
      return unwanted.filter(({ from, to, relationType }) => {
        const [source, target] = [find(from), find(to)];
        const found = source && target && relation.get(source.entity_id, target.entity_id, relationType);
        if (found) change.end('relation', found);
        return !found;
      });
    },

    /** @throws ToolError not_found, conflict. */
    rename(change: Change, name: string, newName: string): void {
      const row = entity(name);
      const other = find(newName);
      if (other && other.entity_id !== row.entity_id) {
        throw new ToolError('conflict', `Entity with name ${newName} already exists`, {
          hint: 'Use merge_entities to make one of both.',
        });
      }
      change.replace('entity', row, { name: newName });
    },

    /**
     * Moves what is said of the sources to the target. What the target already has, and relations that would lead from
     * the target to itself, end with the sources.
     */
    merge(
      change: Change,
      sources: readonly string[],
      into: string,
    ): { observations: number; relations: number } {
      const target = entity(into).entity_id;
      const moved = { observations: 0, relations: 0 };
      for (const source of [...new Set(sources)].map(entity)) {
        if (source.entity_id === target)
          throw new ToolError('invalid_input', `${into} cannot be merged into itself.`);
        for (const text of each(() => firstObservation.get(source.entity_id))) {
          change.end('observation', text);
          moved.observations += addTexts(change, target, [text.text]).length;
        }
        for (const old of each(() => relationOf.get({ id: source.entity_id }))) {
          change.end('relation', old);
          const [fromId, toId] = [old.from_id, old.to_id].map((id) =>
            id === source.entity_id ? target : id,
          );
          if (fromId !== toId && linkOnce(change, fromId as number, toId as number, old.type))
            moved.relations += 1;
        }
        change.end('entity', source);
      }
      return moved;
    },

    /** Whether each of these entities lives, or nothing speaks of it any more. */
    isWhole: (entityIds: Iterable<number>) =>
      [...entityIds].every(
        (id) => journal.live('entity', id) || (!firstObservation.get(id) && !relationOf.get({ id })),
      ),
  };
}

/** One after the other, for as long as each is ended before the next is looked for. */
function* each<Row>(first: () => Row | undefined): Generator<Row> {
  for (let row = first(); row; row = first()) yield row;
}
