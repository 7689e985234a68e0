/** Figures as people read them. */

/** The largest unit, and the next where it says more: `42 s`, `5 min`, `3 h 20 min`, `2 d 4 h`. */
export function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (minutes === 0) return `${seconds} s`;
  if (hours === 0) return `${minutes} min`;
  if (days === 0) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

/** Three figures at most: `0.4 ms`, `42 ms`, `1.3 s`, `45 s`. */
export function latencyText(ms: number | null): string {
  if (ms === null) return '–';
  if (ms >= 999.5) return `${(ms / 1_000).toFixed(ms < 9_950 ? 1 : 0)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** `0.4 MB`, `118 MB`, `1.2 GB`. */
export function sizeText(bytes: number | null): string {
  if (bytes === null) return '–';
  const megabytes = bytes / 1e6;
  if (megabytes >= 999.5) return `${(megabytes / 1_000).toFixed(1)} GB`;
  return `${megabytes.toFixed(megabytes < 10 ? 1 : 0)} MB`;
}

/** Rounded down: 100 % means that nothing was missed. */
export function shareText(share: number | null): string {
  if (share === null) return '–';
  return share === 1 ? '100 %' : `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

/** One figure after the point: `81.7 %`. */
export const percentText = (share: number) => `${(share * 100).toFixed(1)} %`;

const grouped = new Intl.NumberFormat('en');

export function countText(count: number): string {
  return grouped.format(count);
}

/** Rounded up: 0 % means that none failed. */
export function errorText({ calls, errors }: { readonly calls: number; readonly errors: number }): string {
  if (calls === 0) return '–';
  if (errors === 0) return '0 %';
  const percent = (100 * errors) / calls;
  return `${(percent < 10 ? Math.ceil(percent * 10) / 10 : Math.ceil(percent)).toString()} %`;
}

/** `2026-11-20 14:05` in UTC: a page does not know where who reads it is. */
export function instantText(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)}`;
}
