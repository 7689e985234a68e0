/** Suite `ladder`: the same call answered by ever more machinery, from bare Node to all of Flotilla. */
import { pinMethod } from './child.ts';
import { climb, connections, medianRatio, type Measured, type Pace } from './climb.ts';
import { rungs, spoken, variants } from './rungs.ts';
import type { BenchContext, Section } from './section.ts';
import { median } from './statistics.ts';
import type { Traffic } from './traffic.ts';

const paces = {
  quick: { rounds: 2, seconds: 1, warmUpSeconds: 1 },
  normal: { rounds: 5, seconds: 4, warmUpSeconds: 3 },
  full: { rounds: 9, seconds: 6, warmUpSeconds: 5 },
} as const satisfies Record<BenchContext['depth'], Pace>;

export async function ladder({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  const pace = paces[depth];
  const measured = await climb([...rungs, ...variants], pace, progress);
  const method =
    `${connections} connections, one call at a time on each; ${pace.rounds} rounds of ${pace.seconds} s per row after ` +
    `${pace.warmUpSeconds} s of warm-up, rows alternating; medians over the rounds, ratios within each round and then their ` +
    `median. ${pinMethod} Every row gets the same bytes: tools/call of 2026-07-28 of a tool that gives a text of ` +
    `${spoken.text.length} characters back, with all headers and a token, which only Flotilla checks; Flotilla logs to a file ` +
    `and keeps its metrics and its audit trail. The whole answer is checked before and after, and under load that each has the text in it; failed counts what is ` +
    `otherwise, late or not a 2xx. Load is what the generator used of its core: near 100 % it is the generator that was measured.`;
  return [
    sectionOf('Ladder', method, measured.slice(0, rungs.length), measured),
    sectionOf(
      'Ladder: other requests',
      `As above; the ratios are to the tools/call of the ladder's first and third row.`,
      measured.slice(rungs.length),
      measured,
    ),
  ];
}

const middle = (rounds: readonly Traffic[], figure: keyof Traffic) =>
  median(rounds.map((traffic) => traffic[figure]));

function sectionOf(
  title: string,
  method: string,
  shown: readonly Measured[],
  all: readonly Measured[],
): Section {
  const failures = shown.map(({ rounds }) => rounds.reduce((sum, { failed }) => sum + failed, 0));
  return {
    title,
    method,
    columns: [
      { name: 'server' },
      { name: 'calls/s' },
      { name: 'of bare', digits: 3 },
      { name: 'times SDK alone', digits: 2 },
      { name: 'p50 ms', digits: 2 },
      { name: 'p99 ms', digits: 2 },
      { name: 'load %' },
      { name: 'failed' },
    ],
    rows: shown.map(({ rung, rounds }, index) => [
      rung.title,
      middle(rounds, 'callsPerSecond'),
      medianRatio(all, rung.name, 'bare'),
      medianRatio(all, rung.name, 'sdk'),
      middle(rounds, 'p50Ms'),
      middle(rounds, 'p99Ms'),
      middle(rounds, 'cpuPercent'),
      failures[index] ?? null,
    ]),
    chart: { column: 1 },
    faults: shown.flatMap(({ rung }, index) =>
      failures[index] === 0 ? [] : [`${rung.title}: ${failures[index]} calls failed`],
    ),
  };
}
