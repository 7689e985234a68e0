/** `alerts.db`: what alerts, messages and maintenance windows keep. What the disk does not take waits in memory, and is counted. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Log } from '#runtime/account/log.ts';
import { openDatabase, type Database } from '#runtime/database.ts';

const migrations = fileURLToPath(new URL('alerts', import.meta.url));
/** Changes that wait for a disk which takes none; the oldest go first. */
const mostWaiting = 5_000;

export const alertsFile = (dataDir: string) => join(dataDir, 'alerts.db');

export class AlertStore implements Disposable {
  readonly database: Database;
  readonly #log: Pick<Log, 'error' | 'info'>;
  readonly #transaction: (work: readonly (() => void)[]) => void;
  #waiting: (() => void)[] = [];
  #lost = 0;
  #isFailing = false;

  /** `file` is a path, or `:memory:`. @throws what `openDatabase` throws. */
  constructor(file: string, log: Pick<Log, 'error' | 'info'>) {
    this.database = openDatabase(file, migrations);
    this.#log = log;
    this.#transaction = this.database.transaction((work: readonly (() => void)[]) => {
      for (const write of work) write();
    });
  }

  /** Whether all that there is to keep is on disk. */
  get isKept(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Does these changes, after those that still wait, in one transaction. Each must be right also when it comes late: that a
   * disk is full is a reason to tell of it, and not to stop.
   */
  write(...changes: readonly (() => void)[]): void {
    this.#waiting.push(...changes);
    if (this.#waiting.length === 0) return;
    try {
      this.#transaction(this.#waiting);
      this.#waiting = [];
      if (this.#isFailing) this.#log.info('alerts_written_again', { lost: this.#lost });
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#log.error('alerts_not_written', { error });
      this.#isFailing = true;
      // A change that is wrong must not hold up those after it, as one that finds no room does.
      if (isOfDisk(error)) this.#lose(Math.max(0, this.#waiting.length - mostWaiting));
      else this.#oneByOne();
    }
  }

  #lose(count: number): void {
    this.#waiting.splice(0, count);
    this.#lost += count;
  }

  #oneByOne(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const write of waiting) {
      try {
        this.#transaction([write]);
      } catch (error) {
        if (isOfDisk(error)) this.#waiting.push(write);
        else this.#lost += 1;
      }
    }
  }

  [Symbol.dispose](): void {
    this.write();
    this.database.close();
  }
}

const isOfDisk = (error: unknown) =>
  /^SQLITE_(?:FULL|IOERR|BUSY|READONLY|CANTOPEN)/.test(String((error as { code?: unknown }).code));
