/** How much of what; times in milliseconds. */

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export const megabyte = 1_048_576;

/** Of JSON: what a task tells its worker, and what its worker brings back. */
export const mostWorkBytes = 1_048_576;
export const mostResultBytes = 1_048_576;
/** A request may hold a task that is far too long, so that its sender is told so in words. */
export const mostRequestBytes = 6 * megabyte;

export const mostTasksPerCall = 5_000;
export const mostTasksPerProject = 10_000;
export const mostNeeds = 256;
/** Tasks that wait for one: all of them are told in the transaction in which it ends. */
export const mostDependents = 1_000;
/** Edges that are walked to find a circle. */
export const mostWalked = 20_000;

export const mostTasksAtOnce = 5;
export const defaultTasksAtOnce = 3;
export const defaultAttempts = 3;
export const mostAttempts = 100;
export const defaultLeaseSeconds = 300;
export const longestLeaseSeconds = 43_200;

/** Clients give up after a minute. */
export const longestWaitMs = 30 * second;
/** Calls that wait for tasks here, and of one token. */
export const mostWaiting = 3_000;
export const mostWaitingPerToken = 1_000;

export const mostWorkersPerToken = 1_000;
export const mostCapabilities = 50;
/** Different sets of required capabilities; each costs a look when a worker asks. */
export const mostSkillSetsPerToken = 1_000;
/** Events of a task's progress: a worker tells it again and again. */
export const progressKept = 20;
/** Questions of one task to a person. */
export const mostQuestions = 50;

export const firstRetryMs = 2 * second;
export const longestRetryMs = 5 * minute;
/** A worker that was not heard of for so long counts as away. */
export const awayAfterMs = 2 * minute;
/** How often leases, retries and deadlines are looked at. */
export const sweepMs = second;
/** Tasks that the orchestrator itself changes in one transaction. */
export const changedAtOnce = 100;
/** A call that makes tasks in pieces takes a minute at most: what is older was cut off, at whatever orchestrator. */
export const staleBatchMs = hour;
/** How long the first answer to an idempotency key is kept. */
export const answersKeptMs = 7 * day;
