/** A fleet's data on disk, with nobody running, for tests of backups. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { startService } from '#runtime/process/run.ts';

import { loadService } from '../../scripts/load.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { run, type Ended, type Settings } from './fleet.ts';
import { callTool } from './rpc.ts';
import { temporaryFolder } from './serve.ts';

export interface Kept extends Disposable {
  readonly dataRoot: string;
  readonly backups: string;
  readonly settings: Settings;
  /** Runs the command line on it. */
  readonly flotilla: (args: readonly string[], more?: Settings) => Ended;
  /** Starts memory for a moment. */
  readonly withMemory: <Value>(
    work: (target: { url: string; token: string }) => Promise<Value>,
  ) => Promise<Value>;
  /** What memory holds. */
  readonly texts: () => Promise<readonly string[]>;
}

/** The data of a memory that was told these. */
export async function keptWith(...texts: readonly string[]): Promise<Kept> {
  const folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const settings = { FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(await freePortOffset()) };
  const withMemory: Kept['withMemory'] = async (work) => {
    const running = await startService(await loadService('memory'), 0, {
      ...settings,
      FLOTILLA_LOG_LEVEL: 'error',
    });
    try {
      const token = readFileSync(join(dataRoot, 'token'), 'utf8').trim();
      return await work({ url: `http://127.0.0.1:${running.port}`, token });
    } finally {
      await running.stop();
    }
  };
  await withMemory(async (target) => {
    for (const text of texts) await callTool(target, 'add_memory', { text });
  });
  return {
    dataRoot,
    backups: `${dataRoot}-backups`,
    settings,
    flotilla: (args, more = {}) => run(args, { ...settings, ...more }),
    withMemory,
    texts: async () =>
      withMemory(async (target) => {
        const answer = await callTool(target, 'list_memories', { limit: 100 });
        const found = answer.result?.['structuredContent'] as { memories: { text: string }[] } | undefined;
        return found?.memories.map(({ text }) => text) ?? [];
      }),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}
