/** Times that a question speaks of, in English: days, months, years and seasons, with a year or without, and "last week". */

/** First instant and the one after the last, as ISO texts that compare with `occurred_at`. */
export interface Period {
  readonly from: string;
  readonly until: string;
  /** A day says more than a month. */
  readonly isDay: boolean;
}

export interface Calendar {
  readonly nowIso: string;
  /** Those that "in May" may mean; read only when it is needed. */
  readonly years: () => readonly number[];
}

const monthNames =
  'january february march april may june july august september october november december'.split(' ');
const seasons = new Map(Object.entries({ spring: 2, summer: 5, autumn: 8, fall: 8, winter: 11 }));

const day = String.raw`(?<day>\d{1,2})(?:st|nd|rd|th)?\b`;
const month = String.raw`(?<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b`;
const year = String.raw`(?<year>(?:19|20)\d\d)\b`;
const season = `(?<season>${[...seasons.keys()].join('|')})`;

type Groups = Readonly<Record<string, string | undefined>>;

// What one has taken is no longer there for those after it.
const forms: readonly (readonly [RegExp, (groups: Groups, calendar: Calendar) => Period[]])[] = [
  [form(`${year}-(?<number>0[1-9]|1[0-2])(?:-(?<day>\\d\\d)\\b)?(?!\\d)`), dates],
  [form(`${day}(?: of)? ${month}(?:,? ?${year})?`), dates],
  [form(`${month} ${day}(?:, ?${year}| ${year})?`), dates],
  [form(`${month},? ${year}`), dates],
  // "may" and "march" alone are seldom months.
  [form(`(?:in|during|of|since|until|by|early|late|last) ${month}`), dates],
  [form(`${season}(?: of)? ${year}`), ({ season, year }) => [seasonOf(Number(year), season)]],
  [form(`last ${season}`), ({ season }, calendar) => lastSeason(season, calendar)],
  [form(`(?:in|during|since) ${year}`), ({ year }) => [period(Number(year), 0, 1, Number(year) + 1, 0, 1)]],
  [form('(?<which>today|yesterday|last (?:week|month|year))'), relative],
];

function form(pattern: string): RegExp {
  return new RegExp(String.raw`\b${pattern}`, 'gi');
}

export function periodsIn(text: string, calendar: Calendar): Period[] {
  const found: Period[] = [];
  let rest = text;
  for (const [pattern, read] of forms) {
    rest = rest.replaceAll(pattern, (...match: unknown[]) => {
      found.push(...read(match.at(-1) as Groups, calendar));
      return '#';
    });
  }
  return found;
}

function dates({ year, number, month = '', day }: Groups, { years }: Calendar): Period[] {
  const m = number
    ? Number(number) - 1
    : monthNames.findIndex((name) => name.startsWith(month.slice(0, 3).toLowerCase()));
  const d = Number(day ?? 0);
  if (d > 31) return [];
  // The day before and the day after, since people tell what will happen tomorrow, and what happened yesterday.
  return (year ? [Number(year)] : years()).map((y) =>
    d > 0 ? { ...period(y, m, d - 1, y, m, d + 2), isDay: true } : period(y, m, 1, y, m + 1, 2),
  );
}

const seasonOf = (y: number, name = ''): Period => {
  const m = seasons.get(name.toLowerCase()) ?? 0;
  return period(y, m, 1, y, m + 3, 2);
};

/** The last one that has begun: people say so in autumn of the summer that has just passed. */
function lastSeason(name: string | undefined, { nowIso }: Calendar): Period[] {
  const thisYear = seasonOf(Number(nowIso.slice(0, 4)), name);
  return [thisYear.until <= nowIso ? thisYear : seasonOf(Number(nowIso.slice(0, 4)) - 1, name)];
}

function relative({ which = '' }: Groups, { nowIso }: Calendar): Period[] {
  const [y = 0, m = 1, d = 1] = nowIso.slice(0, 10).split('-').map(Number);
  switch (which.toLowerCase()) {
    case 'today':
      return [{ ...period(y, m - 1, d, y, m - 1, d + 1), isDay: true }];
    case 'yesterday':
      return [{ ...period(y, m - 1, d - 1, y, m - 1, d), isDay: true }];
    case 'last week': {
      const monday = d - ((new Date(`${nowIso.slice(0, 10)}T00:00Z`).getUTCDay() + 6) % 7);
      return [period(y, m - 1, monday - 7, y, m - 1, monday)];
    }
    case 'last month':
      return [period(y, m - 2, 1, y, m - 1, 1)];
    default:
      return [period(y - 1, 0, 1, y, 0, 1)];
  }
}

type Day = readonly [year: number, month: number, day: number];

function period(...[y, m, d, toY, toM, toD]: [...Day, ...Day]): Period {
  return { from: iso(y, m, d), until: iso(toY, toM, toD), isDay: false };
}

/** Months and days may be out of range; years have four digits. */
function iso(...[y, m, d]: Day): string {
  return new Date(Date.UTC(y, m, d)).toISOString();
}
