/** The rules for Prometheus, by Prometheus' own promtool where it is installed (Debian: the package prometheus). */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test, type TestContext } from 'vitest';

import { catalogue } from '#config/catalogue.ts';

import { windowNames, windowsMs, type Windows } from '../../health/slo/burn.ts';
import { ownFolder, readObjectives } from '../../health/slo/objectives.ts';
import { reportOf, sloMetrics, slothNames } from '../../health/slo/report.ts';
import { parseYaml, yamlText } from '../../health/slo/yaml-file.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import { z } from 'zod';
import { prometheusRules } from './alert-rules.ts';
import { grafanaBoard } from './grafana.ts';

const objectives = readObjectives([ownFolder], catalogue);

function promtool(context: TestContext, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { encoding: 'utf8' });
  if (error)
    context.skip('promtool is not installed (Debian: apt-get install prometheus): the rules are not checked');
  expect(`${stdout}${stderr}`, stderr).not.toMatch(/FAILED|error/i);
  expect(status).toBe(0);
  return stdout;
}

const windowsWith = (bad: Partial<Record<(typeof windowNames)[number], number>>, knownMs = Infinity) =>
  Object.fromEntries(
    windowNames.map((name) => {
      const total = windowsMs[name] / 1_000;
      return [name, { good: total - (bad[name] ?? 0), total, knownMs: Math.min(knownMs, windowsMs[name]) }];
    }),
  ) as unknown as Windows;

/** What health exports, as series of promtool that stay so. */
function seriesOf(id: string, windows: Windows): { series: string; values: string }[] {
  const objective = objectives.find((one) => one.id === id);
  if (!objective) throw new Error(`there is no ${id}`);
  return sloMetrics([reportOf(objective, windows)])
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const at = line.lastIndexOf(' ');
      return { series: line.slice(0, at), values: `${line.slice(at + 1)}x30` };
    });
}

test('promtool finds the rules well formed', (context) => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'rules.yml');
  writeFileSync(file, prometheusRules());

  expect(promtool(context, 'check', 'rules', file)).toMatch(
    new RegExp(`SUCCESS: ${slothNames.length + 7} rules found`),
  );
});

test('the rules alert when health does, by the same figures', (context) => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, 'rules.yml'), prometheusRules());
  const alert = (id: string, severity: string) => {
    const { slo = '', process = null } = objectives.find((one) => one.id === id) ?? {};
    return {
      exp_labels: { severity, sloth_id: id, sloth_service: process ?? 'flotilla', sloth_slo: slo },
      exp_annotations: {
        summary: `${id}: the error budget burns too fast`,
        description: 'flotilla slo shows how much is left; flotilla alerts shows why.',
      },
    };
  };
  const burnTest = (
    name: string,
    id: string,
    windows: Windows,
    expected: { page?: boolean; ticket?: boolean },
  ) => ({
    name,
    interval: '1m',
    input_series: seriesOf(id, windows),
    alert_rule_test: [
      {
        eval_time: '5m',
        alertname: 'FlotillaBudgetBurnsFast',
        exp_alerts: expected.page ? [alert(id, 'page')] : [],
      },
      {
        eval_time: '5m',
        alertname: 'FlotillaBudgetBurns',
        exp_alerts: expected.ticket ? [alert(id, 'ticket')] : [],
      },
      { eval_time: '5m', alertname: 'FlotillaHealthSilent', exp_alerts: [] },
    ],
    promql_expr_test: [
      {
        expr: `sum(slo:objective:ratio{sloth_id="${id}"})`,
        eval_time: '5m',
        exp_samples: [{ labels: '{}', value: objectives.find((one) => one.id === id)?.target }],
      },
    ],
  });
  const outage = { '5m': 53, '30m': 53, '1h': 53, '2h': 53, '6h': 53, '1d': 53, '3d': 53 };
  const slow = { '5m': 2, '30m': 11, '1h': 22, '2h': 44, '6h': 132, '1d': 132, '3d': 132 };
  const slower = { '5m': 1, '30m': 6, '1h': 12, '2h': 25, '6h': 75, '1d': 270, '3d': 270 };
  const tests = [
    burnTest('all is well', 'core-memory', windowsWith({}), {}),
    burnTest('a fast burn pages', 'core-memory', windowsWith(outage), { page: true }),
    burnTest('51 s do not', 'core-memory', windowsWith({ ...outage, '1h': 51 }), {}),
    burnTest('what is over does not', 'core-memory', windowsWith({ ...outage, '5m': 2 }), {}),
    burnTest('a slow burn pages', 'core-memory', windowsWith(slow), { page: true }),
    burnTest('a slower one is a ticket', 'core-memory', windowsWith(slower), { ticket: true }),
    burnTest('too little is known', 'core-memory', windowsWith(outage, 60_000), {}),
    burnTest(
      'two events are too few',
      'health',
      windowsWith({ '5m': 2, '1h': 10, '30m': 2, '6h': 200, '2h': 2, '1d': 30 }),
      {},
    ),
    burnTest(
      'what is a ticket at most pages nobody',
      'core-latency',
      windowsWith({ '5m': 150, '1h': 1_800 }),
      { ticket: true },
    ),
    {
      name: 'health is silent',
      interval: '1m',
      input_series: [
        { series: 'flotilla_process_up{name="memory"}', values: '0x30' },
        { series: 'flotilla_process_up{name="git"}', values: '0x30' },
        { series: 'flotilla_maintenance{name="git"}', values: '1x30' },
      ],
      alert_rule_test: [
        {
          eval_time: '5m',
          alertname: 'FlotillaHealthSilent',
          exp_alerts: [
            {
              exp_labels: { severity: 'page' },
              exp_annotations: {
                summary: 'Health says nothing',
                description: 'Nobody watches the fleet: it does not run, or is not scraped.',
              },
            },
          ],
        },
        {
          eval_time: '5m',
          alertname: 'FlotillaProcessDown',
          exp_alerts: [
            {
              exp_labels: { severity: 'page', name: 'memory' },
              exp_annotations: {
                summary: 'memory does not do its job',
                description: 'See: flotilla alerts, and flotilla logs memory --level warn',
              },
            },
          ],
        },
      ],
    },
  ];
  const file = join(folder.path, 'tests.yml');
  writeFileSync(file, yamlText({ rule_files: ['rules.yml'], evaluation_interval: '1m', tests }));

  expect(promtool(context, 'test', 'rules', file)).toContain('SUCCESS');
});

test('the rules are YAML, and every metric in them and on the board is one that is exported', () => {
  const [rules] = parseYaml(prometheusRules(), 'rules', z.any());
  const exported = new Set(
    [
      ...sloMetrics(objectives.slice(0, 1).map((objective) => reportOf(objective, windowsWith({})))).matchAll(
        /^# TYPE (\S+)/gm,
      ),
    ].map(([, name]) => name),
  );
  const used = `${JSON.stringify(rules)}${grafanaBoard(objectives)}`.matchAll(/\bslo_\w+/g);
  const unknown = [...used].map(([name]) => name).filter((name) => !exported.has(name));

  expect(unknown).toEqual([]);
  expect(exported.size).toBeGreaterThan(15);
});

test('the board is one that Grafana reads: panels do not overlap, and each has a question', () => {
  const board = JSON.parse(grafanaBoard(objectives)) as {
    panels: {
      id: number;
      title: string;
      targets: { expr: string }[];
      gridPos: { x: number; y: number; w: number; h: number };
    }[];
  };
  expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
  const cells = board.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  for (const { title, targets } of board.panels)
    for (const { expr } of targets) expect(expr, title).not.toBe('');
});
