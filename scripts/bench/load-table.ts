/** Suite `load`: the load table that this fleet's predecessor was held to, row by row. A row without its service says so. */
import { entryOf } from '#config/catalogue.ts';

import { measureGrowth } from './growth.ts';
import { measureIsolation } from './isolation.ts';
import type { BenchContext, Section } from './section.ts';

interface Load {
  readonly name: string;
  readonly service: string;
  readonly target: string;
  readonly method: string;
  /** Comes with the service: what was measured, and whether it is enough; `null` where the run was too short to tell. */
  readonly measure?: (
    context: BenchContext,
  ) => Promise<{ readonly figure: string; readonly met: boolean | null }>;
}

const megabytesPerMillion = 50;
const mostIsolationPercent = 5;

const loads: readonly Load[] = [
  {
    name: 'operations recorded',
    service: 'reasoning-capture',
    target: '100,000 operations/s',
    method: 'batches over HTTP, on disk when answered',
  },
  {
    name: 'latency, median',
    service: 'reasoning-capture',
    target: 'p50 < 10 ms',
    method: 'single steps under that load',
  },
  {
    name: 'latency, tail',
    service: 'reasoning-capture',
    target: 'p99 < 100 ms, p99.9 < 500 ms',
    method: 'single steps under that load',
  },
  {
    name: 'decisions recorded',
    service: 'model-profile',
    target: '10,000 decisions/s',
    method: 'batches over HTTP, on disk when answered',
  },
  {
    name: 'memory of 100 models',
    service: 'model-profile',
    target: '< 50 MB',
    method: 'growth of the process from none to 100 models',
  },
  {
    name: 'cost per record, 1 to 1,000 models',
    service: 'model-profile',
    target: 'flat',
    method: 'records/s at 1, 10, 100 and 1,000 models',
  },
  {
    name: 'models compared',
    service: 'comparative-intelligence',
    target: '1,000 models/s',
    method: 'one comparison of many models over HTTP',
  },
  {
    name: 'memory per million operations',
    service: 'memory',
    target: `< ${megabytesPerMillion} MB`,
    method: 'slope of the proportional set size over search_memories calls, see suite fleet',
    async measure(context) {
      const { calls, mbPerMillion, failed } = await measureGrowth(context);
      return {
        figure: `${mbPerMillion.toFixed(1)} MB, over ${calls} calls`,
        met: context.depth === 'quick' ? null : mbPerMillion < megabytesPerMillion && failed === 0,
      };
    },
  },
  {
    name: 'overhead of isolation',
    service: 'python',
    target: `< ${mostIsolationPercent} % CPU`,
    method: 'CPU time of a computation inside the sandbox and outside, with what starts and watches it',
    async measure(context) {
      const { percent, rounds } = await measureIsolation(context);
      return {
        figure: `${percent.toFixed(1)} %, median of ${rounds} pairs`,
        met: percent < mostIsolationPercent,
      };
    },
  },
];

export async function loadTable(context: BenchContext): Promise<readonly Section[]> {
  const rows: string[][] = [];
  for (const { name, service, target, method, measure } of loads) {
    if (!entryOf(service)) continue;
    context.progress(`load: ${name}`);
    const { figure, verdict } = await verdictOf(measure, context);
    rows.push([name, service, target, figure, verdict, method]);
  }
  return [
    {
      title: 'Load table',
      method: 'Each row over the wire; its own method stands beside it.',
      columns: ['load', 'service', 'target', 'measured', 'verdict', 'method'].map((name) => ({ name })),
      rows,
    },
  ];
}

async function verdictOf(
  measure: Load['measure'],
  context: BenchContext,
): Promise<{ readonly figure: string; readonly verdict: string }> {
  if (!measure) return { figure: '', verdict: 'not measured yet' };
  const { figure, met } = await measure(context);
  if (met === null) return { figure, verdict: 'too short a run to tell' };
  return { figure, verdict: met ? 'met' : 'missed' };
}
