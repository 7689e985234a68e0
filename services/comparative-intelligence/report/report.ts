/** One account of all that is known of several models: who leads, how sure that is, and what it rests on. */
import { ToolError } from '#runtime/errors.ts';
import { adjusted } from '#statistics/multiplicity.ts';
import { finite } from '#statistics/figure.ts';

import { agreement, type Agreement } from '../analysis/agreement.ts';
import { compare, type Comparison } from '../analysis/compare.ts';
import { rank, type Ranking } from '../analysis/rank.ts';
import { strengths, type Strengths } from '../analysis/strengths.ts';
import { snapshotId } from '../figure.ts';
import type { Reading } from '../store/reading.ts';
import { shortKey, type Kind } from '../subject.ts';
import type { Verdict } from '../vocabulary.ts';
import { reportMarkdown } from './markdown.ts';
import { reportPage } from './page.ts';

export const reportFormats = ['json', 'markdown', 'html'] as const;
export type ReportFormat = (typeof reportFormats)[number];

export interface ReportRequest {
  readonly format: ReportFormat;
  readonly title: string;
  readonly kind: Kind;
  readonly models: readonly string[] | undefined;
  readonly taskType: string | undefined;
  readonly from: 'battles' | 'decisions' | undefined;
  readonly sources: readonly number[] | undefined;
  readonly margin: number | undefined;
  readonly seed: number;
  readonly nowMs: number;
}

export interface PairRow extends Omit<Comparison, 'keys'> {
  readonly one: string;
  readonly other: string;
  readonly p_adjusted: number;
}

export interface ReportData {
  readonly schema: 'flotilla.comparison/1';
  readonly title: string;
  readonly kind: Kind;
  readonly task_type: string | null;
  readonly as_of: string;
  readonly snapshot_id: string;
  readonly seed: number;
  readonly summary: string[];
  readonly ranking: Ranking | null;
  readonly pairs: PairRow[];
  readonly strengths: Strengths[];
  readonly agreement: Agreement | null;
  readonly warnings: string[];
}

export interface WrittenReport {
  readonly body: string;
  readonly summary: string[];
  readonly as_of: string;
  readonly snapshot_id: string;
}

/** Each two of so many are compared, and so many are looked at one by one. */
const mostCompared = 6;
const mostProfiled = 10;

export async function reportOf(reading: Reading, request: ReportRequest): Promise<WrittenReport> {
  const data = reportData(reading, request);
  const { summary, as_of, snapshot_id } = data;
  return { body: await writers[request.format](data), summary, as_of, snapshot_id };
}

const writers: Readonly<Record<ReportFormat, (data: ReportData) => string | Promise<string>>> = {
  json: (data) => `${JSON.stringify(data, undefined, 2)}\n`,
  markdown: reportMarkdown,
  html: reportPage,
};

function reportData(reading: Reading, request: ReportRequest): ReportData {
  const { title, kind, taskType, seed, nowMs } = request;
  const snapshot = reading.snapshot(nowMs);
  const missing: string[] = [];
  /** What the data do not allow is told, and the rest is reported. */
  const tried = <Value>(what: string, work: () => Value): Value | undefined => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ToolError) || error.code === 'invalid_input') throw error;
      missing.push(`${what}: ${error.message}`);
      return undefined;
    }
  };
  const ranking = tried('No ranking', () => rankingOf(reading, request)) ?? null;
  const keys =
    request.models?.map((name) => reading.subject(name).key) ??
    ranking?.rows.map(({ model }) => model) ??
    reading.subjects(kind).map(({ key }) => key);
  const pairs = pairsOf(reading, request, keys.slice(0, mostCompared));
  const profiles = keys.slice(0, mostProfiled).flatMap(
    (model) =>
      tried(`Nothing of ${shortKey(model)} by kind of task`, () =>
        strengths(reading, {
          model,
          from: request.from,
          sources: request.sources,
          alpha: 0.05,
          margin: request.margin,
          nowMs,
        }),
      ) ?? [],
  );
  if (!ranking && pairs.length === 0 && profiles.length === 0) {
    throw new ToolError('not_found', `There is nothing to report: ${missing.join(' ')}`, {
      hint: 'Record battles here, or decisions with outcomes in model-profile.',
    });
  }
  const judges = tried('No agreement of judges', () =>
    agreement(reading, { kind, taskType, judges: undefined, labels: undefined, seed, resamples: 500, nowMs }),
  );
  return {
    schema: 'flotilla.comparison/1',
    title,
    kind,
    task_type: taskType ?? null,
    as_of: new Date(nowMs).toISOString(),
    snapshot_id: snapshotId(snapshot),
    seed,
    summary: summaryOf(ranking, pairs, profiles),
    ranking,
    pairs,
    strengths: profiles,
    agreement: judges ?? null,
    warnings: missing,
  };
}

