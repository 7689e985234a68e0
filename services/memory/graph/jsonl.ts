/** The official server's file format: one JSON object per line, entities and then relations. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

import { entityWithin } from './graph-page.ts';
import { entityInput, relationsInput } from './graph-schema.ts';
import type { Entity, GraphStore, Relation } from './graph-store.ts';
import { checkLengths, type Change } from './journal.ts';

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

/** Adds what is new. Observations of an entity that exists join it; relations wait for all entities. */
export function importLines(graph: GraphStore, change: Change, jsonl: string): ImportReport {
  const report: ImportReport = { entities: 0, observations: 0, relations: 0, refused: [] };
  const relations: { number: number; relation: Relation }[] = [];
  const attempt = (number: number, work: () => void) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      report.refused.push({ line: number, reason: error.message });
    }
  };
  for (const [index, content] of jsonl.split('\n').entries()) {
    if (content.trim() === '') continue;
    attempt(index + 1, () => {
      const parsed = parseLine(content);
      if (parsed.type === 'relation') {
        relations.push({ number: index + 1, relation: parsed });
        return;
      }
      // All of a line or nothing of it.
      checkLengths('entity', { name: parsed.name, type: parsed.entityType });
      for (const text of parsed.observations) checkLengths('observation', { text });
      const [created] = graph.createEntities(change, [parsed]);
      report.entities += created ? 1 : 0;
      report.observations += (
        created?.observations ?? graph.addObservations(change, parsed.name, parsed.observations)
      ).length;
    });
  }
  for (const { number, relation } of relations) {
    attempt(number, () => {
      report.relations += graph.createRelations(change, [relation]).length;
    });
  }
  report.refused.sort((a, b) => a.line - b.line);
  return report;
}

/** @throws ToolError invalid_input. */
function parseLine(text: string): z.output<typeof line> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ToolError('invalid_input', 'not valid JSON', { cause });
  }
  const parsed = line.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ToolError(
    'invalid_input',
    `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}`,
  );
}
