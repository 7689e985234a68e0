import type { Workload } from '#runtime/workload.ts';

const metrics = ['cpu_percent', 'memory_used_percent', 'load_1m'] as const;

export const workload: Workload<undefined> = {
  async seed() {
    return undefined;
  },
  calls: [
    {
      title: 'get_memory_information',
      tool: 'get_memory_information',
      kind: 'small-read',
      arguments: () => ({}),
    },
    {
      title: 'get_metrics_history, an hour',
      tool: 'get_metrics_history',
      kind: 'large',
      arguments: (number) => ({ metric: metrics[number % metrics.length], window: '1h' }),
    },
    { title: 'get_disk_usage', tool: 'get_disk_usage', kind: 'large', arguments: () => ({}) },
    {
      title: 'list_processes, a page',
      tool: 'list_processes',
      kind: 'large',
      arguments: () => ({ limit: 50 }),
    },
    { title: 'get_listening_ports', tool: 'get_listening_ports', kind: 'large', arguments: () => ({}) },
    { title: 'find_anomalies, an hour', tool: 'find_anomalies', kind: 'large', arguments: () => ({}) },
  ],
  heavy: [
    { tool: 'list_processes', arguments: () => ({ limit: 200 }) },
    { tool: 'get_top_processes', arguments: () => ({ sort: 'io', n: 50 }) },
    { tool: 'get_network_connections', arguments: () => ({ limit: 200 }) },
    { tool: 'find_anomalies', arguments: () => ({ window: '24h' }) },
  ],
};
