/** Merges that are under way, written down before they begin: so what a kill leaves unfinished is known as the agent's own. */
import { existsSync, readFileSync } from 'node:fs';

import { z } from 'zod';

import { writeFileAtomic } from '#runtime/files.ts';

import { longestLeftMs } from './limits.ts';

const begunSchema = z.object({
  /** The top folder of the working tree. */
  path: z.string(),
  /** What is checked out there, and what is merged into it. */
  head: z.string(),
  tip: z.string(),
});
export type BegunMerge = z.output<typeof begunSchema>;

const fileSchema = z.array(begunSchema.extend({ begunAtMs: z.number() }));
type Kept = z.output<typeof fileSchema>;

export interface MergeNotes {
  readonly begin: (merge: BegunMerge) => void;
  /** The merge there is done or given up. */
  readonly end: (path: string) => void;
  /** What an earlier process has begun and did not end, unless that was so long ago that somebody may have gone on with it. */
  readonly left: () => readonly BegunMerge[];
}

export function mergeNotes(file: string, now: () => number): MergeNotes {
  let kept = keptIn(file);
  const keep = (notes: Kept) => {
    kept = notes;
    writeFileAtomic(file, JSON.stringify(notes), 0o600);
  };
  const without = (path: string) => kept.filter((one) => one.path !== path);
  return {
    begin: (merge) => keep([...without(merge.path), { ...merge, begunAtMs: now() }]),
    end(path) {
      if (kept.some((one) => one.path === path)) keep(without(path));
    },
    left() {
      const left = kept.filter(({ begunAtMs }) => Math.abs(now() - begunAtMs) < longestLeftMs);
      if (left.length < kept.length) keep(left);
      return left;
    },
  };
}

/** They help to tidy up, and nothing hangs on them: what cannot be read is as good as none. */
function keptIn(file: string): Kept {
  if (!existsSync(file)) return [];
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return [];
  }
}
