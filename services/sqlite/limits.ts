/** Every limit of the service, with the reason where the number is not arbitrary. */
/** Linux takes no longer path in one call. */
export const maxPathLength = 4_096;
/** Of all SQL in a call. */
export const maxSqlLength = 1_000_000;
export const maxStatements = 200;
export const maxParameters = 1_000;
export const maxNameLength = 1_000;
/** Values of one bulk_insert; the bytes are bounded by the request. */
export const maxBulkRows = 10_000;

export const maxRows = 1_000;
export const defaultRows = 200;
/** Of a text or blob in an answer: a longer one is cut, and the answer says so. */
export const maxCellBytes = 8_000;

export const defaultTimeoutMs = 5_000;
/** Below the deadline of a call, which includes the waiting for a place. */
export const maxTimeoutMs = 25_000;
/** Imports, exports, backups and their like. */
export const longTimeoutMs = 600_000;
/** Until an engine has undone or ended it, and what it left is in order. */
export const longEndingMs = 30_000;
/** How long a statement waits for another program's lock, within its own limit. */
export const busyMs = 4_000;

/** Of SQLite, on one value or row. */
export const maxValueBytes = 128 * 1024 * 1024;
/** What a process of an engine may fill, of which Node reserves some 550 MB without touching them. */
export const engineMemoryBytes = 832 * 1024 * 1024;
/** An engine that holds more afterwards is not used again. */
export const wornBytes = 192 * 1024 * 1024;
/** The service answers others while engines compute. */
export const engineNice = 5;
/** A statement that takes longer gives way to short ones. */
export const slowMs = 100;
export const slowNice = 12;
/** An idle engine that another token had so long ago is not kept for it. */
export const restedMs = 1_000;
/** Statements: one caller does not have all places, and long ones of some keep nobody else waiting. */
export const statementsAtOnce = { perCaller: 2, inAll: 3, firsts: 12, waiting: 256 };
/** Imports, exports and what else goes over whole databases: short calls never wait for them. */
export const transfersAtOnce = { perCaller: 1, inAll: 3, waiting: 64 };
/** Changes of one database wait here, in turns of their callers, and not for its lock. */
export const changesAtOnce = { perCaller: 1, inAll: 1, waiting: 256 };
/** Each has a process of its own. */
export const transactionsAtOnce = { perCaller: 2, inAll: 6 };
/** However busy it is: the lock of a transaction keeps all other writers waiting. */
export const transactionLifeMs = 300_000;
/** Once another token waits for it: until it has to end, and in between calls. Who waits is served within the deadline of a call. */
export const pressedLifeMs = 20_000;
export const pressedIdleMs = 10_000;
/** Ended transactions whose end is remembered, so that their owners are told. */
export const maxEndedTransactions = 1_000;
/** An idle engine costs some 45 MB, a new one some 80 ms. */
export const engineIdleMs = 60_000;
export const maxIdleEngines = 3;
/** How long an engine that was told to stop may take to undo what it did. */
export const stopMs = 2_000;
/** How long it may take to commit what is done, or to give a file its name. */
export const endingMs = 10_000;
/** Statements that an engine keeps prepared for each database, as far as they are short. */
export const preparedPerDatabase = 32;
export const maxKeptSqlLength = 4_000;
/** Databases that an engine keeps open between calls. */
export const openPerEngine = 4;

export const maxInsightLength = 10_000;
/** Tables of one answer that are looked at. */
export const maxListed = 2_000;
/** Of the objects that an engine tells at once. */
export const maxToldBytes = 100_000;
/** Of the memo: the newest insights that fit. */
export const memoBytes = 200_000;

/** One row of a CSV file: what a quote that is never closed can fill. */
export const maxRecordLength = 16 * 1024 * 1024;
export const maxColumns = 2_000;
/** Of an import, added by one statement. */
export const linesPerStep = 1_000;
/** What is read or written at once. */
export const bufferBytes = 256 * 1024;
/** Files and folders that list_databases looks at. */
export const maxVisited = 50_000;
export const maxDepth = 12;
