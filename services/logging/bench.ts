import type { Workload } from '#runtime/workload.ts';

const seeded = 50_000;
const perCall = 5_000;

const words = [
  'connection',
  'refused',
  'timeout',
  'upstream',
  'session',
  'cache',
  'retry',
  'worker',
  'payment',
  'order',
];

/** Lines as services write them: a word in every line, others in few, numbers that are nowhere twice. */
const lineOf = (number: number) =>
  `${number % 50 === 0 ? 'ERROR' : 'INFO'} request ${number} ${words[number % 10]} ${words[(number * 7) % 10]} from 10.0.${number % 256}.${(number * 31) % 256} took ${number % 5_000} ms`;

export const workload: Workload<void> = {
  async seed({ call }) {
    for (let from = 0; from < seeded; from += perCall) {
      const lines = Array.from({ length: perCall }, (_, at) => lineOf(from + at));
      await call('ingest_logs', { lines, service: `service-${(from / perCall) % 5}` });
    }
  },
  calls: [
    {
      title: 'search_logs, a rare word, 10 lines',
      tool: 'search_logs',
      kind: 'small-read',
      arguments: (number) => ({ query: `request ${(number * 7_919) % seeded}`, limit: 10 }),
    },
    {
      title: 'write_log',
      tool: 'write_log',
      kind: 'small-write',
      arguments: (number) => ({ message: lineOf(number), service: 'bench' }),
    },
    {
      title: 'search_logs, words in every line, 50 lines',
      tool: 'search_logs',
      kind: 'large',
      arguments: () => ({ query: 'request took', limit: 50 }),
    },
    {
      title: 'ingest_logs, 100 lines',
      tool: 'ingest_logs',
      kind: 'large',
      arguments: (number) => ({ lines: Array.from({ length: 100 }, (_, at) => lineOf(number * 100 + at)) }),
    },
    {
      title: 'get_log_stats by service, each hour',
      tool: 'get_log_stats',
      kind: 'large',
      arguments: () => ({ group_by: 'service', interval: '1h' }),
    },
  ],
  heavy: [
    { tool: 'search_logs', arguments: () => ({ regex: '(a+)+$', limit: 500 }) },
    {
      tool: 'ingest_logs',
      arguments: () => ({ lines: Array.from({ length: perCall }, (_, at) => lineOf(at)) }),
    },
    { tool: 'export_logs', arguments: () => ({ limit: 1_000 }) },
  ],
};
