/** What a query asks for: words and times. */
import { longestQuery, queryWords } from '#runtime/words.ts';

import { periodsIn, type Calendar, type Period } from './dates.ts';

export interface Query {
  /** The terms to look for, each with a word it came from. */
  words: ReadonlyMap<string, string>;
  /** Times the query speaks of. */
  periods: readonly Period[];
  /** Whether it asks for a time. */
  asksWhen: boolean;
}

const whenQuestion = /^\W*when\b|\b(?:what|which) (?:date|day|week|month|year|time)\b|\bhow long\b/i;
const timeWords =
  /\b(?:yesterday|to(?:day|night|morrow)|last|next|ago|since|recently|just|earlier|soon|(?:day|week|month|year)s?|weekend|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october|november|december|(?:19|20)\d\d)\b/i;

/** Whether a text tells a time, in words or as a date. */
export const tellsTime = (text: string) => timeWords.test(text);

export function parseQuery(text: string, calendar: Calendar): Query {
  const head = text.slice(0, longestQuery);
  return {
    words: queryWords(head),
    periods: periodsIn(head, calendar),
    asksWhen: whenQuestion.test(head),
  };
}
