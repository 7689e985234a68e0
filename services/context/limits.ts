/** Every limit of the service, with the reason where the number is not arbitrary. */
import { ToolError } from '#runtime/errors.ts';

/** Of one call, all its texts together: about 500,000 tokens of English. */
export const maxTextLength = 2_000_000;
/** What a page of stored text holds at most, and unless told otherwise. */
export const maxPageLength = 500_000;
export const pageLength = 50_000;
export const maxTokens = 10_000_000;
export const maxNameLength = 512;
export const maxItemsPerCall = 1_000;
export const maxMessagesPerCall = 5_000;
/** Nesting of what is given as JSON; deeper ones could overrun the stack of whoever writes it out. */
export const maxDepth = 64;
export const maxSnapshotLength = 1_000_000;
export const maxHandoffLength = 200_000;

/** What is kept at once; more is refused until something expires or is deleted. */
export const maxDurableBytes = 1_073_741_824;
/** In memory, so much less. */
export const maxEphemeralBytes = 67_108_864;
export const maxRows = { output: 100_000, snapshot: 10_000, handoff: 10_000, budget: 10_000 };

const hour = 3_600;
const day = 24 * hour;

/** How long stored text is kept, in seconds. Ephemeral text is kept in memory only. */
export const levels = {
  project: { ttl: 90 * day, maxTtl: 365 * day },
  session: { ttl: 7 * day, maxTtl: 365 * day },
  task: { ttl: 7 * day, maxTtl: 365 * day },
  code: { ttl: 30 * day, maxTtl: 365 * day },
  memory: { ttl: 90 * day, maxTtl: 365 * day },
  audit: { ttl: 365 * day, maxTtl: 365 * day },
  ephemeral: { ttl: hour, maxTtl: day },
} as const;
export type Level = keyof typeof levels;
export const levelNames = Object.keys(levels) as [Level, ...Level[]];

/** Seconds after the last use, or after acceptance. */
export const budgetTtl = 30 * day;
export const handoffTtl = 365 * day;

/** A regular expression that has not finished by then is stopped. */
export const grepTimeoutMs = 2_000;
export const maxGreps = 4;

// What is done between two places where others may be served: a fraction of a millisecond each.
export const bytesPerTurn = 2_048;
export const stepsPerTurn = 1_024;

/** @throws ToolError too_large. */
export function requireAtMost(actual: number, most: number, what: string): void {
  if (actual <= most) return;
  throw new ToolError('too_large', `${what}: ${actual}, at most ${most} are taken.`, {
    hint: 'Give less, or split it into several calls.',
  });
}
