/** The load generator, in a process of its own: takes one order from its parent, sends back what it saw. The only importer of autocannon. */
import { createHistogram, performance } from 'node:perf_hooks';

import type { Traffic, TrafficOrder } from './traffic.ts';

/** A tool's failure has status 200. */
const toolFailure = '"isError":true';
/** Of an answer that is wrong. */
const shownChars = 500;

process.on('disconnect', () => process.exit());
process.once('message', (order: TrafficOrder) => {
  generate(order).then(
    (traffic) => process.send?.(traffic, () => process.disconnect?.()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});

async function generate({
  url,
  connections,
  seconds,
  calls,
  requests,
  perSecond,
  mustSay = '',
}: TrafficOrder): Promise<Traffic> {
  const { default: autocannon } = await import('autocannon');
  // Autocannon's own histogram has whole milliseconds; a call takes less than one.
  const micros = createHistogram();
  let firstWrong: string | undefined;
  const run = autocannon({
    url,
    connections,
    ...(seconds !== undefined && { duration: seconds }),
    ...(calls !== undefined && { amount: calls }),
    ...(perSecond !== undefined && { overallRate: perSecond }),
    requests: requests.map((one) =>
      'path' in one ? { method: 'GET' as const, ...one } : { method: 'POST' as const, path: '/mcp', ...one },
    ),
    verifyBody: (body) => {
      const good = body.includes(mustSay) && !body.includes(toolFailure);
      if (!good) firstWrong ??= body.slice(0, shownChars);
      return good;
    },
  });
  let firstAtMs = 0;
  let lastAtMs = 0;
  run.on('response', (_client, _status, _bytes, durationMs) => {
    lastAtMs = performance.now();
    if (micros.count === 0) firstAtMs = lastAtMs;
    micros.record(Math.max(1, Math.round(durationMs * 1000)));
  });
  const startedAtMs = performance.now();
  const cpuBefore = process.cpuUsage();
  const { errors, timeouts, mismatches, non2xx } = await run;
  const { user, system } = process.cpuUsage(cpuBefore);
  // Autocannon counts a timeout as an error too.
  const failed = errors + mismatches + non2xx;
  if (failed > 0) {
    const said = firstWrong === undefined ? '' : `; the first wrong answer: ${firstWrong}`;
    process.stderr.write(
      `failed: ${errors - timeouts} connections, ${timeouts} timeouts, ${non2xx} statuses, ${mismatches} answers${said}\n`,
    );
  }
  return {
    calls: micros.count,
    callsPerSecond: ((micros.count - 1) / (lastAtMs - firstAtMs)) * 1000,
    p50Ms: micros.percentile(50) / 1000,
    p99Ms: micros.percentile(99) / 1000,
    p999Ms: micros.percentile(99.9) / 1000,
    failed,
    cpuPercent: (user + system) / 10 / (performance.now() - startedAtMs),
  };
}
