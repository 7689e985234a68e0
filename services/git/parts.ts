/** Answers of git with an end mark after each part, read as they come: none is held as a whole, and none holds the process. */

type Take = (part: string) => void;

/** Cuts bytes into texts at each mark; what has no mark yet waits for the next bytes. */
export function partReader(take: Take, mark: number): (chunk: Buffer) => void {
  let waiting: Buffer[] = [];
  const separator = String.fromCharCode(mark);
  return (chunk) => {
    const end = chunk.lastIndexOf(mark);
    if (end < 0) {
      waiting.push(chunk);
      return;
    }
    const text = Buffer.concat([...waiting, chunk.subarray(0, end)]).toString();
    waiting = [chunk.subarray(end + 1)];
    for (const part of text.split(separator)) take(part);
  };
}

/** Keeps those from `start` on, up to `count`, and tells how many there were. */
export function window<Item>(start: number, count: number) {
  const items: Item[] = [];
  let seen = 0;
  return {
    items,
    get seen() {
      return seen;
    },
    add(make: () => Item): void {
      if (seen >= start && items.length < count) items.push(make());
      seen += 1;
    },
  };
}
