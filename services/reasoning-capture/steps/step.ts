/** What a step is, as it is stored, and how many of them go to the thread that writes. */
import { maxOptions, maxPremises } from '../limits.ts';

/** In the order of their numbers in the store: only ever added to. */
export const types = ['analysis', 'decision', 'inference', 'reflection'] as const;
export type StepType = (typeof types)[number];
/** Words that others use for an analysis; the word is kept as its subtype. */
export const aliases = ['plan', 'observation', 'action'] as const;

/** Where a step comes from, likewise. A model's own words about itself are a report, whoever brings them. */
export const provenances = [
  'self_report',
  'provider_thinking',
  'provider_summary',
  'tool_event',
  'redacted',
] as const;
export type Provenance = (typeof provenances)[number];

export interface Option {
  readonly label: string;
  readonly score?: number | undefined;
}

/** What belongs to a step besides its content. */
export interface Detail {
  readonly options?: readonly Option[] | undefined;
  readonly chosen?: string | undefined;
  readonly reasoning?: string | undefined;
  readonly premises?: readonly string[] | undefined;
  readonly attrs?: Readonly<Record<string, unknown>> | undefined;
}

export interface Opaque {
  readonly kind: string;
  /** It came as a text, and goes as one. */
  readonly isText: boolean;
  readonly data: Uint8Array;
}

/** A step on its way into the store. */
export interface NewStep {
  readonly chain: string;
  /** `undefined`: the next. */
  readonly seq?: number | undefined;
  readonly type: number;
  readonly subtype?: string | undefined;
  /** `undefined`: when it came. */
  readonly atUs?: number | undefined;
  readonly durUs?: number | undefined;
  readonly parent?: number | undefined;
  readonly confidence?: number | undefined;
  readonly prov: number;
  readonly content: string;
  readonly detail?: string | undefined;
  readonly opaque?: readonly Opaque[] | undefined;
}

/** Bytes that the quota counts for a step, besides its texts: what surrounds them on the disk. */
export const stepBytes = 100;
export const opaqueBytes = 50;
export const chainBytes = 300;
export const evaluationBytes = 100;

export const sizeOf = (content: string, detail: string | undefined, opaque: readonly Opaque[] = []) =>
  stepBytes +
  Buffer.byteLength(content) +
  (detail === undefined ? 0 : Buffer.byteLength(detail)) +
  opaque.reduce((sum, { data }) => sum + data.length + opaqueBytes, 0);

export const typeNumber = (name: StepType): number => types.indexOf(name);
export const provNumber = (name: Provenance): number => provenances.indexOf(name);

/**
 * Many steps side by side, column by column: what goes from thread to thread with the least copying, and is bound to statements as
 * it stands.
 */
export class Pack {
  count = 0;
  /** The chains of the steps, each once. */
  readonly chains: string[] = [];
  readonly chain: Uint32Array;
  /** Which of the given steps it was: some were refused. */
  readonly place: Uint32Array;
  /** 0: the next. */
  readonly seq: Float64Array;
  readonly type: Uint8Array;
  readonly prov: Uint8Array;
  readonly bytes: Uint32Array;
  /** NaN where there is none, or when it came. */
  readonly atUs: Float64Array;
  readonly durUs: Float64Array;
  readonly confidence: Float64Array;
  /** 0 where there is none. */
  readonly parent: Float64Array;
  readonly content: string[] = [];
  /** By place in the pack, where there are any. */
  readonly subtype: Record<number, string> = {};
  readonly detail: Record<number, string> = {};
  readonly opaque: Record<number, readonly Opaque[]> = {};

  constructor(most: number) {
    this.chain = new Uint32Array(most);
    this.place = new Uint32Array(most);
    this.seq = new Float64Array(most);
    this.type = new Uint8Array(most);
    this.prov = new Uint8Array(most);
    this.bytes = new Uint32Array(most);
    this.atUs = new Float64Array(most);
    this.durUs = new Float64Array(most);
    this.confidence = new Float64Array(most);
    this.parent = new Float64Array(most);
  }
}

/** Chains come in runs: the one before is asked first. */
export class Packing {
  readonly pack: Pack;
  readonly #numbers = new Map<string, number>();
  #last = '';
  #lastNumber = 0;
  bytes = 0;

  constructor(most: number) {
    this.pack = new Pack(most);
  }

  add(step: NewStep, place: number): void {
    const { pack } = this;
    const at = pack.count;
    const { seq = 0, atUs = Number.NaN, durUs = Number.NaN, confidence = Number.NaN, parent = 0 } = step;
    pack.chain[at] = this.#numberOf(step.chain);
    pack.place[at] = place;
    pack.seq[at] = seq;
    pack.type[at] = step.type;
    pack.prov[at] = step.prov;
    pack.atUs[at] = atUs;
    pack.durUs[at] = durUs;
    pack.confidence[at] = confidence;
    pack.parent[at] = parent;
    pack.content.push(step.content);
    if (step.subtype !== undefined) pack.subtype[at] = step.subtype;
    if (step.detail !== undefined) pack.detail[at] = step.detail;
    if (step.opaque !== undefined) pack.opaque[at] = step.opaque;
    const bytes = sizeOf(step.content, step.detail, step.opaque);
    pack.bytes[at] = bytes;
    this.bytes += bytes;
    pack.count = at + 1;
  }

  #numberOf(chain: string): number {
    if (chain === this.#last) return this.#lastNumber;
    let number = this.#numbers.get(chain);
    if (number === undefined) {
      number = this.pack.chains.push(chain) - 1;
      this.#numbers.set(chain, number);
    }
    this.#last = chain;
    this.#lastNumber = number;
    return number;
  }
}

/** Its keys in one order, whichever way it came: what is the same has the same text. `undefined` where there is nothing. */
export function detailText({ options, chosen, reasoning, premises, attrs }: Detail): string | undefined {
  const text = JSON.stringify({ options, chosen, reasoning, premises, attrs });
  return text === '{}' ? undefined : text;
}

export const detailIn = (text: string | null): Detail => (text === null ? {} : (JSON.parse(text) as Detail));

/** Why options or premises cannot be taken, if so. */
export function faultOfDetail({ options, chosen, premises }: Detail): string | undefined {
  if (options && options.length > maxOptions) return `options: at most ${maxOptions}`;
  if (premises && premises.length > maxPremises) return `premises: at most ${maxPremises}`;
  if (chosen !== undefined && options && options.length > 0 && !options.some(({ label }) => label === chosen))
    return 'chosen: must be the label of one of the options';
  return undefined;
}
