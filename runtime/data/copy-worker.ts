/**
 * Copies a database on a thread of its own: the last step of a copy waits for the disk, a fifth of a second for 200 MB, and
 * the process goes on serving meanwhile.
 */
import { parentPort, workerData } from 'node:worker_threads';

import { copyDatabase } from '../database.ts';
import { DamagedDataError } from '../errors.ts';

/** What this thread says: how much is done, that all is, or why it could not be. */
export type Word =
  | { readonly share: number }
  | { readonly done: true }
  | { readonly message: string; readonly code: string | undefined; readonly isDamage: boolean };

const { from, to } = workerData as { readonly from: string; readonly to: string };
const say = (word: Word) => parentPort?.postMessage(word);
const stop = new AbortController();
parentPort?.once('message', () => stop.abort(new Error('nobody waits for it')));

try {
  await copyDatabase(from, to, { signal: stop.signal, told: (share) => say({ share }) });
  say({ done: true });
} catch (error) {
  const { message, code } = error as NodeJS.ErrnoException;
  say({ message, code, isDamage: error instanceof DamagedDataError });
} finally {
  parentPort?.close();
}