function rankingOf(reading: Reading, request: ReportRequest): Ranking {
  const { kind, models, taskType, sources, seed, nowMs } = request;
  const from =
    request.from ??
    (reading.battleMix({ kind, taskType: reading.taskType(taskType) }).some(({ battles }) => battles > 0)
      ? 'battles'
      : 'decisions');
  return rank(reading, {
    from,
    kind,
    models,
    taskType,
    sources,
    ties: 'half',
    covariates: [],
    ci: 'sandwich',
    resamples: 0,
    seed,
    upTo: undefined,
    nowMs,
  });
}

/** Of each two, where the data allow; what is significant is so after Benjamini and Hochberg. */
function pairsOf(reading: Reading, request: ReportRequest, keys: readonly string[]): PairRow[] {
  const { from, margin, taskType, sources, seed, nowMs } = request;
  const found: Comparison[] = [];
  for (const [index, a] of keys.entries()) {
    for (const b of keys.slice(index + 1)) {
      try {
        found.push(
          compare(reading, {
            a,
            b,
            from,
            metric: 'success',
            paired: 'auto',
            margin,
            taskType,
            sources,
            seed,
            nowMs,
          }),
        );
      } catch (error) {
        if (!(error instanceof ToolError) || error.code === 'invalid_input') throw error;
      }
    }
  }
  const pValues = adjusted(
    found.map(({ p_value: p }) => p ?? 1),
    'benjamini-hochberg',
  );
  return found.map(({ keys: [one, other], ...comparison }, index) => {
    const p = pValues[index] ?? 1;
    const { verdict = 'inconclusive' } = comparison;
    const told: Verdict = verdict === 'equivalent' || p <= 0.05 ? verdict : 'inconclusive';
    return { ...comparison, one, other, verdict: told, p_adjusted: finite(p) ?? 1 };
  });
}

function summaryOf(
  ranking: Ranking | null,
  pairs: readonly PairRow[],
  profiles: readonly Strengths[],
): string[] {
  const lines: string[] = [];
  if (ranking) {
    const leaders = ranking.rows.filter(({ rank: place }) => place === 1);
    const [first] = ranking.rows;
    const names = leaders.map(({ model }) => shortKey(model));
    if (first && leaders.length === 1) {
      lines.push(
        `${shortKey(first.model)} leads: rating ${first.rating} (${first.ci95.join(' to ')}), from ${ranking.n} games.`,
      );
    } else {
      lines.push(
        `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''} share the first rank: ${ranking.n} games do not tell them apart.`,
      );
    }
  }
  const decided = pairs.filter(({ verdict }) => verdict === 'better' || verdict === 'worse').length;
  if (pairs.length > 0) lines.push(`Of ${pairs.length} comparisons of two, ${decided} show a difference.`);
  for (const { key, confidence_gap: gap } of profiles) {
    const [lower = 0, upper = 0] = gap?.ci95 ?? [];
    if (lower > 0)
      lines.push(
        `${shortKey(key)} is over-confident: it states ${((gap?.value ?? 0) * 100).toFixed(1)} points more than it reaches.`,
      );
    if (upper < 0)
      lines.push(
        `${shortKey(key)} is under-confident: it states ${(-(gap?.value ?? 0) * 100).toFixed(1)} points less than it reaches.`,
      );
  }
  return lines;
}
