/** What a long command is doing, in one line that renews itself; nothing where nobody looks. */
const renewEveryMs = 100;

export interface Progress extends Disposable {
  /** Replaces the line; called as often as one likes. */
  tell(line: string): void;
}

export function showProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  let toldAtMs = 0;
  const clear = () => {
    if (toldAtMs > 0) stream.write('\r\u001B[K');
  };
  return {
    tell(line) {
      const nowMs = performance.now();
      if (!stream.isTTY || nowMs < toldAtMs + renewEveryMs) return;
      toldAtMs = nowMs;
      stream.write(`\r\u001B[K${line.slice(0, (stream.columns || 80) - 1)}`);
    },
    [Symbol.dispose]: clear,
  };
}

/** Decimal units, as disks are sold and `ls -h --si` prints them. */
export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1_000;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1_000;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export const secondsText = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
