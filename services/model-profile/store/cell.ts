/**
 * The sums of one model, one kind of task and one day (UTC). All are whole numbers, so that taking a decision's part out again when its
 * outcome is revised leaves exactly what would be there without it, whatever the order.
 */
import { errorKinds, sources } from '../vocabulary.ts';
import { Reader, Writer } from './bytes.ts';
import { addTo, emptySketch, merge, type Sketch } from './sketch.ts';

/** Outcomes, confidences and scores are kept in billionths. */
export const unit = 1e9;
/** Confidences are kept in so many bins of equal width: all counts of bins that divide it are exact. */
export const fineBins = 120;
/** A forecast of 0 or 1 that fails has no finite log score: it counts as if it were this far from the end. */
export const leastChance = 1e-6;

/** Values of one kind, such as latencies. */
export interface Spread {
  n: number;
  /** In units of the sketch. */
  sum: number;
  readonly sketch: Sketch;
}

/** Decisions whose outcome comes from one source. */
export interface Judged {
  n: number;
  successes: number;
  failures: number;
  /** Billionths, as all sums below. */
  sumOutcome: number;
  sumOutcomeSquared: number;
  /** Of those with a confidence. */
  forecasts: number;
  clamped: number;
  sumBrier: number;
  sumLog: number;
  /** For each bin: how many, sum of confidences, sum of outcomes, sum of their squares. */
  readonly bins: Float64Array;
}

export interface Cell {
  n: number;
  clustered: number;
  /** Sums with how many said it. */
  readonly tokens: { input: number; output: number; reasoning: number; told: number };
  readonly latency: Spread;
  readonly cost: Spread;
  readonly errors: Float64Array;
  readonly judged: (Judged | undefined)[];
}

const emptySpread = (): Spread => ({ n: 0, sum: 0, sketch: emptySketch() });

export const emptyJudged = (): Judged => ({
  n: 0,
  successes: 0,
  failures: 0,
  sumOutcome: 0,
  sumOutcomeSquared: 0,
  forecasts: 0,
  clamped: 0,
  sumBrier: 0,
  sumLog: 0,
  bins: new Float64Array(fineBins * 4),
});

export const emptyCell = (): Cell => ({
  n: 0,
  clustered: 0,
  tokens: { input: 0, output: 0, reasoning: 0, told: 0 },
  latency: emptySpread(),
  cost: emptySpread(),
  errors: new Float64Array(errorKinds.length),
  judged: sources.map(() => undefined),
});

/** What a decision adds that no outcome changes. */
export interface Volume {
  readonly cluster: string | null;
  readonly latencyMs: number | null;
  readonly costUsd: number | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly reasoningTokens: number | null;
}

export const latencyUnits = (ms: number) => Math.round(ms * 1e3);
export const costUnits = (usd: number) => Math.round(usd * 1e9);

export function addVolume(cell: Cell, volume: Volume): void {
  cell.n += 1;
  if (volume.cluster !== null) cell.clustered += 1;
  if (volume.latencyMs !== null) addSpread(cell.latency, latencyUnits(volume.latencyMs));
  if (volume.costUsd !== null) addSpread(cell.cost, costUnits(volume.costUsd));
  const { tokens } = cell;
  const { inputTokens, outputTokens, reasoningTokens } = volume;
  if (inputTokens === null && outputTokens === null && reasoningTokens === null) return;
  tokens.told += 1;
  tokens.input += inputTokens ?? 0;
  tokens.output += outputTokens ?? 0;
  tokens.reasoning += reasoningTokens ?? 0;
}

function addSpread(spread: Spread, units: number): void {
  spread.n += 1;
  spread.sum += units;
  addTo(spread.sketch, units);
}

/** What is known of how a decision turned out. */
export interface Verdict {
  /** From 0 to 1. */
  readonly outcome: number;
  /** Its place in `sources`. */
  readonly source: number;
  readonly confidence: number | null;
}

/** The bin from its billionths: of a decimal number it is the one that decimal arithmetic finds. */
export const binOf = (billionths: number, bins: number) =>
  Math.min(bins - 1, Math.floor((billionths * bins) / unit));

/** @param times 1 adds, -1 takes out. */
export function addVerdict(cell: Cell, { outcome, source, confidence }: Verdict, times: 1 | -1): void {
  const judged = (cell.judged[source] ??= emptyJudged());
  const result = Math.round(outcome * unit);
  const squared = Math.round(outcome * outcome * unit);
  judged.n += times;
  if (outcome === 1) judged.successes += times;
  else if (outcome === 0) judged.failures += times;
  judged.sumOutcome += times * result;
  judged.sumOutcomeSquared += times * squared;
  if (confidence === null) return;
  judged.forecasts += times;
  const chance = Math.min(Math.max(confidence, leastChance), 1 - leastChance);
  if (chance !== confidence) judged.clamped += times;
  judged.sumBrier += times * Math.round((confidence - outcome) ** 2 * unit);
  judged.sumLog += times * Math.round(logScore(chance, outcome) * unit);
  const forecast = Math.round(confidence * unit);
  const at = binOf(forecast, fineBins) * 4;
  const { bins } = judged;
  bins[at] = (bins[at] as number) + times;
  bins[at + 1] = (bins[at + 1] as number) + times * forecast;
  bins[at + 2] = (bins[at + 2] as number) + times * result;
  bins[at + 3] = (bins[at + 3] as number) + times * squared;
}

