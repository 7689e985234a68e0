/** Clients that write all the time, remember what was acknowledged, and look afterwards whether it is there. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { segmentsOf } from '#runtime/account/audit-chain.ts';

import { callTool } from '../support/rpc.ts';
import type { AcknowledgedWrite, Answer, ToolCall, Written } from './acknowledged.ts';

export interface Target {
  readonly url: string;
  readonly token: string;
}

interface Series {
  readonly way: AcknowledgedWrite;
  readonly written: Written[];
  /** `unsure`: its removal was asked for, and not acknowledged. */
  state: 'kept' | 'unsure' | 'removed';
  removedBy?: string;
}

const clientsPerWay = 2;
const seriesLength = 10;
/** Every so many series one is removed. */
const removedEvery = 4;
const retryMs = 20;
const readersAtOnce = 8;

async function call(target: Target, [tool, args]: ToolCall, signal?: AbortSignal): Promise<Answer> {
  const { result, error } = await callTool(target, tool, args, signal && { signal });
  if (!result || result['isError']) throw new Error(`${tool}: ${JSON.stringify(result ?? error)}`);
  return result['structuredContent'] as Answer;
}

/** What some writers did until now. */
export class Writing {
  readonly series: Series[] = [];
  /** Why calls failed; what they would have written is not looked for. */
  readonly failures: string[] = [];
  readonly #target: Target;
  readonly #stop = new AbortController();
  #isSettled = false;
  readonly #clients: readonly Promise<void>[];
  readonly #removes: boolean;

  constructor(target: Target, ways: readonly AcknowledgedWrite[]) {
    this.#target = target;
    this.#removes = ways.some(({ remove }) => remove);
    this.#clients = ways.flatMap((way) =>
      Array.from({ length: clientsPerWay }, async (_, number) => this.#client(way, number)),
    );
  }

  get acknowledged(): number {
    return this.series.reduce((sum, { written }) => sum + written.length, 0);
  }

  /** Resolves when something was acknowledged and, where a tool removes, something removed; or when a call failed. */
  async begun(): Promise<void> {
    const isBegun = () =>
      this.failures.length > 0 || (this.#removes ? this.removals().size : this.acknowledged) > 0;
    while (this.#clients.length > 0 && !isBegun()) await sleep(10);
  }

  /** What is answered from now on is not counted. */
  settle(): void {
    this.#isSettled = true;
  }

  /** No more calls; those that nobody will answer are given up. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  async #client(way: AcknowledgedWrite, offset: number): Promise<void> {
    const { signal } = this.#stop;
    for (let count = offset; !signal.aborted; count += 1) {
      const series: Series = { way, written: [], state: 'kept' };
      this.series.push(series);
      try {
        while (series.written.length < seriesLength && !signal.aborted) {
          const text = `trial-${randomUUID()}`;
          const answer = await call(this.#target, way.write(text, series.written), signal);
          if (this.#isSettled) return;
          series.written.push({ text, answer });
        }
        if (!way.remove || count % removedEvery !== 0 || signal.aborted) continue;
        const removal = way.remove(series.written);
        series.state = 'unsure';
        await call(this.#target, removal, signal);
        if (this.#isSettled) return;
        series.state = 'removed';
        series.removedBy = removal[0];
      } catch (error) {
        if (signal.aborted || this.#isSettled) return;
        this.failures.push(String(error));
        await sleep(retryMs);
      }
    }
  }

  /** What is not as it was acknowledged: writes that are gone, removals that came back. */
  async lost(target: Target): Promise<string[]> {
    const lost: string[] = [];
    const due = this.series.filter(({ state }) => state !== 'unsure');
    const reader = async () => {
      for (let one = due.pop(); one; one = due.pop()) {
        for (const written of one.written) {
          const { result } = await callTool(target, ...one.way.read(written));
          const isThere = JSON.stringify(result?.['structuredContent'] ?? null).includes(written.text);
          if (isThere !== (one.state === 'kept')) {
            lost.push(`${one.way.read(written)[0]}: ${written.text} is ${isThere ? 'there again' : 'gone'}`);
          }
        }
      }
    };
    await Promise.all(Array.from({ length: readersAtOnce }, reader));
    return lost;
  }

  /** Removals that were acknowledged, by the tool that made them. */
  removals(): ReadonlyMap<string, number> {
    const removed = Map.groupBy(this.series, ({ removedBy = '' }) => removedBy);
    removed.delete('');
    return new Map([...removed].map(([tool, { length }]) => [tool, length]));
  }
}

interface AuditRecord {
  readonly target: string | null;
  readonly outcome: string;
}

export function recordsIn(auditFolder: string): AuditRecord[] {
  return segmentsOf(auditFolder).flatMap((name) =>
    readFileSync(join(auditFolder, name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as AuditRecord),
  );
}

/** Of these removals those of which the audit trail knows nothing. */
export function unrecorded(removals: ReadonlyMap<string, number>, auditFolder: string): string[] {
  const records = recordsIn(auditFolder).filter(({ outcome }) => outcome === 'ok');
  return [...removals].flatMap(([tool, acknowledged]) => {
    const { length: recorded } = records.filter(({ target }) => target === tool);
    return recorded < acknowledged ? [`${tool}: ${acknowledged} acknowledged, ${recorded} recorded`] : [];
  });
}
