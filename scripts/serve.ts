/** The one entry of every process: `node scripts/serve.ts NAME`. Runs until SIGTERM, SIGINT or the end of its parent; under systemd on its socket. */
import { flushCompileCache } from 'node:module';

import { entryOf } from '#config/catalogue.ts';
import { exitCodes, exitOf } from '#runtime/errors.ts';
import { priorityMark } from '#runtime/account/log.ts';
import { parseHostSettings } from '#runtime/process/settings.ts';
import { feedWatchdog, stretchWatchdog, takeHandover } from '#runtime/process/systemd.ts';

import { loadService } from './load.ts';

/** How often the supervisor hears of a process that works. */
const signOfLifeMs = 2_000;

function tellSupervisor(): void {
  if (process.connected) process.send?.({ alive: true });
}

async function main(name: string | undefined): Promise<void> {
  const entry = name === undefined ? undefined : entryOf(name);
  if (!entry) {
    process.stderr.write(`Usage: serve.ts NAME, with a NAME of config/catalogue.ts\n`);
    process.exitCode = exitCodes.usage;
    return;
  }
  // Nobody else on the host has a reason to read what a process keeps; the files of the user are the user's to share.
  if (!entry.files) process.umask(0o077);
  // They wait for disks, and for others while they do; Node has four. Read when the first one is needed.
  else process.env['UV_THREADPOOL_SIZE'] ??= '16';
  const systemd = takeHandover(process.env);
  const { collectSoon } = await import('#runtime/process/garbage.ts');
  const { startService } = await import('#runtime/process/run.ts');
  const service = await loadService(entry.name);
  process.send?.({ loaded: true });
  const { FLOTILLA_PORT_OFFSET } = parseHostSettings(process.env);
  const { httpFd } = systemd;
  const running = await startService(service, entry.port + FLOTILLA_PORT_OFFSET, process.env, { httpFd });

  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    systemd.notify('STOPPING=1');
    running.stop().then(
      () => process.exit(exitCodes.ok),
      (error: unknown) => fail(error),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A supervisor that died without a word must not leave its processes behind.
  process.on('disconnect', stop);

  // Whoever hears that it listens may end it at once.
  process.send?.({ listening: running.port });
  systemd.notify('READY=1');
  // What was compiled for this start is there for the next one, however this process ends.
  flushCompileCache();
  stretchWatchdog(systemd);
  feedWatchdog(systemd, async () => running.answers());
  // The supervisor of a fleet in the foreground waits for the same.
  if (process.connected) {
    feedWatchdog({ notify: tellSupervisor, watchdogMs: signOfLifeMs * 2 }, async () => running.answers());
  }
  collectSoon();
}

function fail(error: unknown): void {
  const known = exitOf(error);
  const words = known?.line ?? (error instanceof Error ? error.stack : String(error));
  const mark = priorityMark('error', 2);
  process.stderr.write(`${mark}${words?.replaceAll('\n', `\n${mark}`)}\n`);
  process.exit(known?.code ?? exitCodes.failed);
}

main(process.argv[2]).catch(fail);
