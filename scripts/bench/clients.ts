/** Suite `clients`: a thousand of them at once, reading and writing memories. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pinMethod } from './child.ts';
import { fillMemory, noteOf, searches, startMemory } from './memory-server.ts';
import { ask, toolCall } from './requests.ts';
import type { BenchContext, Section } from './section.ts';
import { sendTraffic } from './traffic.ts';

const connections = 1_000;
const filled = 1_000;
const secondsOf = { quick: 5, normal: 60, full: 60 } as const satisfies Record<BenchContext['depth'], number>;

export async function clients({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-clients-'));
  const memory = await startMemory(folder.path);
  await using _server = memory.server;
  await fillMemory(memory, filled);
  const seconds = secondsOf[depth];
  progress(`clients: ${connections} for ${seconds} s`);
  const { url, token } = memory;
  const reads = searches.map((search) => toolCall(token, 'search_memories', search));
  const write = toolCall(token, 'add_memory', { text: noteOf(0) });
  const traffic = await sendTraffic({ url, connections, seconds, requests: [...reads, write] });
  const stored = await countMemories(url, token);
  const written = stored - filled;
  return [
    {
      title: 'A thousand clients',
      method:
        `${connections} connections to the memory service for ${seconds} s, one call at a time on each: of ` +
        `${reads.length + 1} calls ${reads.length} are search_memories over ${filled} memories and more, and one is ` +
        `add_memory, committed to disk before it is answered. ${pinMethod} Failed counts tool errors, statuses other than ` +
        `2xx, timeouts and broken connections; the memories are counted afterwards. Load is what the generator used of ` +
        `its core: near 100 % it is the generator that was measured.`,
      columns: [
        { name: 'clients' },
        { name: 'calls' },
        { name: 'calls/s' },
        { name: 'memories written' },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
        { name: 'p99.9 ms', digits: 1 },
        { name: 'load %' },
        { name: 'failed' },
      ],
      rows: [
        [
          String(connections),
          traffic.calls,
          traffic.callsPerSecond,
          written,
          traffic.p50Ms,
          traffic.p99Ms,
          traffic.p999Ms,
          traffic.cpuPercent,
          traffic.failed,
        ],
      ],
      faults: traffic.failed > 0 ? [`${traffic.failed} calls failed`] : [],
    },
  ];
}

async function countMemories(url: string, token: string): Promise<number> {
  const { result } = await ask(url, toolCall(token, 'memory_stats', {}));
  return Number(result?.['structuredContent']?.memories);
}
