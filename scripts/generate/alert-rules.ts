/** `config/prometheus/flotilla-rules.yml`: Sloth's names for what health exports, and the same alerts that health raises itself. */
import { lateAfterMs } from '#runtime/data/backup-state.ts';

import {
  burnRules,
  leastBadEvents,
  leastKnown,
  windowsMs,
  type BurnRule,
  type Severity,
} from '../../health/slo/burn.ts';
import { badEventsMetric, infoMetric, knownMetric, slothNames } from '../../health/slo/report.ts';
import { yamlText } from '../../health/slo/yaml-file.ts';

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: Severity };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const known = (window: BurnRule['long'], share: number) =>
  `max without (sloth_window) (${knownMetric}{sloth_window="${window}"}) >= ${Number(share.toPrecision(4))}`;

/** One rule of burn rates, in PromQL: over both windows, with enough events that failed and enough that is known. */
function burning({ factor, long, short }: BurnRule): string {
  const tooFast = (window: string) =>
    `max without (sloth_window) (slo:sli_error:ratio_rate${window}) > ${factor} * slo:error_budget:ratio`;
  return [
    tooFast(long),
    tooFast(short),
    `max without (sloth_window) (${badEventsMetric(short)}) >= ${leastBadEvents}`,
    known(long, (leastKnown * windowsMs[short]) / windowsMs[long]),
    known(short, leastKnown),
  ].join('\nand ');
}

const anyOf = (rules: readonly BurnRule[]) =>
  rules.map((rule) => `(\n${indented(burning(rule))}\n)`).join('\nor ');
const indented = (text: string) => text.replaceAll(/^/gm, '  ');
const only = (severity: Severity) => `and on (sloth_id) ${infoMetric}{most_severe="${severity}"}`;

const ofSeverity = (severity: Severity) => burnRules.filter((rule) => rule.severity === severity);

const burnWords = {
  summary: '{{ $labels.sloth_id }}: the error budget burns too fast',
  description: 'flotilla slo shows how much is left; flotilla alerts shows why.',
};

const alerts: readonly Alert[] = [
  {
    alert: 'FlotillaBudgetBurnsFast',
    expr: `(\n${indented(anyOf(ofSeverity('page')))}\n) ${only('page')}`,
    labels: { severity: 'page' },
    annotations: burnWords,
  },
  {
    alert: 'FlotillaBudgetBurns',
    expr: `(\n${indented(anyOf(ofSeverity('ticket')))}\n) or (\n${indented(`(\n${indented(anyOf(ofSeverity('page')))}\n) ${only('ticket')}`)}\n)`,
    labels: { severity: 'ticket' },
    annotations: burnWords,
  },
  {
    alert: 'FlotillaProcessDown',
    expr: 'flotilla_process_up == 0 unless on (name) flotilla_maintenance == 1',
    for: '1m',
    labels: { severity: 'page' },
    annotations: {
      summary: '{{ $labels.name }} does not do its job',
      description: 'See: flotilla alerts, and flotilla logs {{ $labels.name }} --level warn',
    },
  },
  {
    alert: 'FlotillaHealthSilent',
    expr: 'absent(slo_objective_ratio)',
    for: '2m',
    labels: { severity: 'page' },
    annotations: {
      summary: 'Health says nothing',
      description: 'Nobody watches the fleet: it does not run, or is not scraped.',
    },
  },
  {
    alert: 'FlotillaBackupTroubles',
    expr: 'flotilla_backup_troubles > 0',
    for: '10m',
    labels: { severity: 'ticket' },
    annotations: { summary: 'The backups need a look', description: 'flotilla backups says why.' },
  },
  {
    alert: 'FlotillaBackupLate',
    expr: `time() - flotilla_backup_last_verified_timestamp_seconds > ${lateAfterMs / 1_000}`,
    labels: { severity: 'ticket' },
    annotations: {
      summary: 'No backup is proven for more than a day',
      description: 'flotilla backups says why.',
    },
  },
  {
    alert: 'FlotillaAlertsNotDelivered',
    expr: 'flotilla_alert_messages_waiting > 0',
    for: '30m',
    labels: { severity: 'ticket' },
    annotations: {
      summary: 'Alerts do not reach the webhook {{ $labels.webhook }}',
      description: 'flotilla alerts test says how it answers.',
    },
  },
];

export function prometheusRules(): string {
  const text = yamlText({
    groups: [
      {
        name: 'flotilla-slo',
        rules: slothNames.map(({ exported, recorded }) => ({ record: recorded, expr: exported })),
      },
      { name: 'flotilla-alerts', rules: alerts },
    ],
  });
  return `# Generated from config/slo and health/slo by "npm run generate". Scrape /metrics of health and of the dashboard.\n${text}`;
}

/** For the page that tells of them. */
export const ruleNames: readonly {
  readonly alert: string;
  readonly severity: Severity;
  readonly summary: string;
}[] = alerts.map(({ alert, labels, annotations }) => ({
  alert,
  severity: labels.severity,
  summary: annotations.summary.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, '`$1`'),
}));
