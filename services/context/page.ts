/** Long texts, page by page. */

interface Page {
  readonly text: string;
  /** Where the next page begins. */
  readonly next: number | undefined;
}

/** So many characters at most, up to the end of a line where one ends in the second half. */
export function pageOf(text: string, start: number, limit: number): Page {
  if (text.length - start <= limit) return { text: text.slice(start), next: undefined };
  const newline = text.lastIndexOf('\n', start + limit - 1);
  const end = newline >= start + limit / 2 ? newline + 1 : start + limit;
  const splitsPair = isHigh(text.charCodeAt(end - 1)) && end - 1 > start;
  const next = splitsPair ? end - 1 : end;
  return { text: text.slice(start, next), next };
}

const isHigh = (unit: number) => unit >= 0xd800 && unit < 0xdc00;
