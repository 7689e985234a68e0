/** Every limit of the service, with the reason where the number is not arbitrary. */
export const maxLinesPerCall = 10_000;
export const maxLineLength = 1_000_000;
export const maxQueryLength = 1_000;
export const maxNameLength = 200;
export const maxBatchNameLength = 200;
export const maxLines = 500;
export const defaultLines = 50;
export const maxContext = 20;
/** Of a message in an answer: a longer one is cut, and the answer says so; export_logs has all of it. */
export const shownCharacters = 4_000;
export const maxIntervals = 500;
export const maxExportedLines = 1_000;
export const maxPathLength = 4_096;
/** Of get_journal_logs and read_log_file, as the established server has them. */
export const maxTailLines = 10_000;
export const defaultTailLines = 100;
/** From the end of a file or of the journal: more than an answer shows, and little enough to be cleaned at once. */
export const maxTailBytes = 256 * 1024;
/**
 * Empty messages cost two bytes each, and next to nothing when they are packed, but a line each in the store: so they are counted
 * too.
 */
export const maxOtlpRecords = 100_000;
export const maxOtlpMessages = 2_000_000;
