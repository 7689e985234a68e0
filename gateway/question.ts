/** What a question in plain words asks for: terms that tools may say of themselves, each with what it counts. */
import { queryWords, terms } from '#runtime/words.ts';

import { related, relatedTogether } from './related-words.ts';

/** Of a word that is only related to one of the question, and of what several of its words mean together. */
const relatedWeight = 0.5;
const togetherWeight = 0.8;
/** What counts of a question: what is longer is pasted text. */
const longestQuestion = 4_000;
const mostTerms = 64;

/** What a name in a question is a name of: "config.yaml" of a file. */
const kinds: readonly (readonly [RegExp, string])[] = [
  [/\bhttps?:\/\/\S+/g, 'url'],
  [/(?<![\w.])v?\d+(?:\.\d+)+\b/g, 'version'],
  [
    /(?<![\w.~/-])(?:[\w.~-]*\/)+[\w.-]*|\b[\w-]+\.[a-z]\w{0,4}\b|\b(?:README|LICENSE|Makefile|Dockerfile)\b/g,
    'file path',
  ],
];
/** Of somebody or something, where no tool has the word. */
const properName = /(?<=\S )\p{Lu}\p{Ll}+/gu;

/**
 * For each word, and for words that mean something together, the terms that it may stand for: the best of them counts.
 *
 * @param isKnown whether any tool has the term.
 */
export function askedBy(
  question: string,
  isKnown: (term: string) => boolean,
): readonly ReadonlyMap<string, number>[] {
  const text = withKinds(question.slice(0, longestQuestion), isKnown);
  const telling = queryWords(text);
  const asked = new Set(terms(text).slice(0, mostTerms));
  return [
    ...[...asked].map((term) => {
      const choice = weighted(related(term), relatedWeight);
      // A word such as "who" tells nothing itself, but perhaps what it asks for.
      return telling.has(term) ? choice.set(term, 1) : choice;
    }),
    ...relatedTogether(asked).map((choice) => weighted(choice, togetherWeight)),
  ];
}

const weighted = (choice: readonly string[], weight: number) =>
  new Map(choice.map((term) => [term, weight] as const));

function withKinds(question: string, isKnown: (term: string) => boolean): string {
  let text = spaced(question).replaceAll(properName, (name) =>
    terms(name).some(isKnown) ? name : `${name} entity`,
  );
  for (const [pattern, kind] of kinds) text = text.replaceAll(pattern, (name) => `${kind} ${name}`);
  return text;
}

/** The words of names in camelCase stand apart. */
export const spaced = (text: string) => text.replaceAll(/(?<=[\p{Ll}\d])(?=\p{Lu})/gu, ' ');
