/** Every limit of the service, with the reason where the number is not arbitrary. */
import { ToolError } from '#runtime/errors.ts';

/** Of one call, all its texts together: about 500,000 tokens of English. */
export const maxTextLength = 2_000_000;
/** What a caller may ask for at most, in bytes of UTF-8. */
export const maxPageBytes = 500_000;
/** The same in tokens, where they are counted. */
export const answerTokens = 10_000;
export const maxTokens = 10_000_000;
export const maxNameLength = 512;
export const maxItemsPerCall = 1_000;
export const maxMessagesPerCall = 5_000;
/** Nesting of what is given as JSON; deeper ones could overrun the stack of whoever writes it out. */
export const maxDepth = 64;
export const maxSnapshotLength = 1_000_000;
export const maxHandoffLength = 200_000;

/** What is kept of all tokens together; more is refused until something expires or is deleted. */
export const maxDurableBytes = 1_073_741_824;
/** In memory, so much less. */
export const maxEphemeralBytes = 67_108_864;
export const maxEphemeralBytesPerToken = maxEphemeralBytes / 4;
/** Outputs that a snapshot or handoff keeps by naming them. */
export const maxMentions = 1_000;
export const handlePattern = /out_[0-9a-f]{24}/g;

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

// What is done between two places where others may be served: a fraction of a millisecond each.
export const bytesPerTurn = 2_048;
export const stepsPerTurn = 1_024;

/** Of one answer, in characters: writing it out is one step. */
const maxAnswerLength = 1_000_000;

/** @throws ToolError too_large. */
export function requireAnswerable(length: number): void {
  if (length <= maxAnswerLength) return;
  throw new ToolError(
    'too_large',
    `The result has ${length} characters, at most ${maxAnswerLength} are answered.`,
    {
      hint: 'Nothing was kept. Lower token_budget.',
    },
  );
}

/** @throws ToolError too_large. */
export function requireAtMost(actual: number, most: number, what: string): void {
  if (actual <= most) return;
  throw new ToolError('too_large', `${what}: ${actual}, at most ${most} are taken.`, {
    hint: 'Give less, or split it into several calls.',
  });
}
