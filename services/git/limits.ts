/** Every limit of the service, with the reason where the number is not arbitrary. */

export const maxPageBytes = 1_000_000;
/** Where reading on gives up: each page runs git again and passes over what was read. */
export const maxOffsetBytes = 1_000_000_000;
/** What git may say where its answer is read as a whole: lists of paths, mostly. */
export const maxListBytes = 32_000_000;
/** What is read as a whole and taken apart at once: commits, lines with who wrote them. */
export const maxRecordBytes = 8_000_000;
export const maxErrorBytes = 16_384;
export const maxErrorLength = 600;
/** A commit's message in a list of commits; git_show has all of it. */
export const maxListedMessage = 4_000;
/** A line in an answer of git_grep or git_blame. */
export const maxLineLength = 1_000;

export const maxRevisionLength = 1_024;
export const maxPathLength = 4_096;
export const maxMessageLength = 100_000;
export const maxPathsPerCall = 1_000;
export const maxCommitsPerCall = 100;
export const maxListed = 1_000;

/** A file in .git that is read here: its configuration, mostly. */
export const maxSmallFileBytes = 1_000_000;
/** Of a configuration, what has to be overridden: the environment of a process holds no more. */
export const maxOverrides = 500;
export const maxOverrideBytes = 100_000;
/** Each is looked at in every call. */
export const maxConfigEntries = 20_000;
export const maxIncludes = 50;
export const maxAlternates = 50;
export const maxSubmodules = 100;
/** In .git: each is one more place that git has to see. */
export const maxLinks = 100;
/** Entries of the .git folder that are looked at for links that lead outside; loose objects, mostly. */
export const maxGitEntries = 200_000;
/** What a file system says of the size of a folder, in bytes or entries: a larger one is not read at all. */
export const maxFolderBytes = 10_000_000;
/** A larger one is read in pieces. */
export const maxFolderAtOnceBytes = 200_000;

/** From asking git to stop until it is killed: it removes its lock files meanwhile, once the disk lets it. */
export const killAfterMs = 10_000;
/** Merges, checkouts, stashes and clones may touch every file. */
export const longTimeoutMs = 120_000;
export const networkTimeoutMs = 300_000;

/** Of one git, over all its threads: longer than any call, so that only what was forgotten meets it. */
export const maxCpuSeconds = 600;
/** Steps of one token that wait for a git to end. */
export const maxWaiting = 500;
/** How often a git that works for long is looked at; from then on, it lets others go first. */
export const lookAfterMs = 500;
/**
 * The same for a git of a token that has more of them at work or waiting: when its sandbox is made, for a slow one that makes
 * its own holds up the kernel for all others.
 */
export const easeOffSoonMs = 20;
/** Of an answer that is read as it comes: a list of some million paths. */
export const maxStreamBytes = 200_000_000;
/** A name in such a list: more than a file system takes. */
export const maxPartBytes = 16_384;
/** What a server says it is doing. */
export const maxProgressKinds = 20;
export const maxKnownIndexes = 100;
/** Looked at before others have the event loop: less than a millisecond, where they are known. */
export const maxFoldersAtOnce = 64;
/** Folders in .git that are known to hold files and folders alone; loose objects have 256 of them. */
export const maxKnownFolders = 30_000;
/** A file or folder that was written just now may be written again without a sign of it. */
export const settledAfterMs = 100;
/** Of a regular expression whose counts are written out; each takes some hundred bytes. */
export const maxPatternSize = 5_000;
