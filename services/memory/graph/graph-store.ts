/** Entities, observations and relations: what the graph tools ask and do. The only SQL that reads them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import type { Change, Journal, Rows } from './journal.ts';
import { maxEntitiesPerAnswer } from './limits.ts';

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

export interface EntityFilter {
  /** Of one of these types. */
  readonly types?: readonly string[] | undefined;
  /** Itself or an observation stated at this instant or later. */
  readonly since?: string | undefined;
}

const links = `
  SELECT r.relation_id AS id, r.from_id, r.to_id, f.name AS "from", t.name AS "to", r.type AS relationType
  FROM relation AS r
  JOIN entity AS f ON f.entity_id = r.from_id AND f.valid_to IS NULL
  JOIN entity AS t ON t.entity_id = r.to_id AND t.valid_to IS NULL
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
  const matching = database
    .prepare<[{ types: string | null; since: string | null }], number>(
      `WITH first(id) AS (SELECT coalesce(min(id), 9e15) FROM change WHERE at >= :since)
       SELECT entity_id FROM entity AS e WHERE valid_to IS NULL
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
  const observation = database.prepare<[number, string], Rows['observation']>(
    'SELECT * FROM observation WHERE entity_id = ? AND text = ? AND valid_to IS NULL',
  );
  const observationCount = database
    .prepare<[number], number>('SELECT count(*) FROM observation WHERE entity_id = ? AND valid_to IS NULL')
    .pluck();
  const relation = database.prepare<[number, number, string], Rows['relation']>(
    'SELECT * FROM relation WHERE from_id = ? AND to_id = ? AND type = ? AND valid_to IS NULL',
  );
  const relations = database.prepare<[{ id: number }], Rows['relation']>(
    `SELECT * FROM relation WHERE (from_id = :id OR to_id = :id) AND valid_to IS NULL ORDER BY relation_id`,
  );
  const linksAfter = database.prepare<[number], LinkRow>(
    `${links} AND r.relation_id > ? ORDER BY r.relation_id`,
  );
  const linksFrom = database.prepare<[{ ids: string; after: number }], LinkRow>(
    `${links} AND r.relation_id > :after AND r.from_id IN (SELECT value FROM json_each(:ids))
     ORDER BY r.relation_id`,
  );
  const linksTouching = database.prepare<[{ ids: string; after: number }], LinkRow>(
    `${links} AND r.relation_id > :after AND (r.from_id IN (SELECT value FROM json_each(:ids))
     OR r.to_id IN (SELECT value FROM json_each(:ids))) ORDER BY r.relation_id`,
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
    return texts.filter((text) => {
      if (observation.get(entityId, text)) return false;
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
    matching: ({ types, since }: EntityFilter) => matching.all({ types: json(types), since: since ?? null }),
    observations: (entityId: number, offset = 0) => observations.iterate({ id: entityId, offset }),
    observationCount: (entityId: number) => observationCount.get(entityId) ?? 0,
    relationsOf: (entityId: number) => relations.all({ id: entityId }),
    linksAfter: (id: number) => linksAfter.iterate(id),
    linksFrom: (ids: readonly number[], afterId: number) =>
      linksFrom.iterate({ ids: JSON.stringify(ids), after: afterId }),
    linksTouching: (ids: readonly number[], afterId: number) =>
      linksTouching.iterate({ ids: JSON.stringify(ids), after: afterId }),
    counts: () => counts.get() ?? { entities: 0, observations: 0, relations: 0 },
    typeCounts: (limit: number) => typeCounts.all(limit),

    /** @returns the new ones; an entity whose name exists is left as it is. */
    createEntities(change: Change, entities: readonly Entity[]): Entity[] {
      return entities.flatMap(({ name, entityType, observations: texts }) => {
        if (byName.get(name)) return [];
        const { entity_id: id } = change.insert('entity', { name, type: entityType });
        return [{ name, entityType, observations: addTexts(change, id, texts) }];
      });
    },

    /** @returns the new ones. @throws ToolError not_found. */
    createRelations(change: Change, wanted: readonly Relation[]): Relation[] {
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
        for (const text of observations.all({ id: row.entity_id, offset: 0 }))
          change.end('observation', text);
        for (const link of relations.all({ id: row.entity_id })) change.end('relation', link);
        change.end('entity', row);
      }
    },

    deleteObservations(change: Change, name: string, texts: readonly string[]): void {
      const row = byName.get(name);
      if (!row) return;
      for (const text of texts) {
        const found = observation.get(row.entity_id, text);
        if (found) change.end('observation', found);
      }
    },

    deleteRelations(change: Change, unwanted: readonly Relation[]): void {
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
        for (const text of observations.all({ id: source.entity_id, offset: 0 })) {
          change.end('observation', text);
          moved.observations += addTexts(change, target, [text.text]).length;
        }
        for (const link of relations.all({ id: source.entity_id })) {
          change.end('relation', link);
          const [fromId, toId] = [link.from_id, link.to_id].map((id) =>
            id === source.entity_id ? target : id,
          );
          if (fromId !== toId && linkOnce(change, fromId as number, toId as number, link.type))
            moved.relations += 1;
        }
        change.end('entity', source);
      }
      return moved;
    },

    /** These entities, then those around them by distance, as many as one answer can hold. */
    around(ids: readonly number[], depth: number): number[] {
      const seen = new Set(ids);
      let frontier: readonly number[] = ids;
      for (let distance = 1; distance <= depth && seen.size < maxEntitiesPerAnswer; distance += 1) {
        const ends = [...linksTouching.iterate({ ids: JSON.stringify(frontier), after: 0 })].flatMap(
          (link) => [link.from_id, link.to_id],
        );
        frontier = [...new Set(ends)].filter((id) => !seen.has(id));
        for (const id of frontier) seen.add(id);
      }
      return [...seen].slice(0, Math.max(ids.length, maxEntitiesPerAnswer));
    },

    /** Whether each of these entities lives, or nothing speaks of it any more. */
    isWhole: (entityIds: Iterable<number>) =>
      [...entityIds].every(
        (id) =>
          journal.live('entity', id) ||
          (observationCount.get(id) === 0 && relations.all({ id }).length === 0),
      ),
  };
}

const json = (values: readonly string[] | undefined) => (values ? JSON.stringify(values) : null);
