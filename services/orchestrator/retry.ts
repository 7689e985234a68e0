/** When a task is tried again. Pure. */
import { firstRetryMs, longestRetryMs } from './limits.ts';

/** The longer, the more attempts have failed. */
export const retryDelayMs = (failures: number): number =>
  Math.min(firstRetryMs * 2 ** (failures - 1), longestRetryMs);