const logScore = (chance: number, outcome: number) =>
  outcome === 1
    ? -Math.log(chance)
    : outcome === 0
      ? -Math.log1p(-chance)
      : -(outcome * Math.log(chance) + (1 - outcome) * Math.log1p(-chance));

export function addError(cell: Cell, kind: number, times: 1 | -1): void {
  cell.errors[kind] = (cell.errors[kind] as number) + times;
}

const figures = [
  'n',
  'successes',
  'failures',
  'sumOutcome',
  'sumOutcomeSquared',
  'forecasts',
  'clamped',
  'sumBrier',
  'sumLog',
] as const satisfies readonly (keyof Judged)[];

const tokenNames = ['input', 'output', 'reasoning', 'told'] as const;

export function mergeCell(into: Cell, from: Cell): void {
  into.n += from.n;
  into.clustered += from.clustered;
  for (const name of tokenNames) into.tokens[name] += from.tokens[name];
  for (const name of ['latency', 'cost'] as const) {
    into[name].n += from[name].n;
    into[name].sum += from[name].sum;
    merge(into[name].sketch, from[name].sketch);
  }
  for (const [at, count] of from.errors.entries()) into.errors[at] = (into.errors[at] as number) + count;
  for (const [at, judged] of from.judged.entries())
    if (judged) mergeJudged((into.judged[at] ??= emptyJudged()), judged);
}

export function mergeJudged(into: Judged, from: Judged): void {
  for (const name of figures) into[name] += from[name];
  for (const [at, value] of from.bins.entries()) into.bins[at] = (into.bins[at] as number) + value;
}

/** All outcomes are 0 or 1: sums of them are counts. */
const isBinary = ({ n, successes, failures }: Judged) => successes + failures === n;

const writer = new Writer();
/** How many are in each bin, while they are written. */
const held = new Float64Array(fineBins);

/** From the first bucket that holds something to the last. */
function writeSketch({ counts, base }: Sketch): void {
  let [first, end] = [0, counts.length];
  while (first < end && counts[first] === 0) first += 1;
  while (end > first && counts[end - 1] === 0) end -= 1;
  writer.whole(base + first);
  writer.whole(end - first);
  writer.counts(counts, first, end);
}

function readSketch(reader: Reader, sketch: Sketch): void {
  sketch.base = reader.whole();
  sketch.counts = new Uint32Array(reader.whole());
  reader.counts(sketch.counts, 0, sketch.counts.length);
}

export function encodeCell(cell: Cell): Buffer {
  writer.whole(cell.n);
  writer.whole(cell.clustered);
  for (const name of tokenNames) writer.whole(cell.tokens[name]);
  for (const { n, sum, sketch } of [cell.latency, cell.cost]) {
    writer.whole(n);
    if (n === 0) continue;
    writer.whole(sum);
    writeSketch(sketch);
  }
  writer.counts(cell.errors, 0, cell.errors.length);
  for (const judged of cell.judged) {
    writer.whole(judged?.n ?? 0);
    if (!judged || judged.n === 0) continue;
    for (const name of figures.slice(1)) writer.whole(judged[name]);
    if (judged.forecasts === 0) continue;
    // First how many are in each bin, then the sums of those that hold something.
    for (let bin = 0; bin < fineBins; bin += 1) held[bin] = judged.bins[bin * 4] as number;
    writer.counts(held, 0, fineBins);
    for (let bin = 0; bin < fineBins; bin += 1) {
      if (held[bin] === 0) continue;
      writer.whole(judged.bins[bin * 4 + 1] as number);
      if (isBinary(judged)) writer.whole((judged.bins[bin * 4 + 2] as number) / unit);
      else for (const more of [2, 3]) writer.whole(judged.bins[bin * 4 + more] as number);
    }
  }
  return writer.take();
}

export function decodeCell(bytes: Uint8Array): Cell {
  const reader = new Reader(bytes);
  const cell = emptyCell();
  cell.n = reader.whole();
  cell.clustered = reader.whole();
  for (const name of tokenNames) cell.tokens[name] = reader.whole();
  for (const spread of [cell.latency, cell.cost]) {
    spread.n = reader.whole();
    if (spread.n === 0) continue;
    spread.sum = reader.whole();
    readSketch(reader, spread.sketch);
  }
  reader.counts(cell.errors, 0, cell.errors.length);
  for (const source of cell.judged.keys()) {
    const n = reader.whole();
    if (n === 0) continue;
    const judged = emptyJudged();
    judged.n = n;
    for (const name of figures.slice(1)) judged[name] = reader.whole();
    if (judged.forecasts > 0) {
      held.fill(0);
      reader.counts(held, 0, fineBins);
      for (const [bin, n] of held.entries()) {
        judged.bins[bin * 4] = n;
        if (n === 0) continue;
        judged.bins[bin * 4 + 1] = reader.whole();
        judged.bins[bin * 4 + 2] = reader.whole() * (isBinary(judged) ? unit : 1);
        judged.bins[bin * 4 + 3] = isBinary(judged) ? (judged.bins[bin * 4 + 2] as number) : reader.whole();
      }
    }
    cell.judged[source] = judged;
  }
  return cell;
}
