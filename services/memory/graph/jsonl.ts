/** The official server's file format: one JSON object per line, entities and then relations. */
import { z } from 'zod';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';

import type { Steps } from '#runtime/turns.ts';

import type { Change } from '../journal.ts';
import { bytesOf, checkLengths, lineCost, maxBadLines, rowsPerStep } from '../limits.ts';
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
export function* exportLines(
  graph: GraphStore,
  [lastEntity, given, lastRelation]: ExportPosition,
  limit: number,
  bytes: number,
): Steps<{ lines: string[]; next: ExportPosition | undefined }> {
  const lines: string[] = [];
  let used = 0;
  let position: ExportPosition = [lastEntity, given, lastRelation];
  const isFull = (text: string) =>
    lines.length > 0 && (lines.length === limit || used + bytesOf(text) > bytes);
  const write = (text: string, next: ExportPosition) => {
    lines.push(text);
    used += bytesOf(text);
    position = next;
  };

  for (const row of graph.entitiesAfter(given > 0 ? lastEntity - 1 : lastEntity)) {
    if (!row) {
      yield;
      continue;
    }
    const observationOffset = row.entity_id === lastEntity ? given : 0;
    const limits = { observationOffset, leastObservations: 1 };
    const { value, cutShort } = yield* entityWithin(graph, row, limits, bytes);
    const text = entityLine(value);
    if (isFull(text)) return { lines, next: position };
    const shown = observationOffset + value.observations.length;
    write(text, [row.entity_id, cutShort ? shown : 0, 0]);
    if (cutShort) return { lines, next: position };
  }
  for (let at = lastRelation; ;) {
    const links = graph.linksAfter(at, rowsPerStep);
    for (const { id, ...relation } of links) {
      const text = relationLine(relation);
      if (isFull(text)) return { lines, next: position };
      write(text, [entitiesDone, 0, id]);
      at = id;
    }
    if (links.length < rowsPerStep) return { lines, next: undefined };
    yield;
  }
}

export interface ImportReport {
  entities: number;
  observations: number;
  relations: number;
  /** Bad lines, which were not imported. */
  skipped: number;
  /** The first of them, by number from 1. */
  refused: { line: number; reason: string }[];
}

/** With bad lines: import nothing, or the others. */
export type OnBadLine = 'refuse' | 'skip';

export const badLinesShown = 100;
const badLinesInMessage = 5;

/**
 * Adds what is new. Observations of an entity that exists join it; relations wait for all entities.
 *
 * @throws ToolError invalid_input for bad lines, where they are refused or too many; too_large.
 */
export function importLines(
  graph: GraphStore,
  change: Change,
  jsonl: string,
  onBadLine: OnBadLine,
): ImportReport {
  const report = { entities: 0, observations: 0, relations: 0 };
  const bad: ImportReport['refused'] = [];
  const relations: { number: number; relation: Relation }[] = [];
  /** Refuses a line for one of these reasons. */
  const attempt = <Value>(line: number, reasons: readonly ErrorCode[], work: () => Value) => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ToolError && reasons.includes(error.code))) throw error;
      if (bad.push({ line, reason: error.message }) < maxBadLines) return undefined;
      throw nothingImported(bad, `At least ${maxBadLines} bad lines (read up to line ${line})`, {
        hint: 'Pass the content of a file of the official memory server, or of export_graph.',
      });
    }
  };
  for (const [index, content] of linesOf(jsonl)) {
    change.spend(lineCost);
    const parsed = attempt(index, ['invalid_input', 'too_large'], () => parseLine(content));
    if (parsed?.type === 'relation') relations.push({ number: index, relation: parsed });
    if (parsed?.type !== 'entity') continue;
    const [created] = graph.createEntities(change, [parsed]).created;
    report.entities += created ? 1 : 0;
    report.observations += (
      created?.observations ?? graph.addObservations(change, parsed.name, parsed.observations)
    ).length;
  }
  for (const { number, relation } of relations) {
    const created = attempt(number, ['not_found'], () => graph.createRelations(change, [relation]));
    report.relations += created?.length ?? 0;
  }
  if (bad.length > 0 && onBadLine === 'refuse') {
    throw nothingImported(bad, `${bad.length} bad ${bad.length === 1 ? 'line' : 'lines'}`, {
      hint: 'Correct them, or pass on_bad_line: skip.',
    });
  }
  const refused = bad.toSorted((one, other) => one.line - other.line).slice(0, badLinesShown);
  return { ...report, skipped: bad.length, refused };
}

function nothingImported(bad: ImportReport['refused'], what: string, options: { readonly hint: string }) {
  const reasons = bad
    .toSorted((one, other) => one.line - other.line)
    .slice(0, badLinesInMessage)
    .map(({ line, reason }) => `line ${line}: ${reason}`);
  return new ToolError('invalid_input', `${what}, nothing imported. ${reasons.join('; ')}`, options);
}

/** Those that are not blank, with their numbers from 1; one at a time, because there may be a million. */
function* linesOf(jsonl: string): Generator<readonly [number: number, content: string]> {
  const start = jsonl.startsWith('\uFEFF') ? 1 : 0;
  for (let at = start, number = 1; at <= jsonl.length; number += 1) {
    const next = jsonl.indexOf('\n', at);
    const end = next < 0 ? jsonl.length : next;
    const content = jsonl.slice(at, end);
    if (content.trim() !== '') yield [number, content];
    at = end + 1;
  }
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
