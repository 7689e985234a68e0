/** Copies the records of calls that every process keeps for itself, so that they are searched beside its log. */
import { lstatSync } from 'node:fs';

import { z } from 'zod';

import type { Level, NewLine } from '../store/line.ts';
import { prepared } from '../intake/prepare.ts';
import type { Feeding } from './feeds.ts';
import type { Batch } from '../store/keeper.ts';

export interface AuditSettings {
  /** Of scope `audit`. */
  readonly token: string;
  /** One that has no folder here never ran, and is not asked. */
  readonly processes: readonly { readonly name: string; readonly url: string; readonly folder: string }[];
}

/** How often a process is asked when it had nothing new, and when it does not let us. */
const pollMs = 2_000;
const refusedMs = 60_000;
const timeoutMs = 10_000;

const recordSchema = z.looseObject({
  sequence: z.int().min(1),
  time: z.iso.datetime(),
  caller: z.string(),
  method: z.string(),
  target: z.string().nullable(),
  outcome: z.string(),
  durationMs: z.number(),
  traceId: z.string(),
});
type Record = z.output<typeof recordSchema>;

/** How far a trail is copied: the last record, and the place behind it. */
const positionSchema = z.object({
  chain: z.string(),
  sequence: z.int(),
  time: z.string(),
  place: z.string(),
});
type Position = z.output<typeof positionSchema>;
const atStart: Position = { chain: '', sequence: 0, time: '', place: '0:0' };

export const auditSource = (name: string) => `audit:${name}`;

/** Ends with the signal. A process that does not answer is asked again. */
export async function followAudit(
  { token, processes }: AuditSettings,
  feeding: Feeding,
  keep: (batch: Batch) => Promise<void>,
  { signal, pause }: { readonly signal: AbortSignal; readonly pause: (ms: number) => Promise<void> },
): Promise<void> {
  async function follow({ name, url, folder }: AuditSettings['processes'][number]): Promise<void> {
    const source = auditSource(name);
    let position = positionOf(feeding.positionOf(source));
    let trouble = '';
    const tell = (event: string, fields = {}) => {
      if (trouble !== event) feeding.tell('warn', event, { process: name, ...fields });
      trouble = event;
    };
    while (!signal.aborted) {
      let page: AuditPage | undefined;
      try {
        // In a unit it is a link that leads where only its owner may go.
        page = lstatSync(folder, { throwIfNoEntry: false })
          ? await ask(`${url}/admin/audit?from=${position.place}`, token, signal)
          : undefined;
      } catch {
        // It does not run, or is being replaced.
      }
      if (!page) {
        await pause(pollMs);
        continue;
      }
      if (page.status === 410) {
        tell('audit_trail_shorter', { remedy: 'see: flotilla audit verify' });
        position = { ...position, place: atStart.place };
        await pause(pollMs);
        continue;
      }
      if (page.status !== 200) {
        tell('audit_not_copied', { status: page.status });
        await pause(refusedMs);
        continue;
      }
      if (position.chain !== '' && page.chain !== position.chain) {
        // After a restore the trail is another one: it is read from its start.
        position = {
          ...position,
          chain: page.chain,
          sequence: Number.MAX_SAFE_INTEGER,
          place: atStart.place,
        };
        continue;
      }
      if (page.text === '') {
        await pause(pollMs);
        continue;
      }
      trouble = '';
      const { lines, next, unreadable } = linesOf(name, page, position, feeding.now());
      await keep({
        lines,
        refused: unreadable > 0 ? { unreadable } : {},
        position: { source, position: JSON.stringify(next) },
      });
      position = next;
    }
  }
  await Promise.all(processes.map(follow));
}

interface AuditPage {
  readonly status: number;
  readonly text: string;
  readonly chain: string;
  readonly place: string;
}

async function ask(url: string, token: string, signal: AbortSignal): Promise<AuditPage> {
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${token}` },
    redirect: 'error',
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  return {
    status: response.status,
    text: await response.text(),
    chain: response.headers.get('flotilla-audit-chain') ?? '',
    place: response.headers.get('flotilla-audit-next') ?? atStart.place,
  };
}

/** Those of a page that are not copied yet. */
function linesOf(name: string, page: AuditPage, position: Position, nowMs: number) {
  const lines: NewLine[] = [];
  let { sequence, time } = position;
  let unreadable = 0;
  for (const text of page.text.split('\n')) {
    if (text === '') continue;
    const record = recordOf(text);
    if (!record) {
      unreadable += 1;
      continue;
    }
    // A trail that is read again from its start has what was copied; numbers alone would not do, for it may be another one.
    if (record.sequence <= position.sequence && record.time <= position.time) continue;
    lines.push(lineOf(name, record, nowMs));
    ({ sequence, time } = record);
  }
  return { lines, unreadable, next: { chain: page.chain, sequence, time, place: page.place } };
}

function lineOf(name: string, record: Record, nowMs: number): NewLine {
  const { time, caller, method, target, outcome, durationMs, traceId, sequence, ...more } = record;
  return prepared(
    {
      message: `${caller === '' ? '-' : caller} ${target ?? method} ${outcome} ${durationMs} ms`,
      atMs: Date.parse(time),
      level: levelOf(outcome),
      service: name,
      traceId: traceId === '' ? undefined : traceId,
      fields: { caller, method, target, outcome, durationMs, sequence, ...more },
    },
    { source: auditSource(name), service: name, nowMs },
  );
}

function levelOf(outcome: string): Level {
  if (outcome === 'ok') return 'info';
  return outcome === 'internal' ? 'error' : 'warn';
}

function recordOf(text: string): Record | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function positionOf(text: string | undefined): Position {
  return text === undefined ? atStart : positionSchema.parse(JSON.parse(text));
}
