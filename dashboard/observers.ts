/** Who does best, as those processes tell it that the catalogue says do: asked now and then, for all who look. */
import { catalogue, type CatalogueEntry } from '#config/catalogue.ts';
import type { Standings } from '#runtime/process/standings.ts';

export interface Observer extends Standings {
  /** The process that tells it. */
  readonly name: string;
}

/** Such figures change slowly, and take their process a while. */
const freshMs = 10_000;
/** One that does not answer is shown as it was for so long; then it is left out. */
const keptMs = 60_000;

export class Observers {
  readonly #read: (entry: CatalogueEntry) => Promise<Standings | undefined>;
  readonly #now: () => number;
  readonly #heard = new Map<string, { readonly atMs: number; readonly observer: Observer }>();
  #asked: { readonly atMs: number; readonly answer: Promise<readonly Observer[]> } | undefined;

  constructor(read: (entry: CatalogueEntry) => Promise<Standings | undefined>, now: () => number) {
    this.#read = read;
    this.#now = now;
  }

  /** Those that run, in the order of the catalogue. */
  async known(): Promise<readonly Observer[]> {
    const atMs = this.#now();
    // A clock that was set back does not keep it for ever.
    if (!this.#asked || Math.abs(atMs - this.#asked.atMs) >= freshMs)
      this.#asked = { atMs, answer: this.#ask() };
    return this.#asked.answer;
  }

  async #ask(): Promise<readonly Observer[]> {
    const telling = catalogue.filter(({ standings }: CatalogueEntry) => standings);
    const all = await Promise.all(telling.map(async (entry) => this.#of(entry)));
    return all.filter((observer) => observer !== undefined);
  }

  async #of(entry: CatalogueEntry): Promise<Observer | undefined> {
    const { name } = entry;
    const standings = await this.#read(entry);
    const atMs = this.#now();
    if (standings) this.#heard.set(name, { atMs, observer: { name, ...standings } });
    const heard = this.#heard.get(name);
    return heard && Math.abs(atMs - heard.atMs) < keptMs ? heard.observer : undefined;
  }
}
