/**
 * Who has the event loop next. One thing runs at a time, so a long one keeps all others waiting: work comes in short pieces,
 * and between them the loop goes to the caller who has used it least. So the heaviest calls of one caller wait for the small
 * calls of another, and not the other way round.
 */
import { performance } from 'node:perf_hooks';

import type { Call } from './tool.ts';

/** Work that yields where a piece of it may end, and holds nothing open there: each step may see another state. */
export type Steps<Value> = Generator<void, Value>;

type Snapshot = <Value>(read: () => Value) => Value;

/** A piece of long work ends at the first step after this time. */
const pieceMs = 2.5;
/** After so much work the loop looks for new connections and bytes: Node accepts one connection in each of its turns. */
const turnMs = 2;
/**
 * Where what ends a turn takes longer (the commit that its calls share), a turn may last so many times as long, up to `longestTurnMs`:
 * else a slow disk would get most of the loop, for a commit of a few calls each.
 */
const turnsPerEnd = 2;
const longestTurnMs = 8;

interface Work {
  readonly run: () => void;
  /** Whether it is a further piece of long work, which takes long itself. */
  readonly isPiece: boolean;
}

/** The work of one caller that waits, in order. */
interface Line {
  readonly waiting: Work[];
  /** How far the caller has come in the loop's virtual time: what it has used since others began to wait, in milliseconds. */
  usedMs: number;
}

/** Start-time fair queueing (Goyal, Vin and Cheng, 1996): who comes anew begins where the one stands who was served last. */
const lines = new Map<string, Line>();
let clockMs = 0;
let waiting = 0;
let isRunning = false;
/** Set from the first piece of a turn of the event loop to its end. */
let turnEndsAtMs: number | undefined;
let turnEnds: (() => void)[] = [];
/** How long it took to end the last turn that had something to end. */
let lastEndMs = 0;
/** Whether a connection came in since the last turn, and how many turns did no work for that; each takes some 0.1 ms. */
let hasLetIn = false;
let emptyTurns = 0;
const mostEmptyTurns = 50;

/**
 * Runs `work`, which must not throw, at once if nobody waits and this turn of the loop has time left; otherwise when it is the
 * caller's turn. What one caller brings runs in the order in which it came.
 *
 * @param isPiece whether it is a further piece of long work, which gets a turn of the loop of its own.
 */
export function takeTurn(caller: string, work: () => void, isPiece = false): void {
  const line = lineOf(caller);
  if (waiting === 0 && !isRunning && !isTurnOver()) {
    beginTurn();
    run(line, work);
    return;
  }
  if (line.waiting.length === 0) line.usedMs = Math.max(line.usedMs, clockMs);
  line.waiting.push({ run: work, isPiece });
  waiting += 1;
  beginTurn();
}

/** The same for a part of a call. @throws what the work throws. */
export async function inTurn<Value>(
  { caller, operation }: Pick<Call, 'caller' | 'operation'>,
  work: () => Value,
  isPiece = false,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const act = () => {
      try {
        resolve(onAccount(caller, operation, work));
      } catch (error) {
        reject(error);
      }
    };
    takeTurn(caller, act, isPiece);
  });
}

/**
 * Runs work that came by another way (a promise that was settled) on the caller's account: at once, since it cannot wait.
 *
 * @param name what runs, for those who watch.
 */
export function onAccount<Value>(caller: string, name: string, work: () => Value): Value {
  if (isRunning) {
    stretchName = name;
    return work();
  }
  beginTurn();
  return run(lineOf(caller), work, name);
}

/**
 * Told of every connection that comes in. Node lets in one in each turn of the loop: so the next turns do no work as long as
 * more come, or many who open connections again and again would keep everybody else at the door.
 */
export function letIn(): void {
  hasLetIn = true;
}

/** Called once, before the loop waits for anything: when all work of this turn of the event loop has run. */
export function atTurnEnd(act: () => void): void {
  beginTurn();
  turnEnds.push(act);
}

/** A stretch of time in which nothing else could run. */
export interface Stretch {
  /** What ran; `undefined` for what has no name, such as reading a request. */
  readonly name: string | undefined;
  readonly ms: number;
}

interface Watcher {
  /** Called when work begins after the loop did other things, or waited. */
  readonly begins: () => void;
  /** Called after each long stretch. */
  readonly wasLong: (stretch: Stretch) => void;
}

const watchers = new Set<Watcher>();
let stretchName: string | undefined;

/** A stretch that is longer is told to those who watch. */
const longMs = 2 * pieceMs;

/** Tells of the work of the loop, until it is disposed. */
export function watchTurns(watcher: Watcher): Disposable {
  watchers.add(watcher);
  return { [Symbol.dispose]: () => watchers.delete(watcher) };
}

