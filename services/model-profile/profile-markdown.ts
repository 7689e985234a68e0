/** All figures of a model as a page for people. */
import type { Steps } from '#runtime/turns.ts';
import { type Figure } from '#statistics/figure.ts';

import { calibrationSteps } from './calibration.ts';
import { strongest, successRate, snapshotOf, quantileFigure } from './figure.ts';
import { emptyCell, mergeCell, type Cell } from './store/cell.ts';
import type { ModelRow, Reading } from './store/reading.ts';
import { errorKinds } from './vocabulary.ts';

/** Texts of others must not become markup. */
const plain = (text: string) => text.replaceAll(/[\\|`*_<>[\]#]/g, String.raw`\$&`).replaceAll(/\s+/g, ' ');

const shown = (value: number | null) => (value === null ? '-' : String(Number(value.toPrecision(4))));
const told = ({ value, ci95, n }: Figure) =>
  `${shown(value)} | ${ci95 ? ci95.map(shown).join(' to ') : '-'} | ${n}`;

export function* profileMarkdown(reader: Reading, model: ModelRow, nowMs: number): Steps<string> {
  const snapshot = snapshotOf(reader.change(), nowMs);
  const window = { fromDay: 0, toDay: Number.MAX_SAFE_INTEGER };
  const all = emptyCell();
  const byType = new Map<number, Cell>();
  yield* reader.cells({ model: model.id, ...window }, (cell, _day, type) => {
    mergeCell(all, cell);
    const there = byType.get(type);
    if (there) mergeCell(there, cell);
    else byType.set(type, cell);
  });
  const source = strongest(all.judged) ?? 'ground_truth';
  const rate = (cell: Cell) => told(successRate(snapshot, cell.judged, source, 'wilson', cell.clustered));
  const names = reader.taskTypeNames();
  const lines = [
    `# ${plain(model.key)}`,
    '',
    `As of ${snapshot.as_of}, ${snapshot.snapshot_id}. ${all.n} decisions; outcomes of ${source}. Intervals are of 95 %.`,
    '',
    '| success | rate | interval | n |',
    '|---|---|---|---|',
    `| all | ${rate(all)} |`,
  ];
  for (const [type, cell] of [...byType].toSorted(([, a], [, b]) => b.n - a.n)) {
    lines.push(`| ${plain(names.get(type) ?? '')} | ${rate(cell)} |`);
    yield;
  }
  lines.push('', '| figure | value | interval | n |', '|---|---|---|---|');
  for (const [name, share] of [
    ['p50', 0.5],
    ['p90', 0.9],
    ['p99', 0.99],
  ] as const) {
    lines.push(
      `| latency ${name}, ms | ${told(quantileFigure(snapshot, all.latency, share, 1e3))} |`,
      `| cost ${name}, USD | ${told(quantileFigure(snapshot, all.cost, share, 1e9))} |`,
    );
  }
  yield;
  const calibration = yield* calibrationSteps(reader, {
    model,
    window,
    taskType: undefined,
    bins: 10,
    method: 'equal_width',
    resamples: 200,
    seed: 1,
    nowMs,
  });
  lines.push(
    `| Brier score | ${told(calibration.brier)} |`,
    `| log score | ${told(calibration.log_score)} |`,
    `| calibration error (ECE) | ${told(calibration.ece)} |`,
    `| confidence less outcome | ${told(calibration.overconfidence)} |`,
  );
  if (calibration.bins.length > 0) {
    lines.push('', '| confidence | stated | came true | interval | n |', '|---|---|---|---|---|');
    for (const { from, to, n, confidence, observed, ci95 } of calibration.bins) {
      lines.push(
        `| ${shown(from)} to ${shown(to)} | ${shown(confidence)} | ${shown(observed)} | ${ci95.map(shown).join(' to ')} | ${n} |`,
      );
    }
  }
  const errors = [...all.errors.entries()].filter(([, count]) => count > 0).toSorted(([, a], [, b]) => b - a);
  if (errors.length > 0) {
    lines.push(
      '',
      '| failure | n |',
      '|---|---|',
      ...errors.map(([kind, count]) => `| ${errorKinds[kind] ?? ''} | ${count} |`),
    );
  }
  return `${lines.join('\n')}\n`;
}
