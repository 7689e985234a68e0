/** recovery.ts SIGNAL at-once|in-turn PORT...: sends the signal to what answers on each port; prints after how many ms others answer. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const [signal = '', when = '', ...ports] = process.argv.slice(2);
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

async function recoveryMs(of: readonly string[]): Promise<(number | null)[]> {
  const before = await Promise.all(of.map(surePidAt));
  const startedAt = performance.now();
  for (const pid of before) process.kill(pid, signal);
  return Promise.all(
    of.map(async (port, index) => {
      while (performance.now() < startedAt + patienceMs) {
        const pid = await pidAt(port);
        if (pid !== undefined && pid !== before[index]) return Math.round(performance.now() - startedAt);
        await sleep(10);
      }
      return null;
    }),
  );
}

const afterMs: (number | null)[] = [];
for (const group of when === 'in-turn' ? ports.map((port) => [port]) : [ports])
  afterMs.push(...(await recoveryMs(group)));
process.stdout.write(
  `${JSON.stringify(Object.fromEntries(ports.map((port, index) => [port, afterMs[index]])))}\n`,
);
