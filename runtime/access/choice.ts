/**
 * Which tools a client is shown, by words: the name of a tool, of a service for all of its tools, `SERVICE:core` and `core` for
 * those that most conversations need, or the name of a profile. A token may carry such words, and so may the URL of a client.
 */
import { catalogue } from '#config/catalogue.ts';
import { profiles } from '#config/profiles.ts';

import { UsageError } from '../errors.ts';
import type { Caller } from './tokens.ts';

/** A tool as words may name it. */
export interface Choosable {
  readonly service: string;
  /** A tool of a service may have another name in the fleet. */
  readonly names: readonly string[];
  readonly isCore: boolean;
}

export type Choice = ReadonlySet<string>;

/** Words for the gateway: the two tools that find all others and call them, or run programs that do. They name no tools themselves. */
export const ways = ['search', 'code'] as const;
type Way = (typeof ways)[number];

export const waysIn = (choice: Choice): readonly Way[] => ways.filter((way) => choice.has(way));

const wordPattern = /^[\w.:-]{1,100}$/;
const mostWords = 200;

/** @throws UsageError for words that can name nothing. */
export function parseChoice(text: string): readonly string[] {
  const words = text.split(',').map((word) => word.trim());
  const services: readonly string[] = catalogue.map(({ name }) => name);
  for (const word of words) {
    const [service = '', part] = word.split(':');
    if (!wordPattern.test(word) || (part !== undefined && (part !== 'core' || !services.includes(service)))) {
      throw new UsageError(
        `"${word}" names no tools. Write names of tools or services, SERVICE:core, core, or one of ${[...Object.keys(profiles), ...ways].join(', ')}.`,
      );
    }
  }
  if (words.length > mostWords) throw new UsageError(`A choice has at most ${mostWords} words.`);
  return words;
}

/** What the words name, with those of profiles. */
export function choiceOf(words: readonly string[]): Choice {
  return new Set(
    words.flatMap((word) => (Object.hasOwn(profiles, word) ? [word, ...(profiles[word] ?? [])] : [word])),
  );
}

export function isChosen(choice: Choice, { service, names, isCore }: Choosable): boolean {
  return (
    choice.has(service) ||
    names.some((name) => choice.has(name)) ||
    (isCore && (choice.has('core') || choice.has(`${service}:core`)))
  );
}

/** What a client is told whose URL asks for tools that nobody here has: an empty list would look as if there were none. */
export function namesNothing(choice: Choice): string {
  const words = [...choice].slice(0, 5).map((word) => JSON.stringify(word.slice(0, 100)));
  return `The URL asks for ?tools= ${words.join(', ')}, which names no tool here. Write names of tools or services, SERVICE:core, core, or one of ${Object.keys(profiles).join(', ')}; without it, everything is listed.`;
}

/** Of tokens that carry a choice; they are few, and asked at each call. */
const known = new WeakMap<ChosenFor, Choice>();

/** Whether the caller's token lets it use the tool; one without a choice, or that searches or writes programs, lets it use what its scope does. */
export function mayUse(caller: ChosenFor, tool: Choosable): boolean {
  const choice = choiceFor(caller);
  return !choice || waysIn(choice).length > 0 || isChosen(choice, tool);
}

type ChosenFor = Pick<Caller, 'tools'>;

function choiceFor(caller: ChosenFor): Choice | undefined {
  if (!caller.tools) return undefined;
  let choice = known.get(caller);
  if (!choice) {
    choice = choiceOf(caller.tools);
    known.set(caller, choice);
  }
  return choice;
}

/**
 * What the URL of a client asks for with `?tools=`; `undefined` where it wants to see everything. Where it does not say, a token that searches
 * or writes programs has said it.
 */
export function askedIn(query: string, caller: ChosenFor = {}): Choice | undefined {
  const text = query === '' ? null : new URLSearchParams(query).get('tools');
  const own = text === null ? choiceFor(caller) : undefined;
  return text === null
    ? own && waysIn(own).length > 0
      ? own
      : undefined
    : choiceOf(
        text
          .split(',')
          .slice(0, mostWords)
          .map((word) => word.trim()),
      );
}
