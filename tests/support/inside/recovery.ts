/** recovery.ts SIGNAL PORT...: sends the signal to what answers on each port, all at once; prints after how many ms others answer. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const [signal = '', ...ports] = process.argv.slice(2);
const patienceMs = 90_000;

/** A new connection each time: one to a stopped process would wait for it. */
async function pidAt(port: string): Promise<number | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(1_000),
    });
    return ((await response.json()) as { pid: number }).pid;
  } catch {
    return undefined;
  }
}

/** On a busy machine the first answer may be late; a signal that is sent to nobody would show nothing. */
async function surePidAt(port: string): Promise<number> {
  const endMs = performance.now() + patienceMs;
  while (performance.now() < endMs) {
    const pid = await pidAt(port);
    if (pid !== undefined) return pid;
  }
  throw new Error(`nobody answers on port ${port}`);
}

const before = await Promise.all(ports.map(surePidAt));
const startedAt = performance.now();
for (const pid of before) process.kill(pid, signal);
const afterMs = await Promise.all(
  ports.map(async (port, index) => {
    while (performance.now() < startedAt + patienceMs) {
      const pid = await pidAt(port);
      if (pid !== undefined && pid !== before[index]) return Math.round(performance.now() - startedAt);
      await sleep(10);
    }
    return null;
  }),
);
process.stdout.write(
  `${JSON.stringify(Object.fromEntries(ports.map((port, index) => [port, afterMs[index]])))}\n`,
);
