/** What a program prints: the beginning and the end are kept, whatever it is that it prints in between. */
export interface Output {
  take(chunk: Buffer): void;
  /** When the mark has come, which is the last that the runner writes. */
  readonly isWhole: Promise<void>;
  /** Without the mark. */
  read(): { readonly text: string; readonly bytes: number; readonly isCut: boolean };
}

export function openOutput(mark: string, mostBytes: number): Output {
  const half = mostBytes / 2;
  const { promise, resolve } = Promise.withResolvers<void>();
  const first: Buffer[] = [];
  let room = half;
  let last: Buffer[] = [];
  let lastBytes = 0;
  let bytes = 0;
  let end = '';

  function take(chunk: Buffer): void {
    bytes += chunk.length;
    end = (end + chunk.subarray(-mark.length).toString('latin1')).slice(-mark.length);
    const fitting = chunk.subarray(0, room);
    if (fitting.length > 0) first.push(fitting);
    room -= fitting.length;
    const rest = chunk.subarray(fitting.length);
    if (rest.length > 0) last.push(rest);
    lastBytes += rest.length;
    for (let oldest = last[0]; oldest && lastBytes - oldest.length >= half + mark.length; oldest = last[0]) {
      last = last.slice(1);
      lastBytes -= oldest.length;
    }
    if (end === mark) resolve();
  }

  return {
    take,
    isWhole: promise,
    read() {
      const tail = Buffer.concat(last).subarray(-half - mark.length);
      const left = bytes - (half - room) - tail.length;
      const all =
        left > 0
          ? `${Buffer.concat(first).toString()}\n… ${left} bytes are left out here …\n${tail.toString()}`
          : Buffer.concat([...first, tail]).toString();
      const isMarked = all.endsWith(mark);
      const text = isMarked ? all.slice(0, -mark.length) : all;
      return { text, bytes: bytes - (isMarked ? mark.length : 0), isCut: left > 0 };
    },
  };
}
