/** Cuts a graph into answers of bounded size, entities first and then their relations, without losing any between two. */
import type { GraphStore, Entity, LinkRow, Relation } from './graph-store.ts';
import type { Rows } from './journal.ts';
import { maxAnswerLength, maxRelationsPerAnswer } from './limits.ts';

export interface PartialEntity extends Entity {
  /** How many there are, where not all are shown. */
  observationsTotal?: number;
}

export interface PageLimits {
  readonly limit: number;
  readonly characters?: number | undefined;
  readonly observationLimit?: number | undefined;
  readonly observationOffset?: number | undefined;
}

/** Where a page begins, how many of its entities were already given, and after which relation to go on. */
export type PagePosition = readonly [start: number, given: number, relation: number];
export const firstPage: PagePosition = [0, 0, 0];

/** Entities in the order of an answer, each with the position of the one after it. */
export type EntitySource = (start: number) => Iterable<readonly [row: Rows['entity'], next: number]>;

/** The relations of these entities after one of them, in order. */
export type LinkSource = (ids: readonly number[], after: number) => Iterable<LinkRow>;

export interface GraphPage {
  entities: PartialEntity[];
  relations: Relation[];
  next: PagePosition | undefined;
}

export const lengthOf = (...texts: string[]) => texts.reduce((sum, text) => sum + text.length, 0);

/** The source for entities found by other means than their order. */
export function* listed(graph: GraphStore, ids: readonly number[], start: number) {
  for (const [index, id] of ids.slice(start).entries()) {
    const row = graph.byId(id);
    if (row) yield [row, start + index + 1] as const;
  }
}

export function graphPage(
  graph: GraphStore,
  source: EntitySource,
  linksOf: LinkSource,
  [start, given, relation]: PagePosition,
  limits: PageLimits,
): GraphPage {
  const characters = limits.characters ?? maxAnswerLength;
  const page = entitiesOf(graph, source(start), given, { ...limits, characters });
  const relations: Relation[] = [];
  let used = page.used;
  for (const { id, from, to, relationType } of linksOf(page.ids, relation)) {
    used += lengthOf(from, to, relationType);
    // Every page must bring something, or the cursor would stand still.
    const brings = page.entities.length + relations.length > 0;
    if (brings && (used > characters || relations.length === maxRelationsPerAnswer)) {
      return { entities: page.entities, relations, next: [start, page.ids.length, relation] };
    }
    relations.push({ from, to, relationType });
    relation = id;
  }
  return {
    entities: page.entities,
    relations,
    next: page.next === undefined ? undefined : [page.next, 0, 0],
  };
}

/** The entities of a page; the first `given` were in an earlier answer and only count for their relations. */
function entitiesOf(
  graph: GraphStore,
  rows: ReturnType<EntitySource>,
  given: number,
  limits: PageLimits & { readonly characters: number },
) {
  const entities: PartialEntity[] = [];
  const ids: number[] = [];
  let used = 0;
  let next: number | undefined;
  for (const [row, position] of rows) {
    if (ids.length === (given || limits.limit)) return { entities, ids, used, next };
    if (!given) {
      const entity = entityWithin(graph, row, limits, limits.characters - used);
      if (entity.cutShort && entities.length > 0) return { entities, ids, used, next };
      entities.push(entity.value);
      used += entity.length;
    }
    ids.push(row.entity_id);
    next = position;
  }
  return { entities, ids, used, next: undefined };
}

export function entityWithin(graph: GraphStore, row: Rows['entity'], limits: PageLimits, characters: number) {
  const { observationLimit = Infinity, observationOffset = 0 } = limits;
  const value: PartialEntity = { name: row.name, entityType: row.type, observations: [] };
  let length = lengthOf(row.name, row.type);
  let cutShort = length > characters;
  if (observationLimit > 0) {
    for (const { text } of graph.observations(row.entity_id, observationOffset)) {
      if (value.observations.length === observationLimit) break;
      if (length + text.length > characters) {
        cutShort = true;
        break;
      }
      value.observations.push(text);
      length += text.length;
    }
  }
  const total = graph.observationCount(row.entity_id);
  if (value.observations.length < total) value.observationsTotal = total;
  return { value, length, cutShort };
}
