/**
 * Who writes: decisions, their outcomes, and the sums that follow from them, in one transaction. Works on a thread of its own; one
 * transaction holds whatever came at the same time.
 */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf, type Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import { monitorLength, monitorStep } from '#statistics/drift.ts';

import { decisionOf, Fault, type NewDecision } from '../decision.ts';
import { maxNamedRefusals, maxTaskTypes } from '../limits.ts';
import { fullKey, unknownModel } from '../subject.ts';
import { addError, addVerdict, addVolume } from './cell.ts';
import { openCells } from './cells.ts';
import { dayOf } from './day.ts';
import { Line, linesOf, uidIn } from './lines.ts';
import { openNames, type KnownModel, type Registered, type Registering } from './names.ts';
import { eventBytes, openHoldings, openRetention, rowBytes } from './retention.ts';
import { openRows } from './rows.ts';
import { openUids } from './uids.ts';

export const migrations = fileURLToPath(new URL('migrations', import.meta.url));

export interface Keeping {
  readonly days: number;
  readonly decisions: number;
  readonly quota: Quota;
}

export interface Recording {
  readonly owner: string;
  readonly nowMs: number;
  /** Objects as they came, or as lines of JSON. */
  readonly decisions: readonly unknown[] | string;
}

export interface Refused {
  readonly index: number;
  readonly uid: string | undefined;
  readonly reason: 'invalid' | 'unknown_model' | 'conflict' | 'over_quota' | 'too_many_task_types';
  readonly message: string;
}

export interface Recorded {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** The first of them. */
  readonly refused: readonly Refused[];
  /** The number of the last change that is on disk. */
  readonly change: number;
}

export interface Resolving {
  readonly owner: string;
  readonly nowMs: number;
  readonly uid: string;
  readonly outcome: number;
  readonly source: number;
  readonly errorKind: number | null;
  readonly evaluator: string | null;
}

export interface Resolved {
  readonly change: number;
  /** What counts for the decision now. */
  readonly outcome: number;
  readonly source: number;
  readonly effect: 'first' | 'revised' | 'kept_beside' | 'unchanged';
}

export type Ledger = ReturnType<typeof openLedger>;

/** @param uidsPerRun as many as there are in a run; fewer for tests. */
export function openLedger(file: string, keeping: Keeping, uidsPerRun?: number) {
  const database = openDatabase(file, migrations);
  // Of the sums and of the uids, whatever was used last stays in memory.
  database.pragma('cache_size = -65536');
  database.pragma('wal_autocheckpoint = 8000');
  return ledgerOn(database, keeping, uidsPerRun);
}

