/** Every limit of the service, with the reason where the number is not arbitrary. */

/** Decisions in one call. */
export const maxBatch = 5_000;
export const maxNameLength = 200;
export const maxTextLength = 2_000;
/** Kinds of tasks of all models together: each has a row of sums for each model and day. */
/** What one token may name. */
export const maxTaskTypes = 1_000;
export const maxModels = 10_000;
/** Decisions that wait for the thread that writes; more are refused until it has caught up. */
export const maxQueued = 100_000;
/** Of lines of JSON in one call; a body of 4 MiB holds no more. */
export const maxJsonlLength = 4_000_000;
/** So much later than the clock of this host a decision may say it was made. */
export const maxAheadMs = 10 * 60_000;
/** Of ten years: an older one is a wrong clock or a wrong unit. */
export const maxAgeMs = 3_653 * 86_400_000;
/** Decisions read one by one for one figure; of more, the sums by bin are used. */
export const maxRowsRead = 100_000;
/** Reasons for refusals that one answer names. */
export const maxNamedRefusals = 20;
/** With fewer outcomes nobody can tell who does better: an interval is 40 points wide then. */
export const minOutcomes = 20;
/** What one decision may have cost, taken, read or sent at most; above is a wrong unit. */
export const mostOf = { cost_usd: 1e4, latency_ms: 1e9, tokens: 1e9, bytes: 1e12 } as const;
