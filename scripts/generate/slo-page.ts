/** `docs/slo.md`: the objectives, their budgets, and when somebody is told. */
import type { CatalogueEntry } from '#config/catalogue.ts';

import {
  budgetShareOf,
  burnRules,
  leastBadEvents,
  outageUntilAlertMs,
  thresholdOf,
  windowsMs,
  period,
} from '../../health/slo/burn.ts';
import { allowedMs } from '../../health/slo/budget.ts';
import { measureInWords, type Objective } from '../../health/slo/objectives.ts';
import {
  badEventsMetric,
  infoMetric,
  knownMetric,
  shortWindows,
  slothNames,
} from '../../health/slo/report.ts';
import { ruleNames } from './alert-rules.ts';

/** Between two polls of a process. */
const pollMs = 1_000;

export function sloPage(objectives: readonly Objective[], entries: readonly CatalogueEntry[]): string {
  // Those for all processes of an SLO stand for those of each.
  const slos = objectives.filter(({ id, slo }) => id === slo);
  return `# Service level objectives

Generated from \`config/slo\` and \`health/slo\` by "npm run generate": change those, not this page. Health counts the events, keeps the
budgets and raises the alerts ([health/README.md](../health/README.md)); \`flotilla slo\` shows how they stand.

## Objectives

The period is 30 days, rolling. An event is one poll of a process, once a second, or one call of a tool. Under "each" there is an objective
for every process named, and one for all of them together.

| objective | of | target | events that count as good | each | at most |
|---|---|---|---|---|---|
${slos.map((slo) => objectiveRow(slo, objectives, entries)).join('\n')}

## Budgets

What is left of 100 % is the error budget: it may be spent, on failures as on restarts that clients notice. Under systemd a restart refuses
nobody, as the sockets stay open; a poll that comes meanwhile waits, and counts as lost only after its 800 ms.

| target | budget in 30 days | ${burnRules.map(({ severity, factor, long, short }) => `${severity}: ${factor}x over ${long} and ${short}`).join(' | ')} | full outage until the first page |
|---|---|${burnRules.map(() => '---|').join('')}---|
${[...new Set(slos.map(({ target }) => target))]
  .toSorted((one, other) => other - one)
  .map(budgetRow)
  .join('\n')}

The columns of alerts show the share of events that must fail, in the long window and still in the short one. A rule comes true when
${burnRules.map((rule) => `${percent(budgetShareOf(rule))} (${rule.factor}x)`).join(', ')} of the budget of the period are spent.

- At least ${leastBadEvents} events must have failed in the short window: one among few is no trend.
- Both windows must be known for nine tenths of the short one's time. Time in which nobody looked counts neither as good nor as bad; \`known\` says
  how much of a window is known. Of health itself, it counts as bad. What is left of a budget is of what is known, and is not told of less than an hour.
- In a maintenance window no budget is spent: events of the minutes in which one was open do not count.
- Sources: The Site Reliability Workbook, chapter 5; the rule of 3x over a day is Sloth's.

## Objectives of your own

Files \`*.yaml\` in the folder \`slo\` of the data folder, in the form of those in \`config/slo\` (OpenSLO v1): an SLO of the same
\`metadata.name\` takes the place of ours, another name adds one, and the annotation \`dev.flotilla/off: "true"\` takes one away.
They are read again when they change. What cannot be used is told with its file, line and field, by an alert, and changes nothing.

| in \`metricSource.spec\` | means |
|---|---|
| \`count: polls\`, \`result: up\` | polls, of which those are good that found it up |
| \`count: calls\`, \`withinSeconds: 0.5\` | calls of tools, of which those are good that ended within a bound of the buckets |
| \`of\` | processes, by what the catalogue says of them: a list of \`tier\`, \`network\`, \`trait\` and \`without\`; one that fits any line of it is among them |
| \`each: true\` | an objective for each of them too |

The annotation \`dev.flotilla/most-severe: ticket\` keeps its alerts from being pages.

## For Prometheus

Health exports Sloth's metrics with underscores, for colons are for recording rules; \`config/prometheus/flotilla-rules.yml\` makes those of
them, with Sloth's labels (\`sloth_id\`, \`sloth_service\`, \`sloth_slo\`, \`sloth_window\`), so that Sloth's boards fit. The board
\`config/grafana/flotilla.json\` is our own.

| exported | recorded as | |
|---|---|---|
${slothNames.map(({ exported, recorded, help }) => `| \`${exported}\` | \`${recorded}\` | ${help} |`).join('\n')}
| ${shortWindows.map((window) => `\`${badEventsMetric(window)}\``).join(', ')} | | Events of the window that failed. |
| \`${knownMetric}\` | | How much of each window is known. |
| \`${infoMetric}\` | | \`most_severe\`: page or ticket. |

| alert of the rules | severity | when |
|---|---|---|
${ruleNames.map(({ alert, severity, summary }) => `| ${alert} | ${severity} | ${summary} |`).join('\n')}
`;
}

function objectiveRow(
  { id, slo, title, target, measure, mostSevere, processes }: Objective,
  objectives: readonly Objective[],
  entries: readonly CatalogueEntry[],
): string {
  const isEach = objectives.some((one) => one.slo === slo && one.id !== id);
  const names = entries.filter(({ name }) => processes.includes(name)).map(({ name }) => name);
  return `| ${id}: ${title} | ${names.join(', ')} | ${percent(target)} | ${measureInWords(measure)} | ${isEach ? 'yes' : 'no'} | ${mostSevere} |`;
}

function budgetRow(target: number): string {
  const outages = burnRules
    .filter(({ severity }) => severity === 'page')
    .flatMap((rule) => outageUntilAlertMs(rule, target, pollMs) ?? []);
  return `| ${percent(target)} | ${duration(allowedMs(target))} | ${burnRules
    .map((rule) => (thresholdOf(rule, target) < 1 ? `> ${percent(thresholdOf(rule, target))}` : 'never'))
    .join(' | ')} | ${outages.length === 0 ? 'never' : duration(Math.min(...outages))} |`;
}

const percent = (share: number) => `${Number((100 * share).toPrecision(6))} %`;

/** `43 min 12 s`, `5.2 s`. */
export function duration(ms: number): string {
  if (ms > windowsMs[period]) throw new RangeError(`${ms} ms are longer than the period`);
  const seconds = ms / 1_000;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 3_600), 'h'],
    [Math.floor((whole % 3_600) / 60), 'min'],
    [whole % 60, 's'],
  ] as const;
  return parts
    .filter(([value]) => value > 0)
    .slice(0, 2)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}
