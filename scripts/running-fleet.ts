/** Which fleet in the foreground works on a data folder, as its note there says. */
import { readFileSync, rmSync } from 'node:fs';

import { fleetNoteFile, fleetNoteSchema, type RunningFleet } from '#runtime/data/fleet-note.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { isThere } from './reach.ts';

/** Asks a supervisor to try those again that it gave up. One of an older version, which does not know it, goes on as it was. */
export const retrySignal = 'SIGCONT';

/** When the process began, as the kernel counts; `undefined` for one that is not there, or has ended. */
function bornAtTicks(pid: number): string | undefined {
  try {
    // The second field is a name in brackets, which may hold anything.
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return state === 'Z' ? undefined : fields[18];
  } catch {
    return undefined;
  }
}

/** Whether its supervisor is still there. */
export function isRunning({ pid, bornAtTicks: born }: RunningFleet): boolean {
  return bornAtTicks(pid) === born;
}

/** The fleet that works on this data; `undefined` where none does. @throws the system's error where this user may not look. */
export function fleetOn(dataRoot: string): RunningFleet | undefined {
  const file = fleetNoteFile(dataRoot);
  if (!isThere(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  try {
    const fleet = fleetNoteSchema.parse(JSON.parse(text));
    return isRunning(fleet) ? fleet : undefined;
  } catch {
    return undefined; // of another version: nothing is known
  }
}

/** Kept by the supervisor, for as long as it runs. */
export class FleetNote implements Disposable {
  readonly #file: string;
  readonly #fleet: RunningFleet;

  constructor(dataRoot: string, names: readonly string[]) {
    this.#file = fleetNoteFile(dataRoot);
    this.#fleet = {
      pid: process.pid,
      bornAtTicks: bornAtTicks(process.pid) ?? '',
      processes: {},
      names: [...names],
      falls: {},
    };
    this.#write();
  }

  set(name: string, pid: number | null): void {
    this.#fleet.processes[name] = pid;
    const fall = this.#fleet.falls[name];
    // It was tried again after all.
    if (fall && pid !== null) fall.isFinal = false;
    this.#write();
  }

  /** That a process has ended without being asked to, and whether it stays down. */
  fell(name: string, reason: string, isFinal: boolean): void {
    const count = (this.#fleet.falls[name]?.count ?? 0) + 1;
    this.#fleet.falls[name] = { count, lastAtMs: Date.now(), reason, isFinal };
    this.#write();
  }

  #write(): void {
    try {
      writeFileAtomic(this.#file, JSON.stringify(this.#fleet));
    } catch {
      // A full disk must not end the fleet; the command line then knows less of it.
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#file, { force: true });
  }
}
