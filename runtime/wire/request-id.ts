/** The ids of requests in JSON-RPC: chosen by clients, kept while a call runs, and sent back. */

/** No client that we know sends a hundred. */
const mostCharacters = 1_000;

/** What is wrong with the id of a request; `undefined` where it is good, or there is none. */
export function flawOfId(id: unknown): string | undefined {
  if (typeof id === 'string' && id.length > mostCharacters)
    return 'The id is longer than 1,000 characters: choose a shorter one';
  // JSON's readers round such a number.
  if (typeof id === 'number' && !Number.isSafeInteger(id))
    return 'The id must be a string, or an integer below 2^53: this one would not come back as it was sent';
  return undefined;
}
