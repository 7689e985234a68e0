/** Every limit of the service, with the reason where the number is not arbitrary. */
import { pageBytes } from '#runtime/page.ts';

/** Linux takes no longer path in one call. */
export const maxPathLength = 4_096;
/** As Linux itself counts, before it gives up on a loop. */
export const maxLinks = 40;

/** What an answer holds unless more is asked for. */
export const answerBytes = pageBytes;
/** What an answer holds when more is asked for: making a message of it takes some tens of milliseconds, in which nobody is served. */
export const maxAskedBytes = 1_000_000;
/** Goes into a message as it is, in base64. */
export const maxMediaBytes = 4 * 1024 * 1024;
/** The largest text that is edited, and of those in UTF-16 the largest that is read. */
export const maxTextBytes = 5 * 1024 * 1024;
/** A file that is copied or hashed in one go. */
export const smallFileBytes = 128 * 1024;
/** For all files of one read_multiple_files. */
export const maxFilesPerRead = 500;

export const maxEdits = 500;
/** Places that one edit changes. */
export const maxOccurrences = 50_000;
/** Up to which lines are also compared without the white space around them, which takes long. */
export const maxLooseLines = 100_000;
/** Characters that the edits of one call go over, each reading and writing the file: 500 of them in 2 MiB. */
export const maxEditSteps = 2 * 1024 ** 3;
/** Of a text to find: a longer one could hold the process for as long as it is searched for. */
export const maxSearchedText = 100_000;
export const maxPatchedFiles = 200;
/** All that a patch reads and writes, which is held in memory until it is done. */
export const maxPatchedBytes = 4 * maxTextBytes;

/** Names of one folder; a larger folder is refused, because an order needs all of its names. */
export const maxNamesPerFolder = 100_000;
/** Entries that one call walks over. */
export const maxVisited = 200_000;
/** Characters that one walk compares with patterns: some seconds. */
export const maxWalkSteps = 1_000_000_000;
/** Folders within folders that a walk goes into: each holds one descriptor. */
export const maxDepth = 100;
/** Of the places that a walk left out, those that an answer names. */
export const maxLeftOutBytes = 5_000;
export const maxEntriesPerAnswer = 10_000;

export const maxCopiedBytes = 2 * 1024 ** 3;
export const maxCopiedEntries = 20_000;

/** A file that a search reads; larger ones are counted as skipped. */
export const maxSearchedBytes = 64 * 1024 * 1024;
/** Of one search, so that it ends before its deadline. */
export const maxSearchedFiles = 20_000;
/** Given to one ripgrep as open descriptors. */
export const filesPerRipgrep = 256;
/** Walks, searches and copies: one caller does not have all places, and the processor and the disk are not theirs alone. */
export const longWorkAtOnce = { perCaller: 3, inAll: 4, waiting: 256 };
/** One thread edits and compares texts. */
export const craftAtOnce = { perCaller: 1, inAll: 1, waiting: 256 };
/** Of a file times its edits, and lines to compare: less is edited at once, in some milliseconds. */
export const craftedAtOnceBytes = 32 * 1024;
export const craftedAtOnceLines = 400;
/** Of the thread: a job that takes more fails, and the process goes on. */
export const craftMemoryMb = 512;
/** Each waits for the disk in a thread of Node's pool, of which a service for files has 16 (`scripts/serve.ts`): many waits together cost the disk one. */
export const changesAtOnce = { perCaller: 6, inAll: 12, firsts: 16, waiting: 512 };

export const maxHashedBytes = 8 * 1024 ** 3;

/** Larger files are named in a pack, and left out. */
export const maxPackedFileBytes = 512 * 1024;

/** What is read or written at once. */
export const bufferBytes = 256 * 1024;
