/** What is said of objectives: as a document, and to Prometheus. Pure. */
import { exposed } from '#runtime/account/metrics.ts';

import { budgetOf, type Budget } from './budget.ts';
import {
  badOf,
  burnRate,
  burnRules,
  errorRatio,
  judge,
  period,
  windowNames,
  windowsMs,
  type BurnRule,
  type Judgement,
  type WindowName,
  type Windows,
} from './burn.ts';
import { measureInWords, type Objective } from './objectives.ts';

export interface ObjectiveReport extends Pick<
  Objective,
  'id' | 'slo' | 'title' | 'process' | 'processes' | 'target' | 'mostSevere'
> {
  readonly events: string;
  /** `unknown` where too little was counted yet; `spent` when no budget is left; `burning` while a rule alerts. */
  readonly state: 'ok' | 'burning' | 'spent' | 'unknown';
  readonly budget: Budget;
  readonly windows: Readonly<
    Record<
      WindowName,
      {
        readonly good: number;
        readonly total: number;
        /** Share of events that failed; `null` where there were none. */
        readonly errorRatio: number | null;
        readonly burnRate: number | null;
        /** How much of the window is known, from 0 to 1. */
        readonly known: number;
      }
    >
  >;
  readonly rules: readonly (BurnRule & { readonly is: Judgement })[];
}

export function reportOf(objective: Objective, windows: Windows): ObjectiveReport {
  const { id, slo, title, process, processes, target, measure, mostSevere } = objective;
  const budget = budgetOf(windows[period], target);
  const rules = burnRules.map((rule) => ({ ...rule, is: judge(rule, windows, target) }));
  return {
    id,
    slo,
    title,
    process,
    processes,
    target,
    mostSevere,
    events: measureInWords(measure),
    state: rules.some(({ is }) => is === 'alerts')
      ? 'burning'
      : budget.remaining === null
        ? 'unknown'
        : budget.remaining < 0
          ? 'spent'
          : 'ok',
    budget,
    windows: Object.fromEntries(
      windowNames.map((name) => {
        const { good, total, knownMs } = windows[name];
        return [
          name,
          {
            good: round(good),
            total: round(total),
            errorRatio: errorRatio(windows[name]),
            burnRate: burnRate(windows[name], target),
            known: round(Math.min(1, knownMs / windowsMs[name])),
          },
        ];
      }),
    ) as ObjectiveReport['windows'],
    rules,
  };
}

const round = (value: number) => Math.round(value * 1_000) / 1_000;

/**
 * Names of the metrics, and the recording rules of Sloth that they are: colons are for recording rules alone, so that
 * `config/prometheus/flotilla-rules.yml` makes those names of these, and Sloth's boards fit.
 */
export const slothNames: readonly {
  readonly exported: string;
  readonly recorded: string;
  readonly help: string;
}[] = [
  ...windowNames.map((name) => ({
    exported: `slo_sli_error_ratio_rate${name}`,
    recorded: `slo:sli_error:ratio_rate${name}`,
    help: `Share of the events of the last ${name} that failed.`,
  })),
  {
    exported: 'slo_objective_ratio',
    recorded: 'slo:objective:ratio',
    help: 'Share of events that must go well.',
  },
  {
    exported: 'slo_error_budget_ratio',
    recorded: 'slo:error_budget:ratio',
    help: 'Share of events that may fail.',
  },
  { exported: 'slo_time_period_days', recorded: 'slo:time_period:days', help: 'Days of the rolling period.' },
  {
    exported: 'slo_current_burn_rate_ratio',
    recorded: 'slo:current_burn_rate:ratio',
    help: 'How many times too fast the budget burns, over the last 5m.',
  },
  {
    exported: 'slo_period_burn_rate_ratio',
    recorded: 'slo:period_burn_rate:ratio',
    help: 'The same over the whole period.',
  },
  {
    exported: 'slo_period_error_budget_remaining_ratio',
    recorded: 'slo:period_error_budget_remaining:ratio',
    help: 'Share of the budget that is left; below 0 when more is spent.',
  },
];

/** Those that alerts look at to see whether it is so still. */
export const shortWindows: readonly WindowName[] = [...new Set(burnRules.map(({ short }) => short))];

/** Metrics that Sloth has no name for. */
export const badEventsMetric = (window: WindowName) => `slo_bad_events_${window}`;
export const knownMetric = 'slo_window_known_ratio';
export const infoMetric = 'slo_info';

/** Labels as Sloth has them: one objective is one `sloth_id`. */
function labelsOf({ id, slo, process }: ObjectiveReport, window?: WindowName): string {
  const values = {
    sloth_id: id,
    sloth_service: process ?? 'flotilla',
    sloth_slo: slo,
    ...(window !== undefined && { sloth_window: window }),
  };
  return `{${Object.entries(values)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',')}}`;
}

/** What is not known is not said: a missing series is honest where 0 is not. */
export function sloMetrics(reports: readonly ObjectiveReport[]): string {
  const each = (value: (report: ObjectiveReport) => number | null, window?: WindowName) =>
    reports.flatMap((report) => {
      const number = value(report);
      return number === null ? [] : [`${labelsOf(report, window)} ${number}`];
    });
  const values: Readonly<Record<string, (report: ObjectiveReport) => number | null>> = {
    slo_objective_ratio: ({ target }) => target,
    slo_error_budget_ratio: ({ budget }) => budget.ratio,
    slo_time_period_days: () => windowsMs[period] / windowsMs['1d'],
    slo_current_burn_rate_ratio: ({ windows }) => windows['5m'].burnRate,
    slo_period_burn_rate_ratio: ({ windows }) => windows[period].burnRate,
    slo_period_error_budget_remaining_ratio: ({ budget }) => budget.remaining,
  };
  return [
    ...slothNames.map(({ exported, help }) => {
      const window = windowNames.find((name) => exported === `slo_sli_error_ratio_rate${name}`);
      const samples =
        window === undefined
          ? each(values[exported] ?? (() => null))
          : each(({ windows }) => windows[window].errorRatio, window);
      return exposed('gauge', exported, help, samples);
    }),
    ...shortWindows.map((window) =>
      exposed(
        'gauge',
        badEventsMetric(window),
        `Events of the last ${window} that failed: alerts want at least a few.`,
        each(({ windows }) => round(badOf(windows[window])), window),
      ),
    ),
    exposed(
      'gauge',
      knownMetric,
      'How much of a window is known: its figures are of this part.',
      windowNames.flatMap((window) => each(({ windows }) => windows[window].known, window)),
    ),
    exposed(
      'gauge',
      infoMetric,
      'Always 1; the labels say how severe an alert of the objective may be.',
      reports.map((report) => `${labelsOf(report).slice(0, -1)},most_severe="${report.mostSevere}"} 1`),
    ),
  ].join('');
}
