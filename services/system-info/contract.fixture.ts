import type { Contract } from '#runtime/testing.ts';

export const contract: Contract = {
  listTokens: 7_800,
  async prepare({ call }) {
    // The unit is on every host with systemd; elsewhere the answers say that there is none.
    const unit = { service_name: 'systemd-journald' };
    const paged = { limit: 5 };
    await call('get_system_snapshot', {});
    return {
      get_system_information: { host: 'localhost' },
      get_cpu_information: {},
      get_memory_information: {},
      get_disk_usage: paged,
      get_hardware_information: paged,
      list_processes: { name: 'e', ...paged },
      get_process_info: { pid: process.pid },
      list_services: { state: 'running', ...paged },
      get_service_status: unit,
      get_service_logs: { ...unit, lines: 5, before: '2026-01-01' },
      get_network_interfaces: paged,
      get_network_connections: paged,
      get_listening_ports: paged,
      list_block_devices: paged,
      get_system_snapshot: {},
      get_top_processes: { sort: 'memory', n: 3 },
      get_pressure: {},
      get_cgroup_limits: { pid: process.pid },
      get_sensors: {},
      get_metrics_history: { metric: 'memory_used_percent', window: '15m', points: 5 },
      find_anomalies: { window: '2h', metric: 'cpu_percent' },
      get_uptime_events: { days: 1, ...paged },
      get_fleet_status: {},
    };
  },
  largest: () => ({
    list_processes: { limit: 200 },
    get_top_processes: { sort: 'io', n: 50 },
    get_network_connections: { limit: 200 },
    get_listening_ports: { limit: 200 },
    get_hardware_information: { limit: 200 },
    get_service_logs: { service_name: 'systemd-journald', lines: 1_000 },
    find_anomalies: { window: '24h' },
    get_metrics_history: { metric: 'cpu_percent', window: '31d', points: 300 },
  }),
};