function ledgerOn(database: Database, keeping: Keeping, uidsPerRun: number | undefined) {
  const { write, probe } = transactionsOf(database);
  const quotas = openQuotas(database, keeping.quota, 'Older decisions go by themselves.');
  const uids = openUids(database, uidsPerRun);

  const names = openNames(database);
  const cells = openCells(database);
  const rows = openRows(database);
  const holdings = openHoldings(database);
  const retaining = openRetention(database, uids, keeping);

  const counter = database.prepare<[string], number>('SELECT value FROM counter WHERE name = ?').pluck();
  const setCounter = database.prepare('UPDATE counter SET value = ? WHERE name = ?');
  const insertDrift = database.prepare('INSERT INTO drift_event VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)');
  const holding = database.prepare<[string], Quota>('SELECT items, bytes FROM kept WHERE owner = ?');
  let change = 0;

  function load(): void {
    change = counter.get('change') ?? 0;
    names.load();
    cells.forget();
    uids.load();
  }

  /** What is in memory goes with what is on disk. */
  function orLoad<Value>(work: () => Value): Value {
    try {
      return work();
    } catch (error) {
      load();
      throw error;
    }
  }

  /** All of it or nothing. */
  const changing = <Value>(work: () => Value): Value =>
    orLoad(() =>
      write(() => {
        const before = change;
        const value = work();
        cells.flush();
        names.flush();
        if (change > before) {
          holdings.addBetween(before + 1, change);
          setCounter.run(change, 'change');
        }
        return value;
      }),
    );

  /** What a token may still keep. */
  function roomOf(owner: string): { items: number; bytes: number } {
    const held = holding.get(owner) ?? { items: 0, bytes: 0 };
    return { items: keeping.quota.items - held.items, bytes: keeping.quota.bytes - held.bytes };
  }

  function watch(model: KnownModel, metric: number, value: number, atMs: number): void {
    const alarm = monitorStep(model.monitors, metric * monitorLength, value);
    if (alarm)
      insertDrift.run(model.id, metric, change, atMs, alarm.direction, alarm.average, alarm.deviation);
  }

  /** The monitors hear of an outcome once, when it is first known: a revision is no new observation. */
  function watchOutcome(model: KnownModel, outcome: number, confidence: number | null, atMs: number): void {
    watch(model, 0, outcome, atMs);
    if (confidence !== null) watch(model, 1, (confidence - outcome) ** 2, atMs);
  }

  function insert(
    decision: NewDecision,
    model: KnownModel,
    taskType: number,
    owner: number,
    nowMs: number,
  ): void {
    change += 1;
    const atMs = decision.atMs ?? nowMs;
    const strand = names.strandOf(model.id, owner);
    rows.insert(decision, { id: change, model: model.id, taskType, previous: strand.last, owner, atMs });
    uids.add(decision.uid, change);
    strand.last = change;
    names.touch(model);
    model.decisions += 1;
    const sums = cells.of(model.id, dayOf(atMs), taskType);
    addVolume(sums, decision);
    const { outcome, source, confidence, errorKind, latencyMs, costUsd } = decision;
    if (errorKind !== null) addError(sums, errorKind, 1);
    if (outcome !== null && source !== null) {
      addVerdict(sums, { outcome, source, confidence }, 1);
      watchOutcome(model, outcome, confidence, atMs);
    }
    if (latencyMs !== null) watch(model, 2, Math.log(latencyMs + 1e-3), atMs);
    if (costUsd !== null) watch(model, 3, Math.log(costUsd + 1e-9), atMs);
  }

  /** @returns why it was not taken, or whether it was there. */
  function take(
    decision: NewDecision,
    owner: { id: number; room: Quota },
    nowMs: number,
  ): Omit<Refused, 'index' | 'uid'> | 'accepted' | 'duplicate' {
    const model = names.modelBy(decision.model) ?? names.modelBy(fullKey(decision.model));
    if (!model) return { reason: 'unknown_model', message: unknownModel(decision.model, []).message };
    const there = uids.find(decision.uid);
    if (there !== undefined) {
      const row = rows.decision(there);
      if (row && rows.isSame(row, decision, model.id, names.taskType(decision.taskType))) return 'duplicate';
      return {
        reason: 'conflict',
        message: 'The uid is that of another decision. To revise an outcome, call resolve_outcome.',
      };
    }
    const size =
      rowBytes +
      4 *
        (decision.uid.length +
          (decision.item?.length ?? 0) +
          (decision.cluster?.length ?? 0) +
          (decision.more?.length ?? 0));
    if (owner.room.items < 1 || owner.room.bytes < size)
      return { reason: 'over_quota', message: 'The token keeps as much as it may keep here.' };
    const taskType = names.taskTypeId(decision.taskType, owner.id);
    if (taskType === undefined)
      return {
        reason: 'too_many_task_types',
        message: `The token has named ${maxTaskTypes} task types already: use one of them.`,
      };
    insert(decision, model, taskType, owner.id, nowMs);
    Object.assign(owner.room, { items: owner.room.items - 1, bytes: owner.room.bytes - size });
    return 'accepted';
  }

  function record({ owner, nowMs, decisions }: Recording): Recorded {
    const from = { id: names.ownerId(owner), room: roomOf(owner) };
    const refused: Refused[] = [];
    let [accepted, duplicates, rejected, index] = [0, 0, 0, -1];
    for (const given of typeof decisions === 'string' ? linesOf(decisions) : decisions) {
      index += 1;
      let uid: string | undefined;
      let refusal: Omit<Refused, 'index' | 'uid'>;
      try {
        const decision = decisionOf(given instanceof Line ? given.value() : given, nowMs);
        ({ uid } = decision);
        const found = take(decision, from, nowMs);
        if (found === 'accepted') accepted += 1;
        else if (found === 'duplicate') duplicates += 1;
        if (typeof found === 'string') continue;
        refusal = found;
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        refusal = { reason: 'invalid', message: error.message };
        uid = uidIn(given);
      }
      rejected += 1;
      if (refused.length < maxNamedRefusals) refused.push({ index, uid, ...refusal });
    }
    return { accepted, duplicates, rejected, refused, change };
  }

  function resolve({ owner, nowMs, uid, outcome, source, errorKind, evaluator }: Resolving): Resolved {
    const id = uids.find(uid);
    const row = id === undefined ? undefined : rows.decision(id);
    const model = row && names.modelById(row.model);
    if (!row || !model) throw noDecision(uid);
    const before = rows.lastWord(row, source);
    const standing = { outcome: row.outcome ?? outcome, source: row.source ?? source };
    if (
      before?.outcome === outcome &&
      before.evaluator === evaluator &&
      (errorKind === null || before.error_kind === errorKind)
    )
      return { change, ...standing, effect: 'unchanged' };
    const bytes = eventBytes + Buffer.byteLength(evaluator ?? '');
    const room = roomOf(owner);
    if (room.items < 1 || room.bytes < bytes)
      throw new ToolError('too_large', 'The token keeps as much as it may keep here.', {
        hint: 'Nothing was changed. Each outcome is kept; ask the operator for more room.',
      });
    change += 1;
    holdings.hold(owner, 1, bytes);
    const counts = row.source === null || source <= row.source;
    rows.addEvent(row, {
      id: change,
      atMs: nowMs,
      owner: names.ownerId(owner),
      outcome,
      source,
      errorKind,
      evaluator,
      counts,
    });
    if (!counts) return { change, ...standing, effect: 'kept_beside' };
    const kind = outcome === 1 ? null : (errorKind ?? row.error_kind);
    rows.setOutcome(row.id, outcome, source, kind);
    const sums = cells.of(row.model, dayOf(row.at_ms), row.task_type);
    const { confidence } = row;
    if (row.outcome !== null && row.source !== null)
      addVerdict(sums, { outcome: row.outcome, source: row.source, confidence }, -1);
    addVerdict(sums, { outcome, source, confidence }, 1);
    if (row.error_kind !== null) addError(sums, row.error_kind, -1);
    if (kind !== null) addError(sums, kind, 1);
    names.touch(model);
    if (row.outcome === null) watchOutcome(model, outcome, confidence, nowMs);
    return { change, outcome, source, effect: row.outcome === null ? 'first' : 'revised' };
  }

  function noDecision(uid: string): ToolError {
    const named = /^\d{1,15}$/.test(uid) ? rows.decisionOfEvent(Number(uid)) : undefined;
    if (named !== undefined) {
      return new ToolError('invalid_input', `${uid} is the number of an outcome, and an outcome has none.`, {
        hint: `To revise it, resolve its decision ${JSON.stringify(named)} again.`,
      });
    }
    return new ToolError('not_found', `There is no decision ${JSON.stringify(uid)}.`, {
      hint: 'Give the uid with which it was recorded. Decisions that are older than the operator keeps are gone, with their outcomes as they were.',
    });
  }

  load();
  return {
    /** Several in one commit: each returns its own answer or throws its own ToolError before it has changed anything. */
    together<Value>(works: readonly (() => Value)[]): (Value | ToolError)[] {
      return changing(() =>
        works.map((work) => {
          try {
            return work();
          } catch (error) {
            if (error instanceof ToolError) return error;
            throw error;
          }
        }),
      );
    },
    record,
    resolve,
    register: (registering: Registering): Registered => names.register(registering),
    /** As `openRetention` says. */
    *retaining(nowMs: number): Generator<number, void> {
      const steps = retaining(nowMs);
      for (let step = orLoad(() => steps.next()); step.done !== true; step = orLoad(() => steps.next()))
        yield step.value;
    },
    probe,
    kept: () => quotas.kept(),
    [Symbol.dispose]: () => database.close(),
  };
}
