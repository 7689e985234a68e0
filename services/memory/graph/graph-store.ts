/** Entities, observations and relations: what the graph tools ask and do. The only SQL that reads them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import type { Change, Journal, Rows } from '../journal.ts';
import { lookUpCost } from '../limits.ts';

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

export interface EntityFilter {
  /** Of one of these types. */
  readonly types?: readonly string[] | undefined;
  /** Itself or an observation stated at this instant or later. */
  readonly since?: string | undefined;
}

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
  const after = database.prepare<[{ after: number; types: string | null }], Rows['entity']>(
    `SELECT * FROM entity WHERE valid_to IS NULL AND entity_id > :after
     AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types))) ORDER BY entity_id`,
  );
  const matches = database
    .prepare<[{ id: number; types: string | null; since: string | null }], number>(
      `WITH first(id) AS (SELECT coalesce(min(id), 9e15) FROM change WHERE at >= :since)
       SELECT 1 FROM entity AS e WHERE entity_id = :id AND valid_to IS NULL
       AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
       AND (:since IS NULL OR valid_from >= (SELECT id FROM first) OR EXISTS (
         SELECT 1 FROM observation AS o WHERE o.entity_id = e.entity_id AND o.valid_to IS NULL
         AND o.valid_from >= (SELECT id FROM first)))`,
    )
    .pluck();
  const observations = database.prepare<[{ id: number; offset: number }], Rows['observation']>(
    `SELECT * FROM observation WHERE entity_id = :id AND valid_to IS NULL
     ORDER BY observation_id LIMIT -1 OFFSET :offset`,
  );
  const firstObservation = database.prepare<[number], Rows['observation']>(
    'SELECT * FROM observation WHERE entity_id = ? AND valid_to IS NULL ORDER BY observation_id LIMIT 1',
  );
  // By its length and beginning, which the index holds.
  const observation = database.prepare<[{ id: number; text: string }], Rows['observation']>(
    `SELECT * FROM observation WHERE entity_id = :id AND length(text) = length(:text)
     AND substr(text, 1, 64) = substr(:text, 1, 64) AND text = :text AND valid_to IS NULL`,
  );
  const observationCount = database
    .prepare<[number], number>('SELECT count(*) FROM observation WHERE entity_id = ? AND valid_to IS NULL')
    .pluck();
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
  const linksAfter = database.prepare<[number], LinkRow>(
    `${links} AND r.relation_id > ? ORDER BY r.relation_id`,
  );
  const linksFrom = database.prepare<[{ id: number; after: number }], LinkRow>(
    `${links} AND r.from_id = :id AND r.relation_id > :after ORDER BY r.relation_id`,
  );
  const linksTouching = database.prepare<[{ id: number; after: number }], LinkRow>(
    `${links} AND r.from_id = :id AND r.relation_id > :after
     UNION ALL ${links} AND r.to_id = :id AND r.from_id <> :id AND r.relation_id > :after ORDER BY id`,
  );
  const counts = database.prepare<[], { entities: number; observations: number; relations: number }>(
    `SELECT (SELECT count(*) FROM entity WHERE valid_to IS NULL) AS entities,
       (SELECT count(*) FROM observation WHERE valid_to IS NULL) AS observations,
       (SELECT count(*) FROM relation WHERE valid_to IS NULL) AS relations`,
  );
  const typeCounts = database.prepare<[number], { entityType: string; count: number }>(
    `SELECT type AS entityType, count(*) AS count FROM entity WHERE valid_to IS NULL
     GROUP BY type ORDER BY count DESC, type LIMIT ?`,
  );

  function entity(name: string): Rows['entity'] {
    const row = byName.get(name);
    if (!row) throw noEntity(name);
    return row;
  }

  const entitiesAfter = (id: number, types?: readonly string[]) =>
    after.iterate({ after: id, types: json(types) });

  function* inOrder(id: number, types?: readonly string[]) {
    for (const row of entitiesAfter(id, types)) yield [row, row.entity_id] as const;
  }

  /** @returns the texts that were new. */
  function addTexts(change: Change, entityId: number, texts: readonly string[]): string[] {
    change.spend(lookUpCost * texts.length);
    return texts.filter((text) => {
      if (observation.get({ id: entityId, text })) return false;
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
    find: (name: string) => byName.get(name),
    byId: (id: number) => journal.live('entity', id),
    entity,
    /** In order of creation. */
    entitiesAfter,
    /** The same, each with its id to go on after. */
    inOrder,
    matches: (id: number, { types, since }: EntityFilter) =>
      matches.get({ id, types: json(types), since: since ?? null }) !== undefined,
    observations: (entityId: number, offset = 0) => observations.iterate({ id: entityId, offset }),
    /** Whether the text of an observation is among those that its entity has. */
    says: ({ entity_id: id, text }: Rows['observation']) => observation.get({ id, text }) !== undefined,
    observationCount: (entityId: number) => observationCount.get(entityId) ?? 0,
    /** What the relations of an entity lead to, after one of them. */
    ends: (entityId: number, after: number, limit: number) => ends.all({ id: entityId, after, limit }),
    link: (id: number) => link.get(id),
    linksAfter: (id: number) => linksAfter.iterate(id),
    linksFrom: (entityId: number, after: number) => linksFrom.iterate({ id: entityId, after }),
    linksTouching: (entityId: number, after: number) => linksTouching.iterate({ id: entityId, after }),
    counts: () => counts.get() ?? { entities: 0, observations: 0, relations: 0 },
    typeCounts: (limit: number) => typeCounts.all(limit),

    /** @returns the new ones; an entity whose name exists is left as it is. */
    createEntities(change: Change, entities: readonly Entity[]): Entity[] {
      change.spend(lookUpCost * entities.length);
      return entities.flatMap(({ name, entityType, observations: texts }) => {
        if (byName.get(name)) return [];
        const { entity_id: id } = change.insert('entity', { name, type: entityType });
        return [{ name, entityType, observations: addTexts(change, id, texts) }];
      });
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

    /** With its observations and relations; names without an entity are passed over. */
    deleteEntities(change: Change, names: readonly string[]): void {
      for (const name of names) {
        const row = byName.get(name);
        if (!row) continue;
        for (const text of each(() => firstObservation.get(row.entity_id))) change.end('observation', text);
        for (const relation of each(() => relationOf.get({ id: row.entity_id })))
          change.end('relation', relation);
        change.end('entity', row);
      }
    },

    deleteObservations(change: Change, name: string, texts: readonly string[]): void {
      const row = byName.get(name);
      change.spend(lookUpCost * texts.length);
      if (!row) return;
      for (const text of texts) {
        const found = observation.get({ id: row.entity_id, text });
        if (found) change.end('observation', found);
      }
    },

    deleteRelations(change: Change, unwanted: readonly Relation[]): void {
      change.spend(3 * lookUpCost * unwanted.length);
      for (const { from, to, relationType } of unwanted) {
        const [source, target] = [byName.get(from), byName.get(to)];
        const found = source && target && relation.get(source.entity_id, target.entity_id, relationType);
        if (found) change.end('relation', found);
      }
    },

    /** @throws ToolError not_found, conflict. */
    rename(change: Change, name: string, newName: string): void {
      const row = entity(name);
      if (byName.get(newName)) {
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
        (id) => journal.live('entity', id) || (observationCount.get(id) === 0 && !relationOf.get({ id })),
      ),
  };
}

/** One after the other, for as long as each is ended before the next is looked for. */
function* each<Row>(first: () => Row | undefined): Generator<Row> {
  for (let row = first(); row; row = first()) yield row;
}

const json = (values: readonly string[] | undefined) => (values ? JSON.stringify(values) : null);
