/** Times as logs write them. */

/** `2026-11-29T04:02:02.123456Z`, with a space or a comma, with or without a zone. Without one, it is the zone of this host. */
const iso = /^(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?/i;
/** `Nov 29 04:02:02`: RFC 3164, without year and zone. */
const bsd =
  /^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s{1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?/;
/** `29/Nov/2026:04:02:02 +0000`: access logs. */
const access =
  /^(\d\d)\/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})/;
/** `E1129 04:02:02.123456`: klog. */
const klog = /^[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,6})/;

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

export interface Found {
  readonly atMs: number;
  /** How much of the text it took. */
  readonly length: number;
}

const milliseconds = (fraction: string | undefined) =>
  fraction === undefined ? 0 : Math.floor(Number(`0.${fraction}`) * 1_000);

function zoneMs(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  return sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60_000;
}

function moment(parts: readonly number[], zone: string | undefined): number {
  const [year = 0, month = 0, day = 1, hour = 0, minute = 0, second = 0, ms = 0] = parts;
  if (zone === undefined) return new Date(year, month, day, hour, minute, second, ms).getTime();
  return Date.UTC(year, month, day, hour, minute, second, ms) - zoneMs(zone);
}

/** The last year in which that was not in the future, give or take a day. */
function withoutYear(nowMs: number, month: number, rest: readonly number[]): number {
  const year = new Date(nowMs).getFullYear();
  const atMs = moment([year, month, ...rest], undefined);
  return atMs > nowMs + 86_400_000 ? moment([year - 1, month, ...rest], undefined) : atMs;
}

/** A time at the beginning of a text. */
export function timeAt(text: string, nowMs: number): Found | undefined {
  const first = text.charCodeAt(0);
  if (first >= 48 && first <= 57) {
    const date = iso.exec(text);
    if (date) {
      const [all, year, month, day, hour, minute, second, fraction, zone] = date;
      const parts = [
        Number(year),
        Number(month) - 1,
        Number(day),
        Number(hour),
        Number(minute),
        Number(second),
      ];
      return within({ atMs: moment([...parts, milliseconds(fraction)], zone), length: all.length });
    }
    const entry = access.exec(text);
    if (!entry) return undefined;
    const [all, day, month = '', year, hour, minute, second, zone] = entry;
    const parts = [
      Number(year),
      months.indexOf(month),
      Number(day),
      Number(hour),
      Number(minute),
      Number(second),
    ];
    return within({ atMs: moment(parts, zone), length: all.length });
  }
  const entry = bsd.exec(text);
  if (entry) {
    const [all, month = '', day, hour, minute, second, fraction] = entry;
    const rest = [Number(day), Number(hour), Number(minute), Number(second), milliseconds(fraction)];
    return within({ atMs: withoutYear(nowMs, months.indexOf(month), rest), length: all.length });
  }
  const short = klog.exec(text);
  if (!short) return undefined;
  const [all, month, day, hour, minute, second, fraction] = short;
  const rest = [Number(day), Number(hour), Number(minute), Number(second), milliseconds(fraction)];
  return within({ atMs: withoutYear(nowMs, Number(month) - 1, rest), length: all.length });
}

const within = (found: Found): Found | undefined =>
  Number.isFinite(found.atMs) && found.atMs >= 0 ? found : undefined;

/** A value of a field: a text, or seconds, milliseconds, microseconds or nanoseconds since the epoch. */
export function timeOf(value: unknown, nowMs: number): number | undefined {
  if (typeof value === 'string') {
    const found = timeAt(value, nowMs);
    if (found) return found.atMs;
    if (!/^\d{9,19}(?:\.\d+)?$/.test(value)) return undefined;
    return timeOf(Number(value), nowMs);
  }
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 1e8) return undefined;
  if (value < 1e11) return Math.floor(value * 1_000);
  if (value < 1e14) return Math.floor(value);
  if (value < 1e17) return Math.floor(value / 1_000);
  return Math.floor(value / 1_000_000);
}
