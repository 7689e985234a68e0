/** What may stand in JSON that the ledger keeps as text. Pure. */

/**
 * As JSON is written: half a surrogate pair and NUL are told by their numbers there, which the same characters after a backslash of
 * their own are not.
 */
const unstorable = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** Whether all of its texts and names are well-formed Unicode without NUL. @param text as `JSON.stringify` writes it. */
export const isStorableJson = (text: string): boolean => !unstorable.test(text);

/** Deeper values cannot be told on by all that they pass through; REST takes no deeper ones either. */
export const deepest = 64;
