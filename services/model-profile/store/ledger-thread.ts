/** The thread that writes: whatever comes at the same time shares one commit, and nobody is answered before it is on disk. */
import { workerData } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';
import { serveLink } from '#runtime/link.ts';

import {
  openLedger,
  type Keeping,
  type Recorded,
  type Recording,
  type Resolved,
  type Resolving,
} from './ledger.ts';
import type { Registered, Registering } from './names.ts';

export interface LedgerSettings {
  readonly file: string;
  readonly keeping: Keeping;
}

/** What the thread says unasked. */
export interface LedgerEvent {
  readonly level: 'info' | 'warn';
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface Waiting {
  readonly size: number;
  readonly work: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/** So many decisions share one commit; more do not make it cheaper. */
const decisionsPerCommit = 5_000;
const retainEveryMs = 60_000;

const { file, keeping } = workerData as LedgerSettings;
const ledger = openLedger(file, keeping);
/** Of each token what came first; the token whose turn is next comes first. */
const waiting = new Map<string, Waiting[]>();
let isScheduled = false;

async function inLine<Value>(owner: string, size: number, work: () => Value): Promise<Value> {
  return new Promise((resolve, reject) => {
    const line = waiting.get(owner) ?? [];
    line.push({ size, work, resolve, reject });
    waiting.set(owner, line);
    schedule();
  });
}

/** The next one, whose token goes to the end of the round. */
function takeNext(): Waiting | undefined {
  for (const [owner, line] of waiting) {
    waiting.delete(owner);
    const next = line.shift();
    if (line.length > 0) waiting.set(owner, line);
    return next;
  }
  return undefined;
}

function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(writeSome);
}

function writeSome(): void {
  isScheduled = false;
  const group: Waiting[] = [];
  let size = 0;
  while (size < decisionsPerCommit) {
    const next = takeNext();
    if (!next) break;
    group.push(next);
    size += next.size;
  }
  if (group.length === 0) return;
  try {
    const values = ledger.together(group.map(({ work }) => work));
    for (const [at, value] of values.entries()) {
      if (value instanceof ToolError) group[at]?.reject(value);
      else group[at]?.resolve(value as never);
    }
  } catch (error) {
    for (const { reject } of group) reject(error);
  }
  if (waiting.size > 0) schedule();
}

let goingOn: NodeJS.Timeout | undefined;
let round: Generator<number, void> | undefined;
let gone = 0;

function retain(): void {
  try {
    round ??= ledger.retaining(Date.now());
    const { done, value } = round.next();
    if (done !== true) {
      gone += value;
      // Those who wait come between two pieces.
      goingOn = setTimeout(retain, 1);
      return;
    }
    if (gone > 0) tell('info', 'decisions_expired', { decisions: gone });
  } catch (error) {
    tell('warn', 'retention_failed', { reason: (error as Error).message });
  }
  [round, gone] = [undefined, 0];
}

const handlers = {
  record: async (recording: Recording): Promise<Recorded> =>
    inLine(
      recording.owner,
      typeof recording.decisions === 'string' ? 1_000 : recording.decisions.length,
      () => ledger.record(recording),
    ),
  resolve: async (resolving: Resolving): Promise<Resolved> =>
    inLine(resolving.owner, 1, () => ledger.resolve(resolving)),
  register: async (registering: Registering): Promise<Registered> =>
    inLine(registering.owner, 1, () => ledger.register(registering)),
  probe: () => ledger.probe(),
};
export type LedgerHandlers = typeof handlers;

const say = serveLink(handlers, () => {
  clearInterval(retaining);
  clearTimeout(goingOn);
  while (waiting.size > 0) writeSome();
  ledger[Symbol.dispose]();
});
const tell = (level: LedgerEvent['level'], event: string, fields: LedgerEvent['fields']) =>
  say({ level, event, fields } satisfies LedgerEvent);
const retaining = setInterval(() => {
  if (!round) retain();
}, retainEveryMs);
setImmediate(retain);
