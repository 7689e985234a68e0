/** The one entry of every process: `node scripts/serve.ts NAME`. Runs until SIGTERM, SIGINT or the end of its parent. */
import { entryOf } from '#config/catalogue.ts';
import { exitCodes, exitOf } from '#runtime/errors.ts';
import { parseHostSettings } from '#runtime/settings.ts';

import { loadService } from './load.ts';

async function main(name: string | undefined): Promise<void> {
  const entry = name === undefined ? undefined : entryOf(name);
  if (!entry) {
    process.stderr.write(`Usage: serve.ts NAME, with a NAME of config/catalogue.ts\n`);
    process.exitCode = exitCodes.usage;
    return;
  }
  const { collectSoon } = await import('#runtime/garbage.ts');
  const { startService } = await import('#runtime/run.ts');
  const service = await loadService(entry.name);
  process.send?.({ loaded: true });
  const { FLOTILLA_PORT_OFFSET } = parseHostSettings(process.env);
  const running = await startService(service, entry.port + FLOTILLA_PORT_OFFSET, process.env);
  process.send?.({ listening: running.port });
  collectSoon();

  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    running.stop().then(
      () => process.exit(exitCodes.ok),
      (error: unknown) => fail(error),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A supervisor that died without a word must not leave its processes behind.
  process.on('disconnect', stop);
}

function fail(error: unknown): void {
  const known = exitOf(error);
  process.stderr.write(`${known?.line ?? (error instanceof Error ? error.stack : String(error))}\n`);
  process.exit(known?.code ?? exitCodes.failed);
}

// Nobody else on the host has a reason to read what a process keeps.
process.umask(0o077);
main(process.argv[2]).catch(fail);