/**
 * Runs work step by step, in pieces that the caller of `call` gets in turn with others. The first one runs at once, and where it
 * is the only one, so does the answer come.
 *
 * @param snapshot wraps each piece: a transaction, for work that reads a database.
 * @throws the reason for which the call was stopped meanwhile, and what the work throws.
 */
export function inTurns<Value>(
  snapshot: Snapshot,
  { signal, caller, operation }: Pick<Call, 'signal' | 'caller' | 'operation'>,
  steps: Steps<Value>,
): Value | Promise<Value> {
  const piece = () => {
    stretchName = operation;
    const endMs = performance.now() + pieceMs;
    return snapshot(() => {
      let next = steps.next();
      while (!next.done && !signal.aborted && performance.now() < endMs) next = steps.next();
      return next;
    });
  };
  const first = onAccount(caller, operation, piece);
  if (first.done) return first.value;
  return new Promise<Value>((resolve, reject) => {
    const goOn = () => {
      try {
        const step = piece();
        if (step.done) {
          resolve(step.value);
          return;
        }
        signal.throwIfAborted();
        takeTurn(caller, goOn, true);
      } catch (error) {
        reject(error);
      }
    };
    signal.throwIfAborted();
    takeTurn(caller, goOn, true);
  });
}

/** How often a client hears of long work. */
const progressMs = 500;

/** Long work of which the client hears, in steps. */
export function* telling<Value>({ progress }: Pick<Call, 'progress'>, steps: Steps<Value>): Steps<Value> {
  let toldAtMs: number | undefined;
  for (let done = 1; ; done += 1) {
    const step = steps.next();
    if (step.done) return step.value;
    const nowMs = performance.now();
    toldAtMs ??= nowMs;
    if (nowMs - toldAtMs >= progressMs) {
      progress(done, undefined, `${done} steps`);
      toldAtMs = nowMs;
    }
    yield;
  }
}

function lineOf(caller: string): Line {
  let line = lines.get(caller);
  if (!line) {
    line = { waiting: [], usedMs: clockMs };
    lines.set(caller, line);
  }
  return line;
}

function isTurnOver(): boolean {
  return turnEndsAtMs !== undefined && performance.now() >= turnEndsAtMs;
}

function beginTurn(): void {
  if (turnEndsAtMs !== undefined) return;
  for (const watcher of watchers) watcher.begins();
  turnEndsAtMs = performance.now() + Math.min(Math.max(turnMs, turnsPerEnd * lastEndMs), longestTurnMs);
  setImmediate(endTurn);
}

/** Runs when the loop has seen to its sockets; begins the next turn with those who wait. */
function endTurn(): void {
  finishTurn();
  turnEndsAtMs = undefined;
  if (waiting === 0) {
    forgetIdle();
    return;
  }
  beginTurn();
  emptyTurns = hasLetIn && emptyTurns < mostEmptyTurns ? emptyTurns + 1 : 0;
  hasLetIn = false;
  if (emptyTurns === 0) serveNext();
}

/**
 * One after the other while the turn lasts. What follows from one (its answer is written) comes before the next. The turn ends
 * before a further piece of long work: no answer and no commit is to wait for that.
 */
function serveNext(isFirst = true): void {
  const line = nextLine();
  const work = line?.waiting[0];
  if (!line || !work || (!isFirst && (work.isPiece || isTurnOver()))) {
    finishTurn();
    return;
  }
  line.waiting.shift();
  waiting -= 1;
  // Node runs what follows from a tick after all ticks: so the next one is made when that is done.
  queueMicrotask(() => process.nextTick(serveNext, false));
  run(line, work.run);
}

function nextLine(): Line | undefined {
  let next: Line | undefined;
  for (const line of lines.values()) {
    if (line.waiting.length > 0 && line.usedMs < (next?.usedMs ?? Infinity)) next = line;
  }
  return next;
}

function finishTurn(): void {
  const acts = turnEnds;
  if (acts.length === 0) return;
  turnEnds = [];
  const startedAtMs = performance.now();
  for (const act of acts) act();
  lastEndMs = performance.now() - startedAtMs;
}

function run<Value>(line: Line, work: () => Value, name?: string): Value {
  clockMs = Math.max(clockMs, line.usedMs);
  const startedAtMs = performance.now();
  stretchName = name;
  isRunning = true;
  try {
    return work();
  } finally {
    isRunning = false;
    const ms = performance.now() - startedAtMs;
    line.usedMs = clockMs + ms;
    if (ms > longMs) for (const watcher of watchers) watcher.wasLong({ name: stretchName, ms });
  }
}

/** A line that is behind the clock would begin at the clock: nothing of it need be remembered. */
function forgetIdle(): void {
  for (const [caller, line] of lines) {
    if (line.usedMs <= clockMs || lines.size > mostIdleLines) lines.delete(caller);
  }
}

const mostIdleLines = 1_000;
