/** What can be said of a session without understanding it: how its lines part, and what reconsiders what. */
import { end, mainLine, type Branch, type Revision, type Segment } from './thoughts.ts';

/** From the beginning to the last thought of a line, by way of the lines that it came from. */
export function pathOf(line: number, branches: ReadonlyMap<number, Branch>): Segment[] {
  const path: Segment[] = [];
  let upTo = end;
  for (let at: number | null = line; at !== null;) {
    path.unshift({ line: at, after: 0, upTo });
    const branch: Branch | undefined = at === mainLine ? undefined : branches.get(at);
    upTo = branch?.from_position ?? end;
    at = branch?.from_line ?? null;
  }
  return path;
}

/** What several paths have in common at their beginning, and what each has after that. */
export function partingOf(paths: readonly Segment[][]): { shared: Segment[]; own: Segment[][] } {
  const shared: Segment[] = [];
  for (let index = 0; ; index += 1) {
    const [first, ...others] = paths.map((path) => path[index]);
    if (!first || others.some((other) => other?.line !== first.line)) break;
    const ends = [first, ...others].map((segment) => segment?.upTo ?? 0);
    shared.push({ ...first, upTo: Math.min(...ends) });
    if (new Set(ends).size > 1) break;
  }
  const own = paths.map((path) =>
    path
      .map((segment, index) => ({ ...segment, after: shared[index]?.upTo ?? 0 }))
      .filter(({ after, upTo }) => after < upTo),
  );
  return { shared, own };
}

interface Numbered {
  readonly position: number;
  readonly thoughtNumber: number;
}

export interface RevisionChain {
  readonly of: Numbered;
  /** In order; the last is what holds. */
  readonly by: Numbered[];
}

/** @param revisions newest first. A revision of a revision belongs to the thought that was reconsidered first. */
export function revisionChains(revisions: readonly Revision[]): RevisionChain[] {
  const chains = new Map<number, RevisionChain>();
  for (const { position, number, revises, revised_position: revised } of revisions.toReversed()) {
    const chain = chains.get(revised) ?? { of: { position: revised, thoughtNumber: revises }, by: [] };
    chain.by.push({ position, thoughtNumber: number });
    chains.set(revised, chain);
    chains.set(position, chain);
  }
  return [...new Set(chains.values())];
}
