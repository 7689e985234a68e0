/** The official server's file format: one JSON object per line, entities and then relations. */
import { z } from 'zod';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';

import type { Change } from '../journal.ts';
import { checkLengths } from '../limits.ts';
import { entityWithin } from './graph-page.ts';
import { entityInput, relationsInput } from './graph-schema.ts';
import type { Entity, GraphStore, Relation } from './graph-store.ts';

const line = z.discriminatedUnion('type', [
  z.object({ type: z.literal('entity'), ...entityInput.shape }),
  z.object({ type: z.literal('relation'), ...relationsInput.element.shape }),
]);

const entityLine = ({ name, entityType, observations }: Entity) =>
  JSON.stringify({ type: 'entity', name, entityType, observations });
const relationLine = ({ from, to, relationType }: Relation) =>
  JSON.stringify({ type: 'relation', from, to, relationType });

/** The last entity that was written, how many of its observations if not all, and the last relation. */
export type ExportPosition = readonly [entity: number, observations: number, relation: number];
export const exportStart: ExportPosition = [0, 0, 0];
const count = z.int().min(0);
export const exportPosition = z.tuple([count, count, count]);
const entitiesDone = Number.MAX_SAFE_INTEGER;

/** An entity too large for one answer becomes several lines with its name, which import_graph joins again. */
export function exportLines(
  graph: GraphStore,
  [lastEntity, given, lastRelation]: ExportPosition,
  limit: number,
  characters: number,
): { lines: string[]; next: ExportPosition | undefined } {
  const lines: string[] = [];
  let used = 0;
  let position: ExportPosition = [lastEntity, given, lastRelation];
  const isFull = (text: string) =>
    lines.length > 0 && (lines.length === limit || used + text.length > characters);
  const write = (text: string, next: ExportPosition) => {
    lines.push(text);
    used += text.length;
    position = next;
  };

  for (const row of graph.entitiesAfter(given > 0 ? lastEntity - 1 : lastEntity)) {
    const observationOffset = row.entity_id === lastEntity ? given : 0;
    const { value, cutShort } = entityWithin(graph, row, { limit, observationOffset }, characters);
    const text = entityLine(value);
    if (isFull(text)) return { lines, next: position };
    const shown = observationOffset + value.observations.length;
    write(text, [row.entity_id, cutShort ? shown : 0, 0]);
    if (cutShort) return { lines, next: position };
  }
  for (const { id, ...relation } of graph.linksAfter(lastRelation)) {
    const text = relationLine(relation);
    if (isFull(text)) return { lines, next: position };
    write(text, [entitiesDone, 0, id]);
  }
  return { lines, next: undefined };
}

export interface ImportReport {
  entities: number;
  observations: number;
  relations: number;
  /** Lines that were not imported, by number from 1. */
  refused: { line: number; reason: string }[];
}

/**
 * Adds what is new. Observations of an entity that exists join it; relations wait for all entities.
 *
 * @throws ToolError too_large when it is more than one change may do.
 */
export function importLines(graph: GraphStore, change: Change, jsonl: string): ImportReport {
  const report: ImportReport = { entities: 0, observations: 0, relations: 0, refused: [] };
  const relations: { number: number; relation: Relation }[] = [];
  /** Refuses a line for one of these reasons. */
  const attempt = <Value>(line: number, reasons: readonly ErrorCode[], work: () => Value) => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ToolError && reasons.includes(error.code))) throw error;
      report.refused.push({ line, reason: error.message });
      return undefined;
    }
  };
  for (const [index, content] of jsonl
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (content.trim() === '') continue;
    const number = index + 1;
    const parsed = attempt(number, ['invalid_input', 'too_large'], () => parseLine(content));
    if (parsed?.type === 'relation') relations.push({ number, relation: parsed });
    if (parsed?.type !== 'entity') continue;
    const [created] = graph.createEntities(change, [parsed]);
    report.entities += created ? 1 : 0;
    report.observations += (
      created?.observations ?? graph.addObservations(change, parsed.name, parsed.observations)
    ).length;
  }
  for (const { number, relation } of relations) {
    const created = attempt(number, ['not_found'], () => graph.createRelations(change, [relation]));
    report.relations += created?.length ?? 0;
  }
  report.refused.sort((a, b) => a.line - b.line);
  return report;
}

/** @throws ToolError invalid_input, too_large. */
function parseLine(text: string): z.output<typeof line> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ToolError('invalid_input', 'not valid JSON', { cause });
  }
  const parsed = line.safeParse(value);
  if (parsed.success) return withinLengths(parsed.data);
  const [issue] = parsed.error.issues;
  throw new ToolError(
    'invalid_input',
    [issue?.path.join('.'), issue?.message ?? 'not understood'].filter(Boolean).join(': '),
  );
}

/** Before anything of it is written: all of a line or nothing. */
function withinLengths(parsed: z.output<typeof line>): z.output<typeof line> {
  if (parsed.type === 'relation') checkLengths('relation', { type: parsed.relationType });
  else {
    checkLengths('entity', { name: parsed.name, type: parsed.entityType });
    for (const text of parsed.observations) checkLengths('observation', { text });
  }
  return parsed;
}
