import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import type { Contract } from '#runtime/testing.ts';

import { maxLinesPerCall } from './limits.ts';

/** A host without systemd has none: there, one that knows a single entry stands in for it. */
function provideJournalctl(folder: string, foreign: string): void {
  const path = process.env['PATH'] ?? '';
  if (path.split(delimiter).some((one) => existsSync(join(one, 'journalctl')))) return;
  const own = join(folder, 'bin');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'entry'), `2026-11-29T04:00:00+00:00 host sshd[1]: ${foreign}\n`);
  writeFileSync(join(own, 'journalctl'), `#!/bin/sh\nexec cat "${join(own, 'entry')}"\n`, { mode: 0o700 });
  process.env['PATH'] = `${path}${delimiter}${own}`;
}

export const contract: Contract = {
  listTokens: 8_000,
  settings: (folder) => ({ FLOTILLA_LOGGING_ROOTS: folder }),
  keep: (number) => ({ tool: 'write_log', args: { message: `line ${number}` } }),
  async prepare({ folder, foreign, call }) {
    provideJournalctl(folder, foreign);
    const file = join(folder, 'app.log');
    writeFileSync(file, `${foreign}\nan old line\n`);
    const line = {
      message: foreign,
      level: 'error',
      service: 'web',
      trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    };
    await call('ingest_logs', { lines: [line, { ...line, message: `${foreign} again` }, foreign] });
    const { next_cursor: cursor } = await call('tail_logs', { limit: 1 });
    await call('write_log', line);
    const which = { level: 'info', service: 'web', source: 'ingest:*', since: '1h', until: 'now' };
    const range = { datasourceUid: 'local', startRfc3339: 'now-1h', endRfc3339: 'now' };
    return {
      write_log: { ...line, fields: { port: 4336 } },
      ingest_logs: {
        lines: ['2026-11-29T04:00:00Z WARN disk is full', line],
        service: 'web',
        batch_id: 'first',
      },
      search_logs: { query: '', ...which, regex: '.', context: 1, order: 'oldest', limit: 5 },
      tail_logs: { limit: 1, cursor },
      list_log_sources: {},
      get_log_stats: { group_by: 'service', interval: '1h', ...which },
      get_errors: { service: 'web', source: 'ingest:*', since: '1h', until: 'now', limit: 5 },
      get_trace: { correlation_id: line.trace_id, since: '1h', until: 'now', limit: 5 },
      set_log_level: { service: 'quiet', level: 'warn' },
      export_logs: { format: 'csv', query: '', ...which, regex: '.', limit: 5 },
      purge_logs: { query: 'again', ...which, confirm: true },
      get_journal_logs: { priority: 'debug', since: '1h', lines: 5 },
      read_log_file: { log_path: file, lines: 5 },
      query_loki_logs: {
        ...range,
        logql: '{service="web"} |~ "."',
        limit: 5,
        direction: 'forward',
        format: 'full',
      },
      query_loki_patterns: { ...range, logql: '{}', step: '1h', limit: 5 },
      find_error_pattern_logs: {
        name: 'n',
        labels: { service: 'web' },
        start: '1h',
        end: 'now',
        baselineDays: 1,
        limit: 5,
      },
      list_loki_label_names: range,
      list_loki_label_values: { ...range, labelName: 'service' },
      query_loki_stats: { ...range, logql: '{service="web"}' },
      analyze_loki_labels: { ...range, logql: '{}' },
    };
  },
  largest: (foreign) => ({
    ingest_logs: [
      { lines: Array.from({ length: maxLinesPerCall }, (_, number) => `${number} ${foreign}`) },
      { lines: Array.from({ length: 5 }, () => 'x password=hunter2 \u001b[31m'.repeat(20_000)) },
    ],
    search_logs: [
      { regex: '(a+)+$', limit: 500 },
      { query: foreign, context: 20, limit: 500 },
      { query: '-nothing', limit: 500 },
    ],
    export_logs: { limit: 1_000 },
    get_log_stats: { group_by: 'source', interval: '1h' },
    tail_logs: { limit: 500 },
    get_errors: { limit: 500, since: '7d' },
    query_loki_logs: [
      { logql: `{} |~ "${'(a?){100}'.repeat(3)}[yz]$" | json | logfmt`, limit: 100 },
      { logql: 'topk(500, count_over_time({} | logfmt [1h]))', stepSeconds: 4, limit: 100 },
      { logql: `{} ${'|= "x" or "y" '.repeat(300)}` },
    ],
    query_loki_patterns: { logql: '{}', step: '10s', limit: 500 },
    find_error_pattern_logs: { baselineDays: 90, limit: 200 },
    analyze_loki_labels: { logql: '{} | logfmt' },
  }),
};
