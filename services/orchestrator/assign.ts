/** Who gets a task. Pure. */

/** What is known of a worker when tasks are given out. */
export interface Candidate {
  readonly capabilities: ReadonlySet<string>;
  /** Tasks that it holds, and how many it takes at a time. */
  readonly load: number;
  readonly mostTasks: number;
}

export const canDo = (
  requires: readonly string[],
  { capabilities }: Pick<Candidate, 'capabilities'>,
): boolean => requires.every((one) => capabilities.has(one));

/** Of tasks of one type; one half of a worker that has none behind it, and with few it moves slowly from there. */
export const successRate = (completed: number, failed: number): number =>
  (completed + 1) / (completed + failed + 2);

/**
 * How well a worker fits a task: what it can do of what is asked for, less how busy it is, and how often it succeeded with tasks of
 * this type. `-Infinity` where it must not have it.
 */
export function scoreOf(
  requires: readonly string[],
  { capabilities, load, mostTasks }: Candidate,
  success: number,
): number {
  if (load >= mostTasks || !canDo(requires, { capabilities })) return -Infinity;
  return 100 - 50 * (load / mostTasks) + 20 * success;
}
