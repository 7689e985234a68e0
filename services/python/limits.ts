/** Every limit of the service, with the reason where the number is not arbitrary. */
import { pageBytes } from '#runtime/page.ts';

export const maxCodeLength = 1_000_000;
export const defaultTimeoutMs = 30_000;
export const maxTimeoutMs = 600_000;
/** From the call's own deadline to the end of a program that was told to stop, and what the service does then. */
export const afterTimeoutMs = 10_000;
/** Of what was printed, in an answer: the beginning and the end of it. */
export const shownOutputBytes = pageBytes / 2;
/** Of the value, in an answer. */
export const shownValueLength = pageBytes / 2;
export const maxErrorLength = 20_000;
export const maxImages = 8;
/** Of one image: clients take no larger ones. */
export const maxImageBytes = 3_000_000;

/** Of a program that calls tools: its code, of which each character may be six of JSON, and little else. */
export const maxProgramBytes = 6 * maxCodeLength + 1_000;
/** Calls of one program that are not answered yet. */
export const maxCallsAtOnce = 8;
export const maxCallNameLength = 200;
export const maxCallAnswerBytes = 4_500_000;

export const maxSessionNameLength = 200;
export const maxPathLength = 512;
/** They are kept in one commit, some 20 µs each. */
export const maxFilesPerSession = 1_000;
/** A file is kept in pieces of this size: none of them holds the loop. */
export const pieceBytes = 262_144;
/** Escaped once or twice, it still fits into a request. */
export const maxWriteLength = 2_000_000;
export const maxReadBytes = 65_536;
/** Of a file that is read as a resource, as a whole. */
export const maxResourceBytes = 1_000_000;

/** Calls that wait for a session while another one works in it. */
export const maxWaiting = 16;
/** The head of a message: a thousand rows, of which each character may be six of JSON. Reading it takes some 30 ms. */
export const maxHeadBytes = 4_000_000;
/** Of the program, to one question: some for each file, and for each piece of it. */
export const maxMessages = 20_000;
/** From the start of an interpreter to its first word, on a busy machine. */
export const startTimeoutMs = 20_000;
/** A run by itself that takes longer gives way to others on the processors. */
export const slowMs = 150;
/** Of a listing of variables or packages. */
export const listTimeoutMs = 20_000;
/** What is left of a program's output when it has said that it is done. */
export const drainTimeoutMs = 5_000;
export const maxListed = 1_000;
export const progressEveryMs = 1_000;
