/** Suite `load`: the load table that this fleet's predecessor was held to, row by row. */
import { measureComparing } from './comparing.ts';
import { decisionsOf, measureDecisions, modelCounts } from './decisions.ts';
import { measureGrowth } from './growth.ts';
import { measureIngest } from './ingest.ts';
import { measureIsolation } from './isolation.ts';
import type { BenchContext, Section } from './section.ts';
import { median } from './statistics.ts';

interface Row {
  readonly load: string;
  readonly target: string;
  readonly method: string;
  /** What the predecessor published for it, of calls within one process. */
  readonly published?: string;
}

/** What was measured for a row, and whether it is enough; `null` where the run was too short to tell. */
type Measured = readonly [figure: string, isMet: boolean | null];

/** Rows that one measurement fills. */
interface Load {
  readonly service: string;
  readonly rows: readonly Row[];
  readonly measure: (context: BenchContext) => Promise<readonly Measured[]>;
}

const megabytesPerMillion = 50;
const megabytesOfModels = 50;
const decisionsOfEach = 100;
const mostIsolationPercent = 5;
/** Cost with the most models, as a multiple of that with one, that still counts as flat. */
const flat = 1.25;

const whole = (value: number) => Math.round(value).toLocaleString('en');

const loads: readonly Load[] = [
  {
    service: 'reasoning-capture',
    rows: [
      {
        load: 'operations recorded',
        target: '100,000 operations/s',
        method: 'steps in batches over HTTP, on disk when answered; see suite ingest',
        published: '300,279/s',
      },
      {
        load: 'latency of an operation',
        target: 'p50 < 10 ms, p99 < 100 ms, p99.9 < 500 ms',
        method: 'single steps on 64 connections, on disk when answered',
      },
    ],
    async measure(context) {
      const { batches, single } = await measureIngest(context);
      const best = Math.max(
        ...Object.values(batches).map((runs) => median(runs.map(({ perSecond }) => perSecond))),
      );
      const { p50Ms, p99Ms, p999Ms } = single;
      return [
        [`${whole(best)} operations/s`, best >= 100_000],
        [
          `${p50Ms.toFixed(1)}, ${p99Ms.toFixed(1)} and ${p999Ms.toFixed(1)} ms`,
          p50Ms < 10 && p99Ms < 100 && p999Ms < 500,
        ],
      ];
    },
  },
  {
    service: 'model-profile',
    rows: [
      {
        load: 'decisions recorded',
        target: '10,000 decisions/s',
        method: '100 models, in batches over HTTP, on disk when answered; see suite decisions',
        published: '33,771/s',
      },
      {
        load: 'memory of 100 models',
        target: `< ${megabytesOfModels} MB`,
        method: `growth of the process by ${decisionsOfEach} decisions of each, as many as the predecessor had`,
      },
      {
        load: 'cost per record, 1 to 1,000 models',
        target: 'flat',
        method: `CPU time of the service for each decision; flat is at most ${flat} times that of one model`,
      },
    ],
    async measure({ depth, progress }) {
      const costs: number[] = [];
      let perSecond = 0;
      for (const models of modelCounts) {
        progress(`load: decisions of ${models} models`);
        const size = Math.min(decisionsOf[depth], decisionsOf.normal);
        const rate = await measureDecisions(models, size, progress);
        costs.push(rate.cpuUs);
        if (models === 100) ({ perSecond } = rate);
      }
      const { emptyMb, memory } = await measureDecisions(100, 100 * decisionsOfEach, progress);
      const grownMb = (memory.at(-1)?.[1] ?? 0) - emptyMb;
      const [least = 0] = costs;
      return [
        [`${whole(perSecond)} decisions/s`, perSecond >= 10_000],
        [`${grownMb.toFixed(0)} MB`, grownMb < megabytesOfModels],
        [`${costs.map((us) => us.toFixed(1)).join(', ')} µs`, Math.max(...costs) <= least * flat],
      ];
    },
  },
  {
    service: 'comparative-intelligence',
    rows: [
      {
        load: 'models compared',
        target: '1,000 models/s',
        method: 'rankings of all models with intervals over HTTP, each of new battles',
        published: '3,571/s',
      },
    ],
    async measure(context) {
      const { models, medianMs, perSecond } = await measureComparing(context);
      return [[`${whole(perSecond)} models/s: ${models} in ${medianMs.toFixed(0)} ms`, perSecond >= 1_000]];
    },
  },
  {
    service: 'memory',
    rows: [
      {
        load: 'memory per million operations',
        target: `< ${megabytesPerMillion} MB`,
        method: 'slope of the proportional set size over search_memories calls, see suite fleet',
      },
    ],
    async measure(context) {
      const { calls, mbPerMillion, failed } = await measureGrowth(context);
      const isMet = context.depth === 'quick' ? null : mbPerMillion < megabytesPerMillion && failed === 0;
      return [[`${mbPerMillion.toFixed(1)} MB, over ${calls} calls`, isMet]];
    },
  },
  {
    service: 'python',
    rows: [
      {
        load: 'overhead of isolation',
        target: `< ${mostIsolationPercent} % CPU`,
        method: 'CPU time of a computation inside the sandbox and outside, with what starts and watches it',
      },
    ],
    async measure(context) {
      const { percent, rounds } = await measureIsolation(context);
      return [[`${percent.toFixed(1)} %, median of ${rounds} pairs`, percent < mostIsolationPercent]];
    },
  },
];

const verdictOf = (isMet: boolean | null) =>
  isMet === null ? 'too short a run to tell' : isMet ? 'met' : 'missed';

export async function loadTable(context: BenchContext): Promise<readonly Section[]> {
  const table: (string | null)[][] = [];
  for (const { service, rows, measure } of loads) {
    context.progress(`load: ${service}`);
    const measured = await measure(context);
    for (const [index, { load, target, method, published = null }] of rows.entries()) {
      const [figure = '', isMet = null] = measured[index] ?? [];
      table.push([load, service, target, figure, verdictOf(isMet), published, method]);
    }
  }
  return [
    {
      title: 'Load table',
      method:
        'Each row over the wire; its own method stands beside it. What the predecessor published is not the same work: it appended to lists in its own ' +
        'process, without HTTP, JSON, checks or a disk, and its comparison had no intervals; so nothing of it had to survive a crash.',
      columns: ['load', 'service', 'target', 'measured', 'verdict', 'published, in process', 'method'].map(
        (name) => ({ name }),
      ),
      rows: table,
    },
  ];
}
