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
import { maxModels, maxNamedRefusals, maxTaskTypes } from '../limits.ts';
import { fullKey, keyOf, unknownModel, type Identity } from '../subject.ts';
import { addError, addVerdict, addVolume, decodeCell, emptyCell, encodeCell, type Cell } from './cell.ts';
import { dayMs, dayOf } from './day.ts';
import { metrics } from './metrics.ts';
import type { StoredDecision } from './reading.ts';
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

export interface Registering extends Identity {
  readonly owner: string;
  readonly nowMs: number;
  readonly note: string | null;
}

export interface Registered {
  readonly key: string;
  readonly isNew: boolean;
}

type DecisionRow = Omit<StoredDecision, 'previous'>;

interface EventRow {
  readonly outcome: number;
  readonly source: number;
  readonly error_kind: number | null;
  readonly evaluator: string | null;
}

interface KnownModel {
  readonly id: number;
  decisions: number;
  last: number;
  readonly monitors: Float64Array;
}

interface KnownCell {
  /** 0 as long as it is not stored. */
  id: number;
  readonly model: number;
  readonly day: number;
  readonly taskType: number;
  readonly sums: Cell;
}

/** Cells that stay in memory, some 8 kB each. */
const mostCells = 8_192;
/** Of all tokens together, so that day, kind of task and model are one number below 2^53. */
const idsOfTaskTypes = 2 ** 16;
const idsOfModels = 2 ** 20;
/** Rows that are let go with one commit. */
const expiredPerCommit = 5_000;
/** A decision without its texts, with its place among the uids. */
const rowBytes = 120;
const bytesOfRow = `${rowBytes} + octet_length(uid) + coalesce(octet_length(item), 0) + coalesce(octet_length(cluster), 0) + coalesce(octet_length(more), 0)`;

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

  const counter = database.prepare<[string], number>('SELECT value FROM counter WHERE name = ?').pluck();
  const setCounter = database.prepare('UPDATE counter SET value = ? WHERE name = ?');
  const allModels = database.prepare<
    [],
    { id: number; key: string; decisions: number; last: number; monitors: Buffer }
  >('SELECT id, key, decisions, last, monitors FROM model');
  const insertModel = database.prepare('INSERT INTO model VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)');
  const setNote = database.prepare('UPDATE model SET note = ? WHERE key = ?');
  const updateModel = database.prepare('UPDATE model SET decisions = ?, last = ?, monitors = ? WHERE id = ?');
  const allTaskTypes = database.prepare<[], { id: number; name: string; owner: number }>(
    'SELECT * FROM task_type',
  );
  const insertTaskType = database.prepare('INSERT INTO task_type VALUES (NULL, ?, ?)');
  const modelsOf = database.prepare<[string], number>('SELECT count(*) FROM model WHERE owner = ?').pluck();
  const findOwner = database.prepare<[string], number>('SELECT id FROM owner WHERE name = ?').pluck();
  const insertOwner = database.prepare('INSERT INTO owner VALUES (NULL, ?)');
  const insertDecision = database.prepare(
    'INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  /** Most decisions say no more; each value that is bound takes its time. */
  const insertShort = database.prepare(
    'INSERT INTO decision (id, uid, model, task_type, previous, owner, at_ms, confidence, outcome, source, latency_ms, cost_usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const decisionBy = database.prepare<[number], DecisionRow>('SELECT * FROM decision WHERE id = ?');
  const firstEvent = database.prepare<
    [number],
    { outcome_before: number | null; source_before: number | null; error_kind_before: number | null }
  >(
    'SELECT outcome_before, source_before, error_kind_before FROM outcome_event WHERE decision = ? AND counts = 1 ORDER BY id LIMIT 1',
  );
  const lastEventOf = database.prepare<[number, number], EventRow>(
    'SELECT outcome, source, error_kind, evaluator FROM outcome_event WHERE decision = ? AND source = ? ORDER BY id DESC LIMIT 1',
  );
  const decisionOfEvent = database
    .prepare<[number], string>(
      'SELECT uid FROM outcome_event JOIN decision ON decision.id = decision WHERE outcome_event.id = ?',
    )
    .pluck();
  const insertEvent = database.prepare(
    'INSERT INTO outcome_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const setOutcome = database.prepare(
    'UPDATE decision SET outcome = ?, source = ?, error_kind = ? WHERE id = ?',
  );
  const findCell = database.prepare<[number, number, number], { id: number; sums: Buffer }>(
    'SELECT id, sums FROM cell WHERE model = ? AND day = ? AND task_type = ?',
  );
  const insertCell = database.prepare('INSERT INTO cell VALUES (NULL, ?, ?, ?, ?)');
  const updateCell = database.prepare('UPDATE cell SET sums = ? WHERE id = ?');
  const insertDrift = database.prepare('INSERT INTO drift_event VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)');
  const holding = database.prepare<[string], Quota>('SELECT items, bytes FROM kept WHERE owner = ?');
  const hold = database.prepare(
    'INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes',
  );
  const sizesBetween = database.prepare<[number, number], { owner: string; items: number; bytes: number }>(
    `SELECT owner.name AS owner, count(*) AS items, sum(${bytesOfRow}) AS bytes FROM decision JOIN owner ON owner.id = decision.owner WHERE decision.id BETWEEN ? AND ? GROUP BY decision.owner`,
  );
  const itemsKept = database.prepare<[], number>('SELECT coalesce(sum(items), 0) FROM kept').pluck();
  const oldestOf = database.prepare<[number], { id: number; at_ms: number }>(
    'SELECT id, at_ms FROM decision ORDER BY id LIMIT ?',
  );
  const dropDecisions = database.prepare('DELETE FROM decision WHERE id <= ?');
  const dropEvents = database.prepare('DELETE FROM outcome_event WHERE decision <= ?');

  const models = new Map<string, KnownModel>();
  const modelsById = new Map<number, KnownModel>();
  const taskTypes = new Map<string, number>();
  /** How many of them each owner has named. */
  const taskTypesNamed = new Map<number, number>();
  const cells = new Map<number, KnownCell>();
  const touchedCells = new Set<KnownCell>();
  const touchedModels = new Set<KnownModel>();
  let change = 0;

  function load(): void {
    change = counter.get('change') ?? 0;
    models.clear();
    modelsById.clear();
    for (const { id, key, decisions, last, monitors } of allModels.all())
      know(key, { id, decisions, last, monitors: floats(monitors) });
    taskTypes.clear();
    taskTypesNamed.clear();
    for (const { id, name, owner } of allTaskTypes.all()) {
      taskTypes.set(name, id);
      taskTypesNamed.set(owner, (taskTypesNamed.get(owner) ?? 0) + 1);
    }
    cells.clear();
    uids.load();
    touchedCells.clear();
    touchedModels.clear();
  }

  function know(key: string, model: KnownModel): void {
    models.set(key, model);
    modelsById.set(model.id, model);
  }

  /** All of it or nothing; what is in memory goes with what is on disk. */
  function changing<Value>(work: () => Value): Value {
    try {
      return write(() => {
        const before = change;
        const value = work();
        flush(before);
        return value;
      });
    } catch (error) {
      load();
      throw error;
    }
  }

  function flushCells(): void {
    for (const cell of touchedCells) {
      const sums = encodeCell(cell.sums);
      if (cell.id === 0)
        cell.id = Number(insertCell.run(cell.model, cell.day, cell.taskType, sums).lastInsertRowid);
      else updateCell.run(sums, cell.id);
    }
    touchedCells.clear();
  }

  function flush(before: number): void {
    flushCells();
    for (const { id, decisions, last, monitors } of touchedModels)
      updateModel.run(decisions, last, bytesOf(monitors), id);
    touchedModels.clear();
    if (change === before) return;
    for (const { owner, items, bytes } of sizesBetween.all(before + 1, change)) hold.run(owner, items, bytes);
    setCounter.run(change, 'change');
  }

  function cellOf(model: number, day: number, taskType: number): KnownCell {
    const key = (day * idsOfTaskTypes + taskType) * idsOfModels + model;
    let cell = cells.get(key);
    if (!cell) {
      if (cells.size >= mostCells) forgetSome();
      const row = findCell.get(model, day, taskType);
      cell = { id: row?.id ?? 0, model, day, taskType, sums: row ? decodeCell(row.sums) : emptyCell() };
      cells.set(key, cell);
    }
    touchedCells.add(cell);
    return cell;
  }

  /** The half that came first. */
  function forgetSome(): void {
    flushCells();
    let left = mostCells / 2;
    for (const key of cells.keys()) {
      if (left === 0) break;
      cells.delete(key);
      left -= 1;
    }
  }

  function ownerId(name: string): number {
    return findOwner.get(name) ?? Number(insertOwner.run(name).lastInsertRowid);
  }

  function taskTypeId(name: string, owner: number): number | undefined {
    const known = taskTypes.get(name);
    if (known !== undefined) return known;
    const named = taskTypesNamed.get(owner) ?? 0;
    if (named >= maxTaskTypes || taskTypes.size >= idsOfTaskTypes - 1) return undefined;
    const id = Number(insertTaskType.run(name, owner).lastInsertRowid);
    taskTypes.set(name, id);
    taskTypesNamed.set(owner, named + 1);
    return id;
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

  function store(
    decision: NewDecision,
    model: KnownModel,
    taskType: number,
    owner: number,
    atMs: number,
  ): void {
    const { uid, confidence, outcome, source, errorKind, latencyMs, costUsd } = decision;
    const { inputTokens, outputTokens, reasoningTokens, item, cluster, more } = decision;
    if ((errorKind ?? inputTokens ?? outputTokens ?? reasoningTokens ?? item ?? cluster ?? more) === null) {
      insertShort.run(
        change,
        uid,
        model.id,
        taskType,
        model.last,
        owner,
        atMs,
        confidence,
        outcome,
        source,
        latencyMs,
        costUsd,
      );
      return;
    }
    insertDecision.run(
      change,
      uid,
      model.id,
      taskType,
      model.last,
      owner,
      atMs,
      confidence,
      outcome,
      source,
      errorKind,
      latencyMs,
      costUsd,
      inputTokens,
      outputTokens,
      reasoningTokens,
      item,
      cluster,
      more,
    );
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
    store(decision, model, taskType, owner, atMs);
    uids.add(decision.uid, change);
    model.last = change;
    model.decisions += 1;
    touchedModels.add(model);
    const { sums } = cellOf(model.id, dayOf(atMs), taskType);
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

  /** Whether the same decision is there already. @throws Fault when another one has its uid. */
  function isSame(id: number, decision: NewDecision, model: KnownModel): boolean {
    const row = decisionBy.get(id);
    if (!row) return false;
    const original = firstEvent.get(id);
    const outcome = original ? original.outcome_before : row.outcome;
    const source = original ? original.source_before : row.source;
    const errorKind = original ? original.error_kind_before : row.error_kind;
    return (
      row.model === model.id &&
      row.task_type === taskTypes.get(decision.taskType) &&
      (decision.atMs === undefined || decision.atMs === row.at_ms) &&
      row.confidence === decision.confidence &&
      outcome === decision.outcome &&
      source === decision.source &&
      errorKind === decision.errorKind &&
      row.latency_ms === decision.latencyMs &&
      row.cost_usd === decision.costUsd &&
      row.input_tokens === decision.inputTokens &&
      row.output_tokens === decision.outputTokens &&
      row.reasoning_tokens === decision.reasoningTokens &&
      row.item === decision.item &&
      row.cluster === decision.cluster &&
      row.more === decision.more
    );
  }

  /** @returns why it was not taken, or whether it was there. */
  function take(
    decision: NewDecision,
    owner: { id: number; room: Quota },
    nowMs: number,
  ): Omit<Refused, 'index' | 'uid'> | 'accepted' | 'duplicate' {
    const key = models.has(decision.model) ? decision.model : fullKey(decision.model);
    const model = models.get(key);
    if (!model) return { reason: 'unknown_model', message: unknownModel(decision.model, []).message };
    const there = uids.find(decision.uid);
    if (there !== undefined) {
      if (isSame(there, decision, model)) return 'duplicate';
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
    const taskType = taskTypeId(decision.taskType, owner.id);
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
    const held = holding.get(owner) ?? { items: 0, bytes: 0 };
    const from = {
      id: ownerId(owner),
      room: { items: keeping.quota.items - held.items, bytes: keeping.quota.bytes - held.bytes },
    };
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
    const row = id === undefined ? undefined : decisionBy.get(id);
    const model = row && modelsById.get(row.model);
    if (!row || !model) throw noDecision(uid);
    const before =
      lastEventOf.get(row.id, source) ??
      (row.source === source && row.outcome !== null
        ? { outcome: row.outcome, source, error_kind: row.error_kind, evaluator: evaluatorIn(row.more) }
        : undefined);
    if (
      before?.outcome === outcome &&
      before.evaluator === evaluator &&
      (errorKind === null || before.error_kind === errorKind)
    )
      return { change, outcome: row.outcome ?? outcome, source: row.source ?? source, effect: 'unchanged' };
    change += 1;
    const counts = row.source === null || source <= row.source;
    const kind = outcome === 1 ? null : (errorKind ?? row.error_kind);
    insertEvent.run(
      change,
      row.id,
      nowMs,
      ownerId(owner),
      outcome,
      source,
      errorKind,
      evaluator,
      counts ? 1 : 0,
      row.outcome,
      row.source,
      row.error_kind,
    );
    if (!counts)
      return { change, outcome: row.outcome ?? outcome, source: row.source ?? source, effect: 'kept_beside' };
    setOutcome.run(outcome, source, kind, row.id);
    const { sums } = cellOf(row.model, dayOf(row.at_ms), row.task_type);
    const { confidence } = row;
    if (row.outcome !== null && row.source !== null)
      addVerdict(sums, { outcome: row.outcome, source: row.source, confidence }, -1);
    addVerdict(sums, { outcome, source, confidence }, 1);
    if (row.error_kind !== null) addError(sums, row.error_kind, -1);
    if (kind !== null) addError(sums, kind, 1);
    touchedModels.add(model);
    if (row.outcome === null) watchOutcome(model, outcome, confidence, nowMs);
    return { change, outcome, source, effect: row.outcome === null ? 'first' : 'revised' };
  }

  function noDecision(uid: string): ToolError {
    const named = /^\d{1,15}$/.test(uid) ? decisionOfEvent.get(Number(uid)) : undefined;
    if (named !== undefined) {
      return new ToolError('invalid_input', `${uid} is the number of an outcome, and an outcome has none.`, {
        hint: `To revise it, resolve its decision ${JSON.stringify(named)} again.`,
      });
    }
    return new ToolError('not_found', `There is no decision ${JSON.stringify(uid)}.`, {
      hint: 'Give the uid with which it was recorded. Decisions that are older than the operator keeps are gone, with their outcomes as they were.',
    });
  }

  function register({ owner, nowMs, note, ...identity }: Registering): Registered {
    const key = keyOf(identity);
    if (models.has(key)) {
      if (note !== null) setNote.run(note, key);
      return { key, isNew: false };
    }
    if ((modelsOf.get(owner) ?? 0) >= maxModels || models.size >= idsOfModels - 1) {
      throw new ToolError('too_large', `The token "${owner}" has registered ${maxModels} models already.`, {
        hint: 'Register fewer: a version or prompt hash of each call makes a model of each call.',
      });
    }
    const monitors = new Float64Array(metrics.length * monitorLength);
    const { kind, name, version, effort, prompt_hash: prompt } = identity;
    const row = insertModel.run(
      key,
      kind,
      name,
      version ?? null,
      effort ?? null,
      prompt ?? null,
      note,
      owner,
      nowMs,
      bytesOf(monitors),
    );
    know(key, { id: Number(row.lastInsertRowid), decisions: 0, last: 0, monitors });
    return { key, isNew: true };
  }

  /** Lets go the oldest decisions, some at a time; the sums stay. @returns how many. */
  function retain(nowMs: number): number {
    const over = (itemsKept.get() ?? 0) - keeping.decisions;
    const old = nowMs - keeping.days * dayMs;
    const candidates = oldestOf.all(expiredPerCommit);
    // In the order in which they came, up to the first that is to stay.
    const stays = candidates.findIndex(({ at_ms: atMs }, at) => at >= over && atMs >= old);
    const gone = stays < 0 ? candidates : candidates.slice(0, stays);
    const last = gone.at(-1)?.id;
    if (last === undefined) return 0;
    write(() => {
      for (const { owner, items, bytes } of sizesBetween.all(0, last)) hold.run(owner, -items, -bytes);
      dropEvents.run(last);
      dropDecisions.run(last);
      uids.drop(last);
      setCounter.run(last + 1, 'first_kept');
    });
    return gone.length;
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
    register,
    retain,
    probe,
    kept: () => quotas.kept(),
    [Symbol.dispose]: () => database.close(),
  };
}

const floats = (bytes: Buffer) =>
  new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const bytesOf = (numbers: Float64Array) =>
  Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/** One of many lines, read when it is its turn. */
class Line {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  value(): unknown {
    try {
      return JSON.parse(this.#text) as unknown;
    } catch {
      throw new Fault('The line is no JSON.');
    }
  }
}

function* linesOf(text: string): Generator<Line> {
  for (let from = 0; from < text.length;) {
    const newline = text.indexOf('\n', from);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(from, end);
    if (line.trim() !== '') yield new Line(line);
    from = end + 1;
  }
}

function uidIn(given: unknown): string | undefined {
  const uid = typeof given === 'object' && given !== null && 'uid' in given ? given.uid : undefined;
  return typeof uid === 'string' ? uid.slice(0, 200) : undefined;
}

function evaluatorIn(more: string | null): string | null {
  return more === null ? null : ((JSON.parse(more) as { evaluator?: string }).evaluator ?? null);
}
