/**
 * Which tools a question in plain words is about: BM25F (Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted
 * fields", CIKM 2004) over what a tool says of itself. No model, no network.
 */
import type { Steps } from '#runtime/turns.ts';
import { terms } from '#runtime/words.ts';

import { askedBy, spaced } from './question.ts';
import type { ListedTool } from './surface.ts';

export interface Listing {
  readonly service: string;
  readonly tool: ListedTool;
}

export interface Found extends Listing {
  readonly score: number;
}

/** What each term counts in the tools that have it, by their places in the list. */
export interface ToolIndex {
  readonly listings: readonly Listing[];
  readonly weights: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

/** What a word counts where it stands, and how much less in a text that is longer than others. */
const fields = {
  name: { weight: 4, b: 0.3 },
  title: { weight: 1.5, b: 0.3 },
  service: { weight: 1.5, b: 0 },
  description: { weight: 1.5, b: 0.6 },
  arguments: { weight: 0.7, b: 0.6 },
  argumentDescriptions: { weight: 0.35, b: 0.75 },
} as const;
type Field = keyof typeof fields;
type Document = Readonly<Record<Field, readonly string[]>>;
const fieldNames = Object.keys(fields) as Field[];

const k1 = 2;
/** More than all words can bring: who names a tool means it, unless the name is a word of the language. */
const namedScore = 1_000;
const plainWord = /^[a-z]+$/;
/** Characters of a field that count: what is longer would drown the rest, and hold the loop. */
const longestField = 4_000;
/** Schemas within schemas whose arguments count. */
const deepest = 4;

/** Made once for a list. A step takes one tool. */
export function* indexing(listings: readonly Listing[]): Steps<ToolIndex> {
  const names = new Set(listings.map(({ tool }) => tool.name));
  const documents: Document[] = [];
  for (const listing of listings) {
    documents.push(documentOf(listing, names));
    yield;
  }
  const weights = new Map<string, Map<number, number>>();
  for (const field of fieldNames) {
    const { weight, b } = fields[field];
    const total = documents.reduce((sum, document) => sum + document[field].length, 0);
    const mean = total / documents.length || 1;
    for (const [place, document] of documents.entries()) {
      const share = weight / (1 - b + (b * document[field].length) / mean);
      for (const term of document[field]) {
        const places = weights.get(term) ?? new Map<number, number>();
        weights.set(term, places.set(place, (places.get(place) ?? 0) + share));
      }
      yield;
    }
  }
  return { listings, weights };
}

/**
 * The best first; what has no word of the question is left out. What is equal stays in the order of the list.
 *
 * @param admits which tools may be found: those that a caller may use.
 */
export function find(
  { listings, weights }: ToolIndex,
  question: string,
  limit: number,
  admits: (listing: Listing) => boolean = () => true,
): readonly Found[] {
  const scores = new Map<number, number>();
  const add = (place: number, score: number) => scores.set(place, (scores.get(place) ?? 0) + score);
  for (const choice of askedBy(question, (term) => weights.has(term))) {
    const best = new Map<number, number>();
    for (const [term, share] of choice) {
      const places = weights.get(term) ?? new Map<number, number>();
      const rarity = Math.log(1 + (listings.length - places.size + 0.5) / (places.size + 0.5));
      for (const [place, weight] of places) {
        const score = (share * rarity * weight * (k1 + 1)) / (weight + k1);
        best.set(place, Math.max(best.get(place) ?? 0, score));
      }
    }
    for (const [place, score] of best) add(place, score);
  }
  const named = new Set(question.slice(0, longestField).split(/[^\w-]+/));
  for (const [place, { tool }] of listings.entries()) {
    if (named.has(tool.name) && !plainWord.test(tool.name)) add(place, namedScore);
  }
  return [...scores]
    .map(([place, score]) => ({ place, listing: listings[place] as Listing, score }))
    .filter(({ listing }) => admits(listing))
    .toSorted((a, b) => b.score - a.score || a.place - b.place)
    .slice(0, limit)
    .map(({ listing, score }) => ({ ...listing, score }));
}

function documentOf({ service, tool }: Listing, names: ReadonlySet<string>): Document {
  const { name, description = '', inputSchema, title } = tool;
  const said = argumentsOf(inputSchema);
  // What a description says of other tools is about them.
  const own = (text: string) =>
    text.slice(0, longestField).replaceAll(/\w+/g, (word) => (word !== name && names.has(word) ? ' ' : word));
  return {
    name: termsOf(name),
    title: termsOf(typeof title === 'string' ? title : ''),
    service: termsOf(service),
    description: termsOf(own(description)),
    arguments: termsOf(said.names.join(' ')),
    argumentDescriptions: termsOf(own(said.descriptions.join(' '))),
  };
}

const termsOf = (text: string) => terms(spaced(text.slice(0, longestField)));

/** Names and descriptions of the arguments, and of what is inside them. */
function argumentsOf(schema: unknown): {
  readonly names: readonly string[];
  readonly descriptions: readonly string[];
} {
  const names: string[] = [];
  const descriptions: string[] = [];
  const visit = (value: unknown, levels: number) => {
    if (typeof value !== 'object' || value === null || levels < 0) return;
    const { properties, items, anyOf, oneOf, description } = value as Record<string, unknown>;
    if (typeof description === 'string') descriptions.push(description);
    for (const [name, inner] of Object.entries(properties ?? {})) {
      names.push(name);
      visit(inner, levels - 1);
    }
    for (const inner of [items, anyOf, oneOf].flat()) visit(inner, levels - 1);
  };
  visit(schema, deepest);
  return { names, descriptions };
}
