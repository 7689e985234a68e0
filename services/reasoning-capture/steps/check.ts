/**
 * Checks the steps of a batch one by one: a faulty one is refused with its reason, and costs the others nothing. Written by hand,
 * because a schema library takes longer for a step than the store does.
 */
import { isDay } from '#runtime/time.ts';

import {
  maxAttrsLength,
  maxContentLength,
  maxDetailLength,
  maxNameLength,
  maxOpaqueBytes,
  maxOpaqueParts,
  maxStepsPerChain,
} from '../limits.ts';
import {
  aliases,
  detailText,
  faultOfDetail,
  provenances,
  types,
  type Detail,
  type NewStep,
  type Opaque,
  type Option,
} from './step.ts';

/** Why a step is refused: a path and what is wrong there. */
export class Refused {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

const typeNumbers = new Map<unknown, number>(types.map((name, number) => [name, number]));
const subtypes = new Set<unknown>(aliases);
const provNumbers = new Map<unknown, number>(provenances.map((name, number) => [name, number]));
const hexId = /^[0-9a-f]{32}$/;
/** Milliseconds of the year 2200: what is later was meant in another unit. */
const latestMs = 7_258_118_400_000;

export const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.isWellFormed() && !value.includes('\0');

/** As lines of JSON have it, in the order of a tuple. */
const tupleFields = ['chain_id', 'seq', 'type', 'ts', 'parent_seq', 'confidence', 'content'] as const;

type Given = Readonly<Record<string, unknown>>;

/** A tuple `[chain_id, seq, type, ts, parent_seq, confidence, content]`, whose unset places are null. */
export function stepOfRow(row: unknown, chain: string | undefined): NewStep | Refused {
  if (!Array.isArray(row)) return new Refused('must be a list');
  if (row.length !== tupleFields.length) return new Refused(`must have ${tupleFields.length} values`);
  const draft = new Draft(chain);
  for (let at = 0; at < tupleFields.length; at += 1) {
    const value: unknown = row[at];
    if (value === null || value === undefined) continue;
    const fault = draft.take(tupleFields[at] as string, value);
    if (fault !== undefined) return new Refused(fault);
  }
  return draft.step();
}

export function stepOf(given: unknown, chain: string | undefined): NewStep | Refused {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return new Refused('must be an object');
  const draft = new Draft(chain);
  for (const key in given) {
    const value = (given as Given)[key];
    if (value === null || value === undefined) continue;
    const fault = draft.take(key, value);
    if (fault !== undefined) return new Refused(fault);
  }
  return draft.step();
}

class Draft {
  chain: string | undefined;
  seq: number | undefined;
  type: number | undefined;
  subtype: string | undefined;
  atUs: number | undefined;
  durUs: number | undefined;
  parent: number | undefined;
  confidence: number | undefined;
  prov = 0;
  content: string | undefined;
  detail: { -readonly [Name in keyof Detail]: Detail[Name] } | undefined;
  opaque: readonly Opaque[] | undefined;

  constructor(chain: string | undefined) {
    this.chain = chain;
  }

  /** @returns what is wrong with the value. */
  take(key: string, value: unknown): string | undefined {
    switch (key) {
      case 'chain_id':
        if (typeof value !== 'string' || !hexId.test(value)) return 'chain_id: must be 32 hex digits';
        this.chain = value;
        return undefined;
      case 'seq':
        if (!isSeq(value)) return `seq: must be a whole number from 1 to ${maxStepsPerChain}`;
        this.seq = value;
        return undefined;
      case 'type':
        this.type = typeNumbers.get(value);
        if (this.type !== undefined) return undefined;
        if (!subtypes.has(value)) return `type: must be one of ${[...types, ...aliases].join(', ')}`;
        this.type = 0;
        this.subtype = value as string;
        return undefined;
      case 'ts':
        this.atUs = microsecondsIn(value);
        return this.atUs === undefined
          ? 'ts: must be milliseconds since 1970, or an ISO 8601 time with Z or an offset'
          : undefined;
      case 'duration_ms':
        if (typeof value !== 'number' || !(value >= 0 && value < latestMs))
          return 'duration_ms: must be 0 or more';
        this.durUs = Math.round(value * 1_000);
        return undefined;
      case 'parent_seq':
      case 'about_seq':
        if (!isSeq(value)) return `${key}: must be the seq of an earlier step`;
        this.parent = value;
        return undefined;
      case 'confidence':
        if (typeof value !== 'number' || !(value >= 0 && value <= 1))
          return 'confidence: must be from 0 to 1';
        this.confidence = value;
        return undefined;
      case 'provenance': {
        const prov = provNumbers.get(value);
        if (prov === undefined) return `provenance: must be one of ${provenances.join(', ')}`;
        this.prov = prov;
        return undefined;
      }
      case 'content':
      case 'question':
      case 'conclusion':
      case 'reflection':
        if (!isText(value)) return `${key}: must be well-formed Unicode without NUL`;
        if (value.length > maxContentLength) return `${key}: at most ${maxContentLength} characters`;
        this.content = value;
        return undefined;
      case 'subtype':
        if (!isText(value) || value.length > maxNameLength)
          return `subtype: at most ${maxNameLength} characters`;
        this.subtype = value;
        return undefined;
      case 'opaque': {
        const opaque = opaqueIn(value);
        if (typeof opaque === 'string') return opaque;
        this.opaque = opaque;
        return undefined;
      }
      default:
        return this.#takeDetail(key, value);
    }
  }

