/** Every limit of the service, with the reason where the number is not arbitrary. */

/** Battles in one call, as a list; more come as a text. */
export const maxListed = 10_000;
/** Battles in one call as CSV or JSONL: what a request of 4 MiB can hold. */
export const maxBattles = 100_000;
export const maxTextLength = 4_000_000;
export const maxNameLength = 300;
/** Names that the battles of one token may bring. */
export const maxSubjects = 10_000;
export const maxTaskTypes = 1_000;
export const maxJudges = 1_000;
/** Reasons for refusals that one answer names. */
export const maxNamedRefusals = 20;
/** Models in one ranking: the work grows with the third power. */
export const maxRanked = 400;
/** Battles or decisions read one by one for one figure. */
export const maxRowsRead = 500_000;
/** Games between models on shared items, for one ranking. */
export const maxSharedGames = 500_000;
/** Battles that a ranking reads one by one, to see which are about one item. */
export const maxClustered = 100_000;
export const maxResamples = 2_000;
/** Samples times the third power of the number of models: half a minute of one core. */
export const maxBootstrapWork = maxResamples * 130 ** 3;
/** Samples times matches that are drawn and fitted, 3 µs each: each item of its own is a match. Likewise half a minute. */
export const maxBootstrapMatches = 10_000_000;
/** Fewer items than this make no verdict: the answer says how many are needed. */
export const minItems = 10;
/** A choice among models rests on so many outcomes of each, unless it explores. */
export const minOutcomes = 20;
/** Below so many independent units, intervals of means are bootstrapped (Bowyer, Aitchison and Ivanova 2025). */
export const fewUnits = 300;
/** Kept of each token; its oldest go. */
export const maxRuns = 200;
export const maxComparisons = 20_000;
export const maxReports = 50;
/** Decisions asked of model-profile at a time. */
export const syncPage = 1_000;
/** A call waits so long for the copy of decisions to catch up; it goes on afterwards. */
export const syncWaitMs = 5_000;
/** A copy that was in step so recently is not asked about again. */
export const syncFreshMs = 1_000;
