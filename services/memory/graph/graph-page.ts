/** Cuts a graph into answers of bounded size, entities first and then their relations, without losing any between two. */
import { z } from 'zod';

import type { Steps } from '#runtime/turns.ts';

import type { Rows } from '../journal.ts';
import { bytesOf, maxLinksPerAnswer, rowsPerStep } from '../limits.ts';
import type { GraphStore, Entity, LinkRow, Relation } from './graph-store.ts';

export interface PartialEntity extends Entity {
  /** How many there are, where not all are shown. */
  observationsTotal?: number;
}

export interface PageLimits {
  readonly limit: number;
  readonly bytes: number;
  readonly observationLimit?: number | undefined;
  readonly observationOffset?: number | undefined;
}

/** Where a page begins, how many of its entities were already given, and after which relation of which to go on. */
export type PagePosition = readonly [start: number, given: number, index: number, relation: number];
export const firstPage: PagePosition = [0, 0, 0, 0];
const count = z.int().min(0);
export const pagePosition = z.tuple([count, count, count, count]);

/**
 * Entities in the order of an answer, from a position on, each with the position of the one after it. Nothing in place of one says that others
 * may be served now.
 */
export type EntitySource = (start: number) => Iterable<readonly [row: Rows['entity'], next: number] | void>;

/** So many relations of an entity after one of them, in order. */
export type LinkSource = (entityId: number, after: number, limit: number) => readonly LinkRow[];

export interface GraphPage {
  entities: PartialEntity[];
  relations: Relation[];
  next: PagePosition | undefined;
  /** Whether an entity had to be given without all of its observations: alone it is longer than an answer. */
  isCut: boolean;
}

// What JSON takes beside the texts, indented as in the text of an answer.
const entityBytes = 90;
const observationBytes = 10;
const relationBytes = 70;

/** No answer of this size has more. */
export const mostEntitiesIn = (bytes: number) => Math.ceil(bytes / entityBytes);

/** The source for entities found by other means than their order. */
export function* listed(graph: GraphStore, ids: readonly number[], start: number) {
  for (let index = start; index < ids.length; index += 1) {
    const row = graph.byId(ids[index] as number);
    if (row) yield [row, index + 1] as const;
    if (index % rowsPerStep === rowsPerStep - 1) yield undefined;
  }
}

export function* graphPage(
  graph: GraphStore,
  source: EntitySource,
  linksOf: LinkSource,
  [start, given, firstIndex, firstRelation]: PagePosition,
  limits: PageLimits,
): Steps<GraphPage> {
  const { entities, ids, next, isCut, ...page } = yield* entitiesOf(graph, source(start), given, limits);
  const isHere = new Set(ids);
  const links: LinkRow[] = [];
  let { used } = page;
  let seen = 0;
  const cut = (index: number, relation: number): GraphPage => ({
    entities,
    relations: inOrder(links),
    next: [start, ids.length, index, relation],
    isCut,
  });
  for (let index = firstIndex; index < ids.length; index += 1) {
    const id = ids[index] as number;
    let relation = index === firstIndex ? firstRelation : 0;
    for (let isLast = false; !isLast;) {
      const some = linksOf(id, relation, rowsPerStep);
      isLast = some.length < rowsPerStep;
      for (const link of some) {
        if (seen === maxLinksPerAnswer) return cut(index, relation);
        seen += 1;
        // One between two entities of the page is given with the one that it starts from.
        if (link.from_id === id || !isHere.has(link.from_id)) {
          used += relationBytes + bytesOf(link.from, link.to, link.relationType);
          // Every page must bring something, or the cursor would stand still.
          if (used > limits.bytes && entities.length + links.length > 0) return cut(index, relation);
          links.push(link);
        }
        relation = link.id;
      }
      if (!isLast) yield;
    }
    if (index % linklessPerStep === linklessPerStep - 1) yield;
  }
  return {
    entities,
    relations: inOrder(links),
    next: next === undefined ? undefined : [next, 0, 0, 0],
    isCut,
  };
}

/** To look for relations costs time where there are none, too. */
const linklessPerStep = 50;

const inOrder = (links: readonly LinkRow[]): Relation[] =>
  links
    .toSorted((one, other) => one.id - other.id)
    .map(({ from, to, relationType }) => ({ from, to, relationType }));

/** The entities of a page; the first `given` were in an earlier answer and only count for their relations. */
function* entitiesOf(
  graph: GraphStore,
  rows: ReturnType<EntitySource>,
  given: number,
  limits: PageLimits,
): Steps<{
  entities: PartialEntity[];
  ids: number[];
  used: number;
  next: number | undefined;
  isCut: boolean;
}> {
  const entities: PartialEntity[] = [];
  const ids: number[] = [];
  let used = 0;
  let next: number | undefined;
  let isCut = false;
  for (const found of rows) {
    if (!found) {
      yield;
      continue;
    }
    const [row, position] = found;
    if (isCut || ids.length === (given || limits.limit)) return { entities, ids, used, next, isCut };
    if (!given) {
      const entity = yield* entityWithin(graph, row, limits, limits.bytes - used);
      const hasRoom = !entity.cutShort && used + entity.bytes <= limits.bytes;
      if (!hasRoom && entities.length > 0) return { entities, ids, used, next, isCut };
      isCut = entity.cutShort;
      entities.push(entity.value);
      used += entity.bytes;
      if (entities.length % linklessPerStep === 0) yield;
    }
    ids.push(row.entity_id);
    next = position;
  }
  return { entities, ids, used, next: undefined, isCut };
}

export function* entityWithin(
  graph: GraphStore,
  row: Rows['entity'],
  limits: Pick<PageLimits, 'observationLimit' | 'observationOffset'> & {
    /** So many are given, however long they are. */
    readonly leastObservations?: number;
  },
  mostBytes: number,
): Steps<{ value: PartialEntity; bytes: number; cutShort: boolean }> {
  const { observationLimit = Infinity, observationOffset = 0, leastObservations = 0 } = limits;
  const value: PartialEntity = { name: row.name, entityType: row.type, observations: [] };
  let bytes = entityBytes + bytesOf(row.name, row.type);
  let cutShort = false;
  let isAll = observationLimit > 0;
  const start = yield* graph.observationAt(row.entity_id, observationOffset);
  for (const found of isAll ? graph.observationsFrom(row.entity_id, start) : []) {
    if (!found) {
      yield;
      continue;
    }
    const length = observationBytes + bytesOf(found.text);
    const given = value.observations.length;
    const isTooLong = bytes + length > mostBytes && given >= leastObservations;
    if (isTooLong || given === observationLimit) {
      cutShort ||= given !== observationLimit;
      isAll = false;
      break;
    }
    value.observations.push(found.text);
    bytes += length;
  }
  if (!isAll || observationOffset > 0) {
    const total = yield* graph.observationCount(row.entity_id);
    if (value.observations.length < total) value.observationsTotal = total;
  }
  return { value, bytes, cutShort };
}
