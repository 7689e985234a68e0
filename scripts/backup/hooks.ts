/**
 * What is told of a backup, and where it goes: a copy off this host, and a command or an address that hears how it went. The
 * settings are the operator's: what stands there is run as it stands.
 */
import { spawn } from 'node:child_process';

import type { HostSettings } from '#config/settings.ts';
import type { Environment } from '#runtime/process/settings.ts';

/** `resolved`: the first good one after a failure or a late one; `success` follows. */
export type BackupEvent = 'success' | 'failure' | 'late' | 'resolved';

/** What a hook hears. */
export interface Told {
  readonly folder: string;
  /** Full path of the archive, where there is one. */
  readonly archive: string | null;
  /** In words; empty when all is well. */
  readonly reason: string;
}

const pingWithinMs = 30_000;
const hookWithinMs = 5 * 60_000;
const copyWithinMs = 5 * 3_600_000;
const longestWords = 500;

/** Copies a proven backup elsewhere, by the command of the settings. @returns why it failed, or `null`. */
export async function copyOff(
  { FLOTILLA_BACKUP_COPY: command }: HostSettings,
  told: Told,
  environment: Environment,
): Promise<string | null> {
  return command === undefined ? null : runCommand(command, 'copy', told, environment, copyWithinMs);
}

/** Tells of an event by the hook of the settings. @returns why that failed, or `null`. */
export async function tellOf(
  event: BackupEvent,
  { FLOTILLA_BACKUP_HOOK: hook }: HostSettings,
  told: Told,
  environment: Environment,
): Promise<string | null> {
  if (hook === undefined) return null;
  return /^https?:\/\//.test(hook)
    ? ping(hook, event, told.reason)
    : runCommand(hook, event, told, environment, hookWithinMs);
}

/**
 * An address with places in it, `{event}`, `{status}` (up or down) and `{reason}`, is asked for as it is then; another one is
 * sent the reason, and has `/fail` after it for what is not well, as Healthchecks and its like have it.
 */
async function ping(address: string, event: BackupEvent, reason: string): Promise<string | null> {
  const isWell = event === 'success' || event === 'resolved';
  const places = { event, status: isWell ? 'up' : 'down', reason: reason.slice(0, longestWords) };
  const filled = address.replaceAll(/\{(event|status|reason)\}/g, (_, place: keyof typeof places) =>
    encodeURIComponent(places[place]),
  );
  // The good ping that follows says the same.
  if (event === 'resolved' && filled === address) return null;
  const request =
    filled === address
      ? { url: isWell ? address : `${address.replace(/\/$/, '')}/fail`, method: 'POST', body: reason }
      : { url: filled, method: 'GET' };
  try {
    const { url, ...init } = request;
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(pingWithinMs) });
    await response.body?.cancel();
    return response.ok ? null : `the address of the hook answers ${response.status}`;
  } catch (error) {
    const { message, cause } = error as Error;
    return `the address of the hook cannot be reached: ${cause instanceof Error ? cause.message : message}`;
  }
}

async function runCommand(
  command: string,
  event: BackupEvent | 'copy',
  { folder, archive, reason }: Told,
  environment: Environment,
  withinMs: number,
): Promise<string | null> {
  const { FLOTILLA_TOKEN: _, ...inherited } = environment;
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...inherited,
      BACKUP_EVENT: event,
      BACKUP_FOLDER: folder,
      BACKUP_ARCHIVE: archive ?? '',
      BACKUP_REASON: reason,
    },
    detached: true, // with all that it starts
  });
  const end = () => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // it has ended
    }
  };
  const what = event === 'copy' ? 'the copy off this host' : 'the hook';
  let words = '';
  let isLate = false;
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk.toString('utf8')}`.slice(-longestWords);
  });
  const late = setTimeout(() => {
    isLate = true;
    end();
  }, withinMs);
  process.once('exit', end);
  const code = await new Promise<number | string>((done) => {
    child.once('error', (error) => done(error.message));
    child.once('close', (exit, signal) => done(exit ?? signal ?? 'no code'));
  });
  clearTimeout(late);
  process.off('exit', end);
  if (code === 0) return null;
  if (isLate) return `${what} did not end within ${withinMs / 60_000} minutes`;
  return `${what} failed (${code}): ${words.trim().replaceAll(/\s+/g, ' ') || 'it said nothing'}`;
}
