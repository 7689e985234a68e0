/** How much, how often and for how long. */

export const fineSeconds = 10;
export const keptFineSeconds = 86_400;
export const coarseSeconds = 300;
export const keptCoarseSeconds = 31 * 86_400;
/** Events go after a year, or when there are more. */
export const eventSeconds = 365 * 86_400;
export const mostEvents = 10_000;

/** The fleet and what is slow to ask come every so many samples: once a minute. */
export const samplesPerSlowLook = 6;

export const mostListed = 200;
export const mostCommandLength = 300;
export const mostLogLines = 1_000;
export const mostNameLength = 255;
export const mostPid = 4_194_304;
