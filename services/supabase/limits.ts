/** Every limit of the service, with the reason where the number is not arbitrary. */

/** Of SQL in a call. */
export const maxSqlLength = 500_000;
export const maxParameters = 100;
/** Postgres cuts names at 63 bytes; what is longer is a path into a row or a mistake. */
export const maxNameLength = 200;
export const maxPathLength = 1_024;

export const maxRows = 1_000;
export const defaultRows = 100;
/** Of one value in an answer: a longer one is cut, and the answer says so. */
export const maxCellBytes = 8_000;
/** Rows of one insert or upsert; the bytes are bounded by the request. */
export const maxInsertRows = 1_000;
export const maxFilters = 20;

/** What is taken of the network before it is looked at: a longer row ends the connection. */
export const maxRowBytes = 16 * 1_024 * 1_024;
/** Rows come from the portal in pieces of about so many bytes. */
export const pieceBytes = 256 * 1_024;
/** Of a JSON answer of the REST side: it is read as a whole. */
export const maxJsonBytes = 1_024 * 1_024;
/** Of a file, in either direction; base64 makes four bytes of three, and an answer holds 100,000. */
export const maxDownloadBytes = 48_000;
export const maxUploadBytes = 1_024 * 1_024;

export const defaultTimeoutMs = 10_000;
/** Below the deadline of a call, which includes the waiting for a connection. */
export const maxTimeoutMs = 25_000;
/** A statement that waits so long for a lock is in somebody's way. */
export const lockTimeoutMs = 4_000;
/** Nothing of ours is idle within a transaction: a connection that is has lost its process. */
export const idleInTransactionMs = 30_000;
export const connectTimeoutMs = 8_000;
/** A statement that does not end when it is told so loses its connection. */
export const cancelPatienceMs = 2_000;

/** A change that is stopped while it is committed is waited for so long: then the answer says what is true. */
export const endingMs = 5_000;

export const connectionsPerCaller = 2;
export const callsWaiting = 64;

export const maxRetries = 3;
export const firstRetryMs = 200;
/** Waits no longer than this for a server that asks to be left alone. */
export const maxRetryWaitMs = 10_000;
/** The parser of sqlToRest works on a thread of its own, which is ended then. */
export const translateTimeoutMs = 5_000;
