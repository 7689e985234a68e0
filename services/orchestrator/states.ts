/** What may become of a task, and how a project stands. Pure. */

export const statuses = [
  'pending',
  'assigned',
  'in_progress',
  'completed',
  'failed',
  'blocked',
  'cancelled',
] as const;
export type Status = (typeof statuses)[number];

export const waitingFor = ['dependencies', 'input', 'retry', 'merge'] as const;
export type WaitingFor = (typeof waitingFor)[number];

/** The most urgent first: kept as their place here. */
export const priorities = ['critical', 'high', 'medium', 'low'] as const;
export type Priority = (typeof priorities)[number];

export const policies = ['block', 'cascade'] as const;
export type OnFailure = (typeof policies)[number];

const ended: readonly Status[] = ['completed', 'failed', 'cancelled'];

export const isEnded = (status: Status): boolean => ended.includes(status);

export const isHeld = (status: Status): boolean => status === 'assigned' || status === 'in_progress';

export type Counts = Readonly<Record<Status, number>>;

export const noCounts: Counts = Object.freeze(
  Object.fromEntries(statuses.map((status) => [status, 0])) as Record<Status, number>,
);

export const totalOf = (counts: Counts): number => statuses.reduce((sum, status) => sum + counts[status], 0);

/** How a project stands that nobody has cancelled: `blocked` when nothing of it can go on by itself. */
export function projectStatusOf(counts: Counts): Status {
  const total = totalOf(counts);
  if (total === 0) return 'pending';
  const { completed, failed, blocked, pending, assigned, in_progress: inProgress } = counts;
  const canGoOn = pending + assigned + inProgress;
  if (canGoOn === 0 && blocked > 0) return 'blocked';
  if (canGoOn === 0) return failed > 0 ? 'failed' : completed > 0 ? 'completed' : 'cancelled';
  return assigned + inProgress + completed + failed > 0 ? 'in_progress' : 'pending';
}

/** Of the tasks that are still wanted, how many are done. */
export function percentOf(counts: Counts): number {
  const wanted = totalOf(counts) - counts.cancelled;
  return wanted === 0 ? 0 : Math.floor((counts.completed / wanted) * 100);
}
