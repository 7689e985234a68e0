/** What a log query does with each line: keeps it or not, and takes labels out of it. */
import { levels, type Level, type Line } from '../store/line.ts';
import type { Pattern } from '../pattern.ts';
import { fromJson, fromLogfmt, fromPattern } from './extract.ts';
import { entryOf, isOfStream, labelOf, labelOfLine, nameOf, type Entry } from './labels.ts';
import { compare } from './parse.ts';
import type { Condition, Extraction, LogQuery, Matcher, Stage } from './query.ts';

/** What of a line was not looked at: a regular expression reaches so far only. */
export interface Cut {
  lines: number;
}

/** @returns the line as the pipeline leaves it; `undefined` for one that it leaves out. */
export type Pipeline = (line: Line) => Entry | undefined;

export function pipelineOf({ selector, stages }: LogQuery, cut: Cut): Pipeline {
  const steps = stages.map((stage) => stepOf(stage, cut));
  return (line) => {
    for (const { label, test } of selector) if (!test(labelOfLine(line, label) ?? '')) return undefined;
    const entry = entryOf(line);
    for (const step of steps) if (!step(entry)) return undefined;
    return entry;
  };
}

type Step = (entry: Entry) => boolean;

function stepOf(stage: Stage, cut: Cut): Step {
  switch (stage.kind) {
    case 'line':
      return ({ text }) => stage.any.some((one) => isIn(text, one, cut)) !== stage.negated;
    case 'json':
      return parserStep('JSONParserErr', (text) => fromJson(text, stage.wanted), stage.wanted);
    case 'logfmt':
      return parserStep('LogfmtParserErr', (text) => fromLogfmt(text, stage.wanted), stage.wanted);
    case 'pattern':
      return parserStep('PatternParserErr', (text) => fromPattern(text, stage.parts));
    case 'regexp':
      return parserStep('RegexpParserErr', (text) => stage.pattern.capture(text));
    case 'line_format':
      return (entry) => {
        entry.text = stage.parts
          .map((part) =>
            'text' in part ? part.text : part.label === '__line__' ? entry.text : labelOf(entry, part.label),
          )
          .join('');
        return true;
      };
    case 'labels':
      break;
  }
  const { condition } = stage;
  return (entry) => holds(condition, entry);
}

function isIn(text: string, what: string | Pattern, cut: Cut): boolean {
  if (typeof what === 'string') return text.includes(what);
  if (text.length > what.reach) cut.lines += 1;
  return what.test(text);
}

/**
 * A line that came as JSON or logfmt is stored as a text and fields: there, the fields are what the parser would have found.
 *
 * @param wanted for parsers that find what fields hold: which of them, or all when it is empty.
 */
function parserStep(
  error: string,
  parse: (text: string) => ReadonlyMap<string, string> | undefined,
  wanted?: readonly Extraction[],
): Step {
  return (entry) => {
    const found = parse(entry.text);
    const fields = Object.entries(wanted ? entry.line.fields : {});
    const parsed = (entry.parsed ??= new Map());
    if (wanted?.length === 0) for (const [key, value] of fields) addTo(parsed, nameOf(key), value);
    if (found) for (const [name, value] of found) addTo(parsed, name, value);
    else if (fields.length === 0) entry.error ||= error;
    else
      for (const { label, path } of wanted ?? [])
        addTo(parsed, label, labelOfLine(entry.line, path.join('_')) ?? '');
    return true;
  };
}

/** What a line had before is not written over: the first of a name counts. */
function addTo(parsed: Map<string, string>, name: string, value: string): void {
  const free = isOfStream(name) ? `${name}_extracted` : name;
  if (!parsed.has(free)) parsed.set(free, value);
}

function holds(condition: Condition, entry: Entry): boolean {
  if (condition.kind === 'text') return condition.matcher.test(labelOf(entry, condition.matcher.label));
  if (condition.kind === 'and') return holds(condition.left, entry) && holds(condition.right, entry);
  if (condition.kind === 'or') return holds(condition.left, entry) || holds(condition.right, entry);
  if (entry.error !== '') return true;
  const text = labelOf(entry, condition.label);
  if (text === '') return false;
  const value = condition.read(text);
  if (value !== undefined) return compare(condition.operator, value, condition.value);
  // Kept, so that the fault is seen and can be asked for.
  entry.error = 'LabelFilterErr';
  return true;
}

/** What the store can leave out itself, from the selector and the filters before anything changes the line. */
export interface Narrowing {
  /** Absent: all. */
  readonly levels?: readonly Level[];
  readonly services?: readonly string[];
  readonly sources?: readonly string[];
  /** Each of these stands in the message. */
  readonly texts: readonly string[];
}

export function narrowingOf({ selector, stages }: LogQuery): Narrowing {
  const texts: string[] = [];
  for (const stage of stages) {
    if (stage.kind === 'line_format') break;
    const [only, ...others] = stage.kind === 'line' && !stage.negated ? stage.any : [];
    if (typeof only === 'string' && only !== '' && others.length === 0) texts.push(only);
  }
  const ofLevel = selector.filter(({ label }) => label === 'level');
  return {
    ...(ofLevel.length > 0 && { levels: levels.filter((level) => ofLevel.every(({ test }) => test(level))) }),
    ...valuesOf('services', selector, 'service'),
    ...valuesOf('sources', selector, 'source'),
    texts,
  };
}

function valuesOf<Key extends string>(key: Key, selector: readonly Matcher[], label: string) {
  for (const { label: of, operator, value } of selector) {
    if (of !== label || value === '') continue;
    if (operator === '=') return { [key]: [value] } as Record<Key, string[]>;
    // `a|b` of plain names.
    if (operator === '=~' && /^[\w|: /-]+$/.test(value) && !value.split('|').includes('')) {
      return { [key]: value.split('|') } as Record<Key, string[]>;
    }
  }
  return undefined;
}
