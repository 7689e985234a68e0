/**
 * Which tools a question in plain words is about: BM25F (Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted
 * fields", CIKM 2004) over what a tool says of itself. No model, no network.
 */
import type { Steps } from '#runtime/turns.ts';
import { queryWords, terms } from '#runtime/words.ts';

import { related, relatedTogether } from './related-words.ts';
import type { ListedTool } from './surface.ts';

export interface Listing {
  readonly service: string;
  readonly tool: ListedTool;
}

export interface Found extends Listing {
  readonly score: number;
}

/** A term's weight in each tool that has it, by the tool's place in the list. */
export interface ToolIndex {
  readonly listings: readonly Listing[];
  readonly weights: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

/** What a word counts where it stands, and how far a field that is longer than others counts less for each of its words. */
const fields = {
  name: { weight: 4, b: 0.3 },
  title: { weight: 1.5, b: 0.3 },
  service: { weight: 1.5, b: 0 },
  description: { weight: 1.5, b: 0.6 },
  arguments: { weight: 0.7, b: 0.6 },
  argumentDescriptions: { weight: 0.35, b: 0.75 },
} as const;
type Field = keyof typeof fields;
const fieldNames = Object.keys(fields) as Field[];

const k1 = 1.2;
/** Of a word that is only related to one of the question. */
const relatedWeight = 0.5;
const togetherWeight = 0.8;
/** Words of a question that count: what is longer is pasted text. */
const mostTerms = 64;
/** Characters of a field that count: what is longer would drown the rest, and hold the loop. */
const longestField = 4_000;
/** Levels below the arguments whose names and descriptions count. */
const deepest = 4;

/** Made once for a list; a step for each tool. */
export function* indexing(listings: readonly Listing[]): Steps<ToolIndex> {
  const names = new Set(listings.map(({ tool }) => tool.name));
  const documents: Record<Field, readonly string[]>[] = [];
  for (const listing of listings) {
    documents.push(documentOf(listing, names));
    yield;
  }
  const mean = Object.fromEntries(
    fieldNames.map((field) => [
      field,
      documents.reduce((sum, document) => sum + document[field].length, 0) / documents.length || 1,
    ]),
  );
  const weights = new Map<string, Map<number, number>>();
  for (const [place, document] of documents.entries()) {
    for (const field of fieldNames) {
      const { weight, b } = fields[field];
      const share = weight / (1 - b + (b * document[field].length) / (mean[field] ?? 1));
      for (const term of document[field]) {
        const places = weights.get(term) ?? new Map<number, number>();
        weights.set(term, places.set(place, (places.get(place) ?? 0) + share));
      }
    }
    yield;
  }
  return { listings, weights };
}

/** The best first; what has no word of the question is left out. What is equal stays in the order of the list. */
export function find({ listings, weights }: ToolIndex, question: string, limit: number): readonly Found[] {
  const scores = new Map<number, number>();
  const isKnown = (name: string) => terms(name).some((term) => weights.has(term));
  for (const alternatives of asked(question.replaceAll(/(?<=\S )\p{Lu}\p{Ll}+/gu, (name) => isKnown(name) ? name : `${name} entity`))) {
    // A word counts once, as the best of what it may mean.
    const best = new Map<number, number>();
    for (const [term, share] of alternatives) {
      const places = weights.get(term) ?? new Map<number, number>();
      const rarity = Math.log(1 + (listings.length - places.size + 0.5) / (places.size + 0.5));
      for (const [place, weight] of places)
        best.set(place, Math.max(best.get(place) ?? 0, (share * rarity * weight * (k1 + 1)) / (weight + k1)));
    }
    for (const [place, score] of best) scores.set(place, (scores.get(place) ?? 0) + score);
  }
  return [...scores]
    .toSorted(([a, scoreOfA], [b, scoreOfB]) => scoreOfB - scoreOfA || a - b)
    .slice(0, limit)
    .map(([place, score]) => ({ ...(listings[place] as Listing), score }));
}

/** Each word of a question, as the terms that it may stand for and what each counts. */
function asked(question: string): readonly ReadonlyMap<string, number>[] {
  const text = spaced(withKinds(question.slice(0, longestField)));
  const telling = queryWords(text);
  const all = new Set(terms(text).slice(0, mostTerms));
  const alternatives = (words: readonly string[], weight = relatedWeight) =>
    words.map((term) => [term, weight] as const);
  return [
    ...[...all].map(
      (term) =>
        new Map([
          ...alternatives(related(term)),
          // A word such as "who" tells nothing itself, but perhaps what it asks for.
          ...(telling.has(term) ? ([[term, 1]] as const) : []),
        ]),
    ),
    ...relatedTogether(all).map((words) => new Map(alternatives(words, togetherWeight))),
  ];
}

function documentOf({ service, tool }: Listing, names: ReadonlySet<string>): Record<Field, readonly string[]> {
  const { title } = tool as { readonly title?: unknown };
  const said = propertiesIn(tool.inputSchema, deepest);
  // What a description says of other tools is about them.
  const others = (name: string) => (name !== tool.name && names.has(name) ? ' ' : name);
  const termsIn = (text: string) => terms(spaced(text.slice(0, longestField)));
  return {
    name: termsIn(tool.name),
    title: termsIn(typeof title === 'string' ? title : ''),
    service: termsIn(service),
    description: termsIn((tool.description ?? '').replaceAll(/\w+/g, others)),
    arguments: termsIn(said.names.join(' ')),
    argumentDescriptions: termsIn(said.descriptions.join(' ').replaceAll(/\w+/g, others)),
  };
}

/** What a name of something in a question is a name of: "config.yaml" of a file. */
const kinds: readonly (readonly [RegExp, string])[] = [
  [/\bhttps?:\/\/\S+/g, 'url'],
  [/(?<![\w.])v?\d+(?:\.\d+)+\b/g, 'version'],
  [/(?:[\w.~-]*\/)+[\w.-]*|\b[\w-]+\.[a-z]\w{0,4}\b|\b(?:README|LICENSE|Makefile|Dockerfile)\b/g, 'file path'],
];
const withKinds = (text: string) =>
  kinds.reduce((sofar, [pattern, kind]) => sofar.replaceAll(pattern, (name) => `${kind} ${name}`), text);

/** The words of names in camelCase stand apart. */
const spaced = (text: string) => text.replaceAll(/(?<=[\p{Ll}\d])(?=\p{Lu})/gu, ' ');

/** Names and descriptions of the properties of a schema, those inside others too. */
function propertiesIn(
  schema: unknown,
  levels: number,
): { readonly names: readonly string[]; readonly descriptions: readonly string[] } {
  const names: string[] = [];
  const descriptions: string[] = [];
  const visit = (value: unknown, left: number) => {
    if (typeof value !== 'object' || value === null || left < 0) return;
    const { properties, items, anyOf, oneOf, description } = value as Record<string, unknown>;
    if (typeof description === 'string') descriptions.push(description);
    for (const [name, inner] of Object.entries(properties ?? {})) {
      names.push(name);
      visit(inner, left - 1);
    }
    for (const inner of [items, anyOf, oneOf].flat()) visit(inner, left - 1);
  };
  visit(schema, levels);
  return { names, descriptions };
}
