/** What a fleet in the foreground tells the command line of itself: a file in its data folder while it runs. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { writeFileAtomic } from '#runtime/files.ts';

import { isThere } from './reach.ts';

const schema = z.object({
  pid: z.number(),
  /** With the pid, it names one process: a number comes back, a moment does not. */
  bornAtTicks: z.string(),
  /** The pid of each process that was started, `null` while it does not run; empty where one process hosts all. */
  processes: z.record(z.string(), z.number().nullable()),
  names: z.array(z.string()),
});
export type RunningFleet = z.output<typeof schema>;

const fileIn = (dataRoot: string) => join(dataRoot, 'fleet.json');

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
  const file = fileIn(dataRoot);
  if (!isThere(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  try {
    const fleet = schema.parse(JSON.parse(text));
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
    this.#file = fileIn(dataRoot);
    this.#fleet = {
      pid: process.pid,
      bornAtTicks: bornAtTicks(process.pid) ?? '',
      processes: {},
      names: [...names],
    };
    this.#write();
  }

  set(name: string, pid: number | null): void {
    this.#fleet.processes[name] = pid;
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
