/** A real process's insides for a test: a service on a free port, with a data folder and a token of its own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startService, type Surroundings } from '#runtime/process/run.ts';
import type { AnyService } from '#runtime/service.ts';
import { firstTokenFile } from '#runtime/access/tokens.ts';

export interface Served extends AsyncDisposable {
  readonly url: string;
  /** May use everything. */
  readonly token: string;
  readonly dataRoot: string;
  /** Ends the service before the test does. */
  stop(): Promise<void>;
}

/** A folder that is gone when the test is over. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'flotilla-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** `settings` are environment variables; only errors are logged unless they say otherwise. With `FLOTILLA_DATA`, several share one. Port 0 takes any free one. */
export async function serve(
  service: AnyService,
  settings: Readonly<Record<string, string>> = {},
  port = 0,
  surroundings: Surroundings = {},
): Promise<Served> {
  const folder = temporaryFolder();
  const dataRoot = settings['FLOTILLA_DATA'] ?? folder.path;
  const running = await startService(
    service,
    port,
    { FLOTILLA_DATA: dataRoot, FLOTILLA_LOG_LEVEL: 'error', ...settings },
    surroundings,
  );
  return {
    url: `http://127.0.0.1:${running.port}`,
    token: readFileSync(firstTokenFile(dataRoot), 'utf8').trim(),
    dataRoot,
    stop: async () => running.stop(),
    async [Symbol.asyncDispose]() {
      await running.stop();
      folder[Symbol.dispose]();
    },
  };
}
