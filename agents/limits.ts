/** How much of what; times in milliseconds. */

const second = 1_000;

/** How long a claim waits for a task: the longest that there is, as each claim leaves a record. */
export const claimWaitSeconds = 30;
/** A lease is renewed after a third of its time, and so often at least: a cancelled task is heard of by that. */
export const longestBetweenRenewalsMs = 3 * second;
/** Progress is told no more often. */
export const progressMs = second;
/** Who is away is asked again after so long, and then twice as long. */
export const firstDelayMs = second / 4;
export const longestDelayMs = 5 * second;
/** A stop waits so long until tasks are given back. */
export const giveBackMs = 4 * second;
/** Who was refused as a worker asks again. */
export const refusedMs = 15 * second;
/** Between two looks at what waits to be merged: else three times as long as the look took, so that git is asked for a quarter of the time. */
export const longestBetweenLooksMs = 60 * second;
/** A merge that a kill left unfinished is given up within this time; later it may be a person's by now. */
export const longestLeftMs = 60 * 60 * second;
/** How long what is known of a tool counts. */
export const knownToolMs = 30 * second;

/** An answer is read and parsed at once, on the loop. */
export const mostAnswerBytes = 2 * 1024 * 1024;
/** Work in the answer to a claim, of all tasks together: longer work is fetched by itself. What else is told of them has the other half. */
export const mostClaimedBytes = mostAnswerBytes / 2;
/** What the steps of one task have saved. */
export const mostSavedBytes = 16 * 1024 * 1024;
/** What references put into the arguments of one call. */
export const mostInsertedBytes = 3_000_000;
/** Of all steps of a task: each is looked for and looked up on the loop. */
export const mostReferences = 10_000;
/** Of arguments of steps, as the orchestrator and the gateway take them. */
export const deepestArguments = 64;
/** Of JSON: longer values are not handed on with the result, which may have a megabyte. */
export const mostHandedOnBytes = 100_000;
export const mostResultBytes = 800_000;
/** A number of one digit is eleven bytes over gRPC, whose clients take 4 MiB unless they are told otherwise. */
export const mostResultValues = 100_000;
/** Clients of gRPC take a hundred messages in each other: an object is three of them, and what is around the value six. */
export const deepestHandedOn = 30;
/** Of a value that is not handed on. */
export const beginningLength = 1_000;
/** All that is said of a task. */
export const mostWorkBytes = 2 * 1024 * 1024;
export const mostSteps = 200;

/** A task that is done at once. */
export const longestAtOnceMs = 60 * 60 * second;

/** A model's answer, and the tools that it is told of. */
export const modelTimeoutMs = 120 * second;
export const mostModelBytes = 1024 * 1024;
export const mostToldTools = 120;
