/** Every limit of the service, with the reason where the number is not arbitrary. */

/** 64 KiB of UTF-16: some thirty pages, far above a step. */
export const maxContentLength = 65_536;
/** Of what belongs to a step besides: options, premises, reasoning, attributes, as JSON. */
export const maxDetailLength = 65_536;
export const maxNameLength = 256;
export const maxGoalLength = 8_192;
export const maxAttrsLength = 16_384;
export const maxOptions = 64;
export const maxPremises = 64;
/** Signatures and encrypted parts of one step; a provider's has a few kilobytes. */
export const maxOpaqueParts = 16;
export const maxOpaqueBytes = 256 * 1024;

/** A commit of so many takes some 30 ms of the thread that writes; the next in line waits for it. */
export const maxStepsPerBatch = 10_000;
/** Of a batch as lines of JSON: a request has 4 MiB. */
export const maxJsonlLength = 4 * 1024 * 1024;
/** Reasons that an answer tells one by one; all are counted. */
export const maxReasonsTold = 50;
/** A step's row is its chain's number and 20 bits. */
export const maxStepsPerChain = 2 ** 20 - 1;
export const seqBits = 2 ** 20;

/** What waits to be written, of all tokens: beyond it, a call is told to come again. */
export const maxQueueBytes = 64 * 1024 * 1024;
export const maxQueueCalls = 4_096;
/** Of one token, so that it leaves room for others. */
export const maxQueueBytesPerToken = 32 * 1024 * 1024;
export const maxQueueCallsPerToken = 2_048;
/** A group is closed at so many steps: whoever comes then goes with the next commit. */
export const stepsPerGroup = 5_000;

export const maxSteps = 500;
export const defaultSteps = 50;
/** Of a content in a page of steps; export_reasoning has all of it. */
export const shownCharacters = 4_000;
export const excerptLength = 240;
export const maxQueryLength = 256;
export const maxQueryWords = 16;
export const maxDiagramNodes = 200;
export const diagramLabelLength = 60;
export const maxImportLength = 3_500_000;

/** Of a request of OpenTelemetry: its steps are stored in one commit, for which others wait. */
export const maxSpans = 20_000;
export const maxOtlpMessages = 1_000_000;
export const maxStepsPerImport = 20_000;
