/** One battle as it comes: checked by hand, since a hundred thousand come at once. */
import { maxNameLength } from './limits.ts';
import { fullKey, kindOf } from './subject.ts';
import { sources, winners } from './vocabulary.ts';

export interface NewBattle {
  readonly a: string;
  readonly b: string;
  readonly outcome: 0 | 0.5 | 1;
  readonly isBothBad: boolean;
  readonly item: string | null;
  readonly taskType: string;
  readonly judge: string;
  /** Its place in `sources`. */
  readonly source: number;
  readonly isSwapped: boolean | null;
  readonly lengthA: number | null;
  readonly lengthB: number | null;
  readonly atMs: number;
}

/** What holds for battles that do not say it themselves. */
export interface Defaults {
  readonly taskType: string;
  readonly judge: string;
  readonly source: number;
  readonly nowMs: number;
}

/** Columns, in the order of exports: the first three are those of arena-rank. */
export const columns = [
  'model_a',
  'model_b',
  'winner',
  'item_id',
  'task_type',
  'judge',
  'source',
  'swapped',
  'len_a',
  'len_b',
  'time',
] as const;
type Column = (typeof columns)[number];
const known = new Set<string>(columns);

/** Spellings of public data sets. */
const alsoBothBad = new Set(['tie (bothbad)', 'bothbad']);

/** What is wrong with a battle, in words for whoever sent it. */
export class Fault extends Error {}

type Given = Readonly<Partial<Record<Column, unknown>>>;

/** @param isStrict whether an unknown field is a fault; the columns of a CSV file are looked at once. @throws Fault. */
export function battleOf(row: unknown, defaults: Defaults, isStrict: boolean): NewBattle {
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    throw new Fault('A battle is an object.');
  const given = row as Given;
  if (isStrict) {
    for (const name in given) {
      if (!known.has(name)) throw new Fault(`There is no field ${JSON.stringify(name.slice(0, 50))}.`);
    }
  }
  const a = fullKey(required(given, 'model_a'));
  const b = fullKey(required(given, 'model_b'));
  if (a === b) throw new Fault('model_a and model_b are the same.');
  if (kindOf(a) !== kindOf(b)) throw new Fault('A model and a client are not compared.');
  const said = required(given, 'winner').toLowerCase();
  const winner = alsoBothBad.has(said) ? 'both_bad' : winners.find((one) => one === said);
  if (winner === undefined) throw new Fault(`winner must be one of ${winners.join(', ')}.`);
  const source = textIn(given, 'source');
  const sourceAt = source === null ? defaults.source : sources.findIndex((one) => one === source);
  if (sourceAt < 0) throw new Fault(`source must be one of ${sources.join(', ')}.`);
  return {
    a,
    b,
    outcome: winner === 'model_a' ? 1 : winner === 'model_b' ? 0 : 0.5,
    isBothBad: winner === 'both_bad',
    item: textIn(given, 'item_id'),
    taskType: textIn(given, 'task_type')?.normalize('NFC') ?? defaults.taskType,
    judge: textIn(given, 'judge') ?? defaults.judge,
    source: sourceAt,
    isSwapped: flagIn(given, 'swapped'),
    lengthA: lengthIn(given, 'len_a'),
    lengthB: lengthIn(given, 'len_b'),
    atMs: timeIn(given, defaults.nowMs),
  };
}

const isAbsent = (value: unknown): value is undefined | null | '' =>
  value === undefined || value === null || value === '';

function required(given: Given, name: Column): string {
  const text = textIn(given, name);
  if (text === null) throw new Fault(`${name} is missing.`);
  return text;
}

function textIn(given: Given, name: Column): string | null {
  const value = given[name];
  if (isAbsent(value)) return null;
  if (typeof value !== 'string') throw new Fault(`${name} must be a text.`);
  if (value.length > maxNameLength) throw new Fault(`${name} must have at most ${maxNameLength} characters.`);
  if (!value.isWellFormed() || value.includes('\0'))
    throw new Fault(`${name} must be well-formed Unicode without NUL.`);
  return value;
}

function flagIn(given: Given, name: Column): boolean | null {
  const value = given[name];
  if (isAbsent(value)) return null;
  if (typeof value === 'boolean') return value;
  const text = typeof value === 'string' ? value.toLowerCase() : '';
  if (text !== 'true' && text !== 'false') throw new Fault(`${name} must be true or false.`);
  return text === 'true';
}

function lengthIn(given: Given, name: Column): number | null {
  const value = given[name];
  if (isAbsent(value)) return null;
  const length = typeof value === 'string' ? Number(value) : value;
  if (typeof length !== 'number' || !Number.isSafeInteger(length) || length < 0 || length > 1e9)
    throw new Fault(`${name} must be a whole number from 0 to 1000000000.`);
  return length;
}

const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/;

/** The 30th of February is read as the 2nd of March. */
function isDay(day: string): boolean {
  const atMs = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(day);
}

function timeIn(given: Given, nowMs: number): number {
  const value = given.time;
  if (isAbsent(value)) return nowMs;
  const atMs =
    typeof value === 'string' && isTime.test(value) && isDay(value.slice(0, 10))
      ? Date.parse(value)
      : Number.NaN;
  if (Number.isNaN(atMs)) throw new Fault('time must be like 2026-11-20T12:00:00Z, with an offset or Z.');
  return atMs;
}
