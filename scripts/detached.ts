/**
 * `flotilla start --detach`: the command that waits, and the fleet in the background that it waits for. They talk over a
 * channel of their own: the log may have no room for words, and may have those of another fleet in it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, statSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';

import { exitCodes } from '#runtime/errors.ts';

import { ownCommand } from './own-command.ts';

/** A log that has grown beyond this is begun anew. */
const mostLogBytes = 1024 * 1024;

/** What the fleet tells until it is ready; `readyCode` is not 0 when some of it is not. */
type News = { readonly said: string } | { readonly complained: string } | { readonly readyCode: number };

/** Whether this process is the fleet that such a command has started. */
export const isDetached = process.send !== undefined;

/** To the command that waits, as long as it does. */
export function tellStarter(news: News): void {
  // That it is gone is heard by "disconnect".
  if (process.connected) process.send?.(news, undefined, undefined, () => {});
}

/**
 * The same command once more, out of the terminal. Resolves when its fleet is ready, or has ended. An interrupted command
 * ends its fleet too: nobody would know of it.
 */
export async function startDetached(logFile: string): Promise<void> {
  const log = openLog(logFile);
  const [, script = '', ...args] = process.argv;
  const child = spawn(process.execPath, [script, ...args.filter((arg) => arg !== '--detach')], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    // It is nobody's child: npm may end.
    env: { ...process.env, npm_lifecycle_event: undefined },
  });
  closeSync(log);

  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!child.connected) return; // it is ready, or gone
      isInterrupted = true;
      child.kill('SIGTERM');
    });
  }
  let hasComplained = false;
  const ready = new Promise<number>((done) => {
    child.on('message', (news: News) => {
      if ('said' in news) process.stdout.write(`${news.said}\n`);
      else if ('complained' in news) {
        hasComplained = true;
        process.stderr.write(news.complained);
      } else if (!isInterrupted) done(news.readyCode);
    });
  });
  // Its last words are read before the channel closes.
  const gone = Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
  const readyCode = await Promise.race([ready, gone.then(() => undefined)]);
  if (readyCode !== undefined) {
    child.disconnect();
    child.unref();
    if (readyCode === exitCodes.ok) return;
    complain(`Not everything is ready, as told above. The fleet runs on; see: ${ownCommand()} status`);
    process.exitCode = readyCode;
    return;
  }
  process.exitCode = child.exitCode || exitCodes.failed;
  if (isInterrupted)
    complain('Interrupted before the fleet was ready: it is stopped, and nothing of it runs.');
  else if (!hasComplained) {
    complain(`The fleet ended with ${child.signalCode ?? `exit code ${child.exitCode}`}. See: ${logFile}`);
  }
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > mostLogBytes) truncateSync(file);
  return openSync(file, 'a', 0o600);
}

function complain(words: string): void {
  process.stderr.write(`flotilla: ${words}\n`);
}
