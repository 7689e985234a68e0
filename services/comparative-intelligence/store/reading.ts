/** What is read, for one figure at a time: by the threads that compute, each with a connection of its own. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import type { BattleRow } from '../exchange/csv.ts';
import type { Snapshot } from '../figure.ts';
import { maxRowsRead } from '../limits.ts';
import { fullKey, kindOf, kinds, type Kind } from '../subject.ts';
import { sources } from '../vocabulary.ts';
import { clustersIn } from './clusters.ts';
import type { Mark } from './copied.ts';
import { hasType, isOfKind, isSeen, ofKind, ofSources, parametersOf, type Which } from './which.ts';

export interface Subject {
  readonly id: number;
  readonly key: string;
  readonly kind: Kind;
}

/** Sums of a pair, of one source; a < b by number. */
export interface PairRow {
  readonly a: number;
  readonly b: number;
  readonly wa: number;
  readonly wb: number;
  readonly t: number;
  readonly bb: number;
}

export interface BattleRead {
  readonly item: string | null;
  readonly a: number;
  readonly b: number;
  readonly outcome: number;
  readonly both_bad: number;
  readonly judge: number;
  readonly swapped: number | null;
  readonly len_a: number | null;
  readonly len_b: number | null;
  readonly task_type: number;
}

export interface SummedBattles {
  readonly a: number;
  readonly b: number;
  readonly swapped: number | null;
  readonly aWins: number;
  readonly bWins: number;
  readonly ties: number;
}

export interface DecisionRead {
  readonly subject: number;
  readonly task_type: number;
  readonly item: string | null;
  readonly cluster: string | null;
  readonly outcome: number | null;
  readonly source: number | null;
  readonly confidence: number | null;
  readonly cost_usd: number | null;
  readonly latency_ms: number | null;
  readonly propensity: number | null;
}

export interface Report {
  readonly format: string;
  readonly body: string;
}

export interface ExportedBattle extends Omit<BattleRow, 'winner' | 'source' | 'swapped' | 'time'> {
  readonly id: number;
  readonly outcome: number;
  readonly both_bad: number;
  readonly source: number;
  readonly swapped: number | null;
  readonly at_ms: number;
}

export interface OutcomeSum {
  readonly subject: number;
  readonly task_type: number;
  readonly source: number;
  readonly successes: number;
  readonly n: number;
}

export type Reading = ReturnType<typeof readingFrom>;

/** @throws ToolError when there are more than may be read. */
function bounded<Row>(rows: Row[], what: string): Row[] {
  if (rows.length <= maxRowsRead) return rows;
  throw new ToolError(
    'too_large',
    `There are more than ${maxRowsRead} ${what}, each of which would be read.`,
    {
      hint: 'Ask for one task_type.',
    },
  );
}

