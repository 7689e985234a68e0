/** What a fleet in the foreground tells others of itself: a file in its data folder while it runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

const fallsSchema = z.object({
  count: z.number().int(),
  lastAtMs: z.number(),
  reason: z.string(),
  /** Whether it is started again: not where a person has to mend something first. */
  isFinal: z.boolean(),
});

export const fleetNoteSchema = z.object({
  pid: z.number(),
  /** With the pid, it names one process: a number comes back, a moment does not. */
  bornAtTicks: z.string(),
  /** The pid of each process that was started, `null` while it does not run; empty where one process hosts all. */
  processes: z.record(z.string(), z.number().nullable()),
  names: z.array(z.string()),
  /** How often each has fallen since the fleet was started, and how the last time; those that have not are missing. */
  falls: z.record(z.string(), fallsSchema).default({}),
});
export type RunningFleet = z.output<typeof fleetNoteSchema>;

export const fleetNoteFile = (dataRoot: string) => join(dataRoot, 'fleet.json');

/** @returns `undefined` where no fleet in the foreground has left one that can be read; it may have ended since. */
export function readFleetNote(dataRoot: string): RunningFleet | undefined {
  try {
    return fleetNoteSchema.parse(JSON.parse(readFileSync(fleetNoteFile(dataRoot), 'utf8')));
  } catch {
    return undefined;
  }
}