  #takeDetail(key: string, value: unknown): string | undefined {
    this.detail ??= {};
    switch (key) {
      case 'options': {
        const options = optionsIn(value);
        if (typeof options === 'string') return options;
        this.detail.options = options;
        return undefined;
      }
      case 'chosen':
      case 'reasoning':
        if (!isText(value)) return `${key}: must be well-formed Unicode without NUL`;
        this.detail[key] = value;
        return undefined;
      case 'premises':
        if (!Array.isArray(value) || !value.every(isText)) return 'premises: must be a list of texts';
        this.detail.premises = value;
        return undefined;
      case 'attrs': {
        const attrs = attrsIn(value);
        if (typeof attrs === 'string') return attrs;
        this.detail.attrs = attrs;
        return undefined;
      }
      default:
        return `unknown field ${JSON.stringify(key.slice(0, 50))}`;
    }
  }

  step(): NewStep | Refused {
    const { chain, seq, type, content, parent, detail } = this;
    if (chain === undefined) return new Refused('chain_id: missing');
    if (type === undefined) return new Refused('type: missing');
    if (content === undefined) return new Refused('content: missing');
    if (seq !== undefined && parent !== undefined && parent >= seq) return new Refused(notEarlier);
    let text: string | undefined;
    if (detail !== undefined) {
      const fault = faultOfDetail(detail);
      if (fault !== undefined) return new Refused(fault);
      text = detailText(detail);
      if (text !== undefined && text.length > maxDetailLength)
        return new Refused(
          `options, premises, reasoning and attrs: together at most ${maxDetailLength} characters`,
        );
    }
    return {
      chain,
      seq,
      type,
      subtype: this.subtype,
      atUs: this.atUs,
      durUs: this.durUs,
      parent,
      confidence: this.confidence,
      prov: this.prov,
      content,
      detail: text,
      opaque: this.opaque,
    };
  }
}

export const notEarlier = 'parent_seq: must be the seq of an earlier step';

const isSeq = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxStepsPerChain;

function microsecondsIn(value: unknown): number | undefined {
  const ms =
    typeof value === 'number' ? value : typeof value === 'string' ? isoMilliseconds(value) : Number.NaN;
  return ms >= 0 && ms < latestMs ? Math.round(ms * 1_000) : undefined;
}

/** Without an offset it would be another time on another host. */
const isoTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3}(\d{0,3})\d*)?)?(?:Z|[+-]\d\d:?\d\d))?$/i;

/** With what comes after the milliseconds, which a `Date` loses. */
function isoMilliseconds(text: string): number {
  const found = isoTime.exec(text);
  return found && isDay(text) ? Date.parse(text) + Number(`0.${found[1] ?? ''}`) : Number.NaN;
}

function optionsIn(value: unknown): readonly Option[] | string {
  const wrong = 'options: must be a list of {label, score?}';
  if (!Array.isArray(value)) return wrong;
  const options: Option[] = [];
  for (const given of value as unknown[]) {
    const { label, score, ...rest } = (typeof given === 'string' ? { label: given } : (given ?? {})) as Given;
    if (!isText(label) || Object.keys(rest).length > 0) return wrong;
    if (score !== undefined && score !== null && !Number.isFinite(score))
      return 'options: a score is a number';
    options.push({ label, ...(typeof score === 'number' && { score }) });
  }
  return options;
}

/** @returns the same, or what is wrong with it. */
export function attrsIn(value: unknown): Readonly<Record<string, unknown>> | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'attrs: must be an object';
  try {
    if (JSON.stringify(value).length <= maxAttrsLength) return value as Record<string, unknown>;
    return `attrs: at most ${maxAttrsLength} characters as JSON`;
  } catch {
    return 'attrs: nested too deep';
  }
}

/** `[{kind, data, encoding?}]`: a text as it is, or bytes in base64. */
export function opaqueIn(value: unknown): readonly Opaque[] | string {
  const wrong = 'opaque: must be a list of {kind, data, encoding?}';
  if (!Array.isArray(value)) return wrong;
  if (value.length > maxOpaqueParts) return `opaque: at most ${maxOpaqueParts} parts`;
  const parts: Opaque[] = [];
  let bytes = 0;
  for (const given of value as unknown[]) {
    const { kind, data, encoding, ...rest } = (given ?? {}) as Given;
    if (!isText(kind) || kind.length > maxNameLength || typeof data !== 'string') return wrong;
    if (Object.keys(rest).length > 0 || (encoding !== undefined && encoding !== 'base64')) return wrong;
    if (!data.isWellFormed()) return 'opaque: half a character cannot be kept byte for byte';
    const isPlain = encoding !== 'base64';
    const payload = Buffer.from(data, isPlain ? 'utf8' : 'base64');
    if (!isPlain && payload.toString('base64') !== data) return 'opaque: data is not base64';
    bytes += payload.length;
    if (bytes > maxOpaqueBytes) return `opaque: at most ${maxOpaqueBytes} bytes`;
    parts.push({ kind, isText: isPlain, data: payload });
  }
  return parts;
}