export function readingFrom(database: Database) {
  const sync = database.prepare<[string], number>('SELECT value FROM sync WHERE name = ?').pluck();
  const syncedOf = (name: string, kind: Kind) => sync.get(`${name}:${kind}`) ?? 0;
  const lastBattle = database.prepare<[], number>('SELECT coalesce(max(through), 0) FROM batch').pluck();
  const lastId = database.prepare<[], number>('SELECT coalesce(max(id), 0) FROM battle').pluck();
  const subjectBy = database.prepare<[string], Subject>('SELECT * FROM subject WHERE key = ?');
  const subjectsAll = database.prepare<[string], Subject>(
    'SELECT * FROM subject WHERE kind = ? ORDER BY key',
  );
  const alike = database
    .prepare<[string, string], string>(
      'SELECT key FROM subject WHERE key >= ? AND key < ? ORDER BY key LIMIT 5',
    )
    .pluck();
  const taskTypeBy = database.prepare<[string], number>('SELECT id FROM task_type WHERE name = ?').pluck();
  const taskTypesAll = database.prepare<[], { id: number; name: string }>('SELECT id, name FROM task_type');
  const judgesAll = database.prepare<[], { id: number; name: string; source: number }>('SELECT * FROM judge');
  const pairs = database.prepare<[object], PairRow>(
    `SELECT a, b, sum(wa) AS wa, sum(wb) AS wb, sum(t) AS t, sum(bb) AS bb FROM pair_sum WHERE ${ofSources} AND ${hasType} AND ${ofKind} GROUP BY a, b ORDER BY a, b`,
  );
  const pairsByType = database.prepare<
    [object],
    PairRow & { readonly task_type: number; readonly source: number }
  >(
    `SELECT a, b, task_type, source, sum(wa) AS wa, sum(wb) AS wb, sum(t) AS t, sum(bb) AS bb FROM pair_sum JOIN judge ON judge.id = judge WHERE (a = @subject OR b = @subject) AND ${hasType} GROUP BY a, b, task_type, source`,
  );
  const mix = database.prepare<[object], { source: number; battles: number }>(
    `SELECT source, sum(wa + wb + t + bb) AS battles FROM pair_sum JOIN judge ON judge.id = judge WHERE ${hasType} AND ${ofKind} AND (@one IS NULL OR (a = @one AND b = @other)) GROUP BY source`,
  );
  const battleColumns = 'item, a, b, outcome, both_bad, judge, swapped, len_a, len_b, task_type';
  const battles = database.prepare<[object], BattleRead>(
    `SELECT ${battleColumns} FROM battle WHERE ${isSeen} AND ${ofSources} AND ${hasType} AND ${ofKind} ORDER BY id LIMIT @limit`,
  );
  const summed = database.prepare<[object], SummedBattles>(
    `SELECT a, b, CASE WHEN @byPosition THEN swapped END AS swapped, sum(outcome = 1) AS aWins, sum(outcome = 0) AS bWins, sum(outcome = 0.5) AS ties FROM battle WHERE ${isSeen} AND ${ofSources} AND ${hasType} AND ${ofKind} GROUP BY 1, 2, 3`,
  );
  const battlesOfPair = database.prepare<[object], BattleRead>(
    `SELECT ${battleColumns} FROM battle WHERE a = @a AND b = @b AND ${isSeen} AND ${ofSources} AND ${hasType} ORDER BY id LIMIT @limit`,
  );
  const anyItem = database
    .prepare<[], number>(
      'SELECT 1 FROM battle INDEXED BY battle_item WHERE item IS NOT NULL AND batch NOT IN (SELECT batch FROM unfinished) LIMIT 1',
    )
    .pluck();
  const judged = database.prepare<[object], BattleRead>(
    `SELECT ${battleColumns} FROM battle INDEXED BY battle_item WHERE item IS NOT NULL AND ${isSeen} AND ${hasType} AND ${ofKind} ORDER BY item, id LIMIT @limit`,
  );
  const outcomesOfKind = `outcome IS NOT NULL AND ${isOfKind} AND ${hasType}`;
  const decisionColumns =
    'subject, task_type, item, cluster, outcome, source, confidence, cost_usd, latency_ms, propensity';
  const decisions = database.prepare<[object], DecisionRead>(
    `SELECT ${decisionColumns} FROM decision WHERE subject = @subject AND ${hasType} ORDER BY id LIMIT @limit`,
  );
  const onItems = database.prepare<[object], DecisionRead>(
    `SELECT ${decisionColumns} FROM decision WHERE item IS NOT NULL AND ${outcomesOfKind} ORDER BY id LIMIT @limit`,
  );
  const logged = database.prepare<[object], DecisionRead>(
    `SELECT ${decisionColumns} FROM decision WHERE propensity > 0 AND ${outcomesOfKind} ORDER BY id LIMIT @limit`,
  );
  const outcomes = database.prepare<[object], OutcomeSum>(
    `SELECT subject, task_type, source, sum(outcome) AS successes, count(*) AS n FROM decision WHERE ${outcomesOfKind} GROUP BY 1, 2, 3`,
  );
  const decided = database
    .prepare<[number], number>('SELECT 1 FROM decision WHERE subject = ? LIMIT 1')
    .pluck();
  const reportBy = database.prepare<[string], Report>('SELECT format, body FROM report WHERE uid = ?');
  const exported = database.prepare<[object], ExportedBattle>(
    `SELECT battle.id, s.key AS model_a, o.key AS model_b, outcome, both_bad, item AS item_id, task_type.name AS task_type, judge.name AS judge, judge.source AS source, swapped, len_a, len_b, at_ms FROM battle JOIN subject s ON s.id = a JOIN subject o ON o.id = b JOIN task_type ON task_type.id = task_type JOIN judge ON judge.id = judge WHERE battle.id > @after AND battle.id <= @through AND ${isSeen} AND s.kind = @kind AND (@taskType IS NULL OR task_type = @taskType) ORDER BY battle.id`,
  );
  const begin = database.prepare('BEGIN');
  const commit = database.prepare('COMMIT');

  return {
    /** Reads that see one state. */
    atOnce<Value>(work: () => Value): Value {
      begin.run();
      try {
        return work();
      } finally {
        commit.run();
      }
    },

    snapshot: (nowMs: number): Snapshot => ({
      battles: lastBattle.get() ?? 0,
      change: Math.max(...kinds.map((kind) => syncedOf('change', kind))),
      atMs: nowMs,
    }),
    /** How far the copy of decisions of a kind has come, and when it was last in step. */
    changeOf: (kind: Kind) => syncedOf('change', kind),
    /** The newest change that was copied; absent where none was. */
    mark(): Mark | undefined {
      const change = sync.get('mark:change');
      const identity = sync.get('mark:identity');
      return change === undefined || identity === undefined ? undefined : { change, identity };
    },
    inStepMs: (kind: Kind) => syncedOf('in_step_ms', kind),

    /** @throws ToolError not_found. */
    subject(given: string): Subject {
      const key = fullKey(given);
      const row = subjectBy.get(key);
      if (row) return row;
      const stem = key.split(/[@+#]/, 1)[0] ?? key;
      const near = alike.all(stem, `${stem}\u{10FFFF}`);
      throw new ToolError('not_found', `Nothing is known of ${JSON.stringify(key.slice(0, 200))}.`, {
        hint:
          near.length > 0
            ? `Known are: ${near.join(', ')}. Version, effort and prompt hash are part of what a model is.`
            : 'record_battles makes models known here; decisions come from model-profile.',
      });
    },
    subjects: (kind: Kind) => subjectsAll.all(kind),

    /** @throws ToolError not_found. */
    taskType(name: string | undefined): number | undefined {
      if (name === undefined) return undefined;
      const id = taskTypeBy.get(name.normalize('NFC'));
      if (id !== undefined) return id;
      throw new ToolError('not_found', `There is no task type ${JSON.stringify(name.slice(0, 200))}.`, {
        hint: 'identify_strengths names those of a model.',
      });
    },
    taskTypes: (): ReadonlyMap<number, string> =>
      new Map(taskTypesAll.all().map(({ id, name }) => [id, name])),
    judges: (): ReadonlyMap<number, { readonly name: string; readonly source: number }> =>
      new Map(judgesAll.all().map(({ id, name, source }) => [id, { name, source }])),

    hasDecisions: (subject: Subject) => decided.get(subject.id) !== undefined,
    report: (uid: string) => reportBy.get(uid),
    /** As of a state, those with ids in a range. */
    exported: (
      { kind, taskType, upTo }: Which,
      { after, through }: { readonly after: number; readonly through: number },
    ) => exported.all({ ...parametersOf({ kind, taskType, upTo }), after, through }),
    /** Battles of a batch that is not whole yet may have lower ids. */
    lastId: () => lastId.get() ?? 0,

    pairs: (which: Which) => pairs.all(parametersOf(which)),
    pairsOf: (subject: Subject, taskType?: number) =>
      pairsByType.all({ subject: subject.id, taskType: taskType ?? null }),
    /** Battles by source: of all pairs, or of one. */
    battleMix: (which: Which, one?: Subject, other?: Subject) => {
      const [low, high] = one && other && one.id > other.id ? [other, one] : [one, other];
      return mix.all({ ...parametersOf(which), one: low?.id ?? null, other: high?.id ?? null });
    },
    /** Battles by pair as they were named, and by position where that is asked for, as of any battle. */
    summedBattles: (which: Which, byPosition: boolean) =>
      summed.all({ ...parametersOf(which), byPosition: Number(byPosition) }),
    battles: (which: Which) => bounded(battles.all(parametersOf(which)), 'battles'),
    battlesBetween: (one: Subject, other: Subject, which: Which) =>
      bounded(
        [
          ...battlesOfPair.all({ ...parametersOf(which), a: one.id, b: other.id }),
          ...battlesOfPair.all({ ...parametersOf(which), a: other.id, b: one.id }),
        ],
        'battles',
      ),
    hasItems: () => anyItem.get() !== undefined,
    judgedBattles: (which: Which) => bounded(judged.all(parametersOf(which)), 'battles'),
    decisions: (subject: Subject, which: Which) =>
      bounded(decisions.all({ ...parametersOf(which), subject: subject.id }), 'decisions'),
    decisionsOnItems: (which: Which) => bounded(onItems.all(parametersOf(which)), 'decisions'),
    loggedDecisions: (which: Which) => bounded(logged.all(parametersOf(which)), 'decisions'),
    /** Successes by subject, kind of task and source. */
    outcomes: (which: Which) => outcomes.all(parametersOf(which)),
    /** Sums over what is independent. */
    clusters: clustersIn(database),
  };
}

/** Which sources count: those that were asked for, or the strongest that there is. */
export function chosenSources(
  counts: readonly { readonly source: number; readonly n: number }[],
  asked: readonly number[] | undefined,
): { readonly places: readonly number[]; readonly mix: Record<string, number>; readonly warnings: string[] } {
  const totals = new Map<number, number>();
  for (const { source, n } of counts) totals.set(source, (totals.get(source) ?? 0) + n);
  const present = [...totals]
    .map(([source, n]) => ({ source, n }))
    .filter(({ n }) => n > 0)
    .toSorted((one, other) => one.source - other.source);
  const places = asked ?? present.slice(0, 1).map(({ source }) => source);
  const used = present.filter(({ source }) => places.includes(source));
  const left = present.filter(({ source }) => !places.includes(source));
  const said = (rows: typeof present) => rows.map(({ source, n }) => `${n} of ${sources[source]}`).join(', ');
  return {
    places,
    mix: Object.fromEntries(used.map(({ source, n }) => [sources[source] ?? '', n])),
    warnings: [
      ...(used.length > 1 ? ['Sources are pooled: a judge and a check do not measure the same.'] : []),
      ...(left.length > 0 && asked === undefined
        ? [`Other sources are left out (${said(left)}): name them in judged_by to use them.`]
        : []),
    ],
  };
}

/** @throws ToolError invalid_input for a model against a client. */
export function requireOneKind(keys: readonly string[]): Kind {
  const [first = '', ...rest] = keys;
  const kind = kindOf(fullKey(first));
  if (rest.some((key) => kindOf(fullKey(key)) !== kind)) {
    throw new ToolError(
      'invalid_input',
      'A model and a client are never compared: name subjects of one kind.',
    );
  }
  return kind;
}
