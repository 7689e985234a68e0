/** How much structure a JSON text has: what parsing and checking cost, where its length does not tell. */

/** Values, keys and brackets, more than the largest sensible call has. */
export const mostOfCalls = 100_000;

const quote = 0x22;
const backslash = 0x5c;
const isPart = new Uint8Array(256);
for (const character of ',:[{') isPart[character.charCodeAt(0)] = 1;

/** Whether a text has more than 100,000 keys and values, or so many. Its strings count as one part each, however long. */
export function isTooComplex(bytes: Uint8Array, mostParts = mostOfCalls): boolean {
  // Shorter texts cannot have so many.
  return bytes.length > mostParts && partsOf(bytes, mostParts) > mostParts;
}

/** How many parts a text has; one more than the most when there are more. */
export function partsOf(bytes: Uint8Array, mostParts = mostOfCalls): number {
  let parts = 0;
  for (let at = 0; at < bytes.length && parts <= mostParts; at += 1) {
    const byte = bytes[at] as number;
    if (byte === quote) at = endOfString(bytes, at + 1);
    else if (isPart[byte] === 1) parts += 1;
  }
  return parts;
}

/**
 * Where the quote is that ends the string; strings are most of a long text, so they are passed over by search. Where one quote is
 * escaped, the next one is often near: each search would cost more than the bytes between them.
 */
function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length;) {
    const end = bytes.indexOf(quote, at);
    if (end < 0) break;
    let escapes = 0;
    while (bytes[end - 1 - escapes] === backslash && end - 1 - escapes >= at) escapes += 1;
    if (escapes % 2 === 0) return end;
    at = end + 1;
    for (const until = at + nearBytes; at < until; at += 1) {
      if (bytes[at] === backslash) at += 1;
      else if (bytes[at] === quote) return at;
    }
  }
  return bytes.length;
}

const nearBytes = 64;
