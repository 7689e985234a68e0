/**
 * Reads LogQL: the part that people use. What is not understood is refused with its place and what can be written instead,
 * never passed over.
 */
import { ToolError } from '#runtime/errors.ts';

import { compilePattern } from '../pattern.ts';
import {
  rangeFunctions,
  unwrapFunctions,
  vectorFunctions,
  type Arithmetic,
  type Comparison,
  type Condition,
  type Extraction,
  type Grouping,
  type LogQuery,
  type Matcher,
  type Metric,
  type PatternPart,
  type Query,
  type RangeAggregation,
  type RangeFunction,
  type Stage,
  type UnwrapFunction,
  type VectorFunction,
} from './query.ts';
import { durationMs, numberOf, sizeBytes } from './units.ts';

export const maxQueryLength = 5_000;
/** Brackets in brackets: far more than anybody writes, far less than the stack holds. */
const maxDepth = 50;

/** @throws ToolError invalid_input, with the construct, its place, and what can be used instead. */
export function parseQuery(source: string): Query {
  if (source.length > maxQueryLength) {
    throw new ToolError(
      'too_large',
      `The query has ${source.length} characters, at most ${maxQueryLength} are taken.`,
      { hint: 'Filter by fewer texts, or send several queries.' },
    );
  }
  const reader = new Reader(source);
  const query = reader.isAt('{') ? logQuery(reader) : metricOrLog(reader);
  reader.end();
  return query;
}

/** A selector and its pipeline, where a metric makes no sense. @throws ToolError invalid_input. */
export function parseLogQuery(source: string): LogQuery {
  const query = parseQuery(source);
  if (query.kind === 'log') return query;
  throw new ToolError('invalid_input', 'This tool takes a selector and a pipeline, not a metric query.', {
    hint: 'Write the part between the brackets alone, such as {service="x"} |= "text". query_loki_logs takes metric queries.',
  });
}

/** Where in the text the reading stands, and what comes next. */
class Reader {
  readonly source: string;
  at = 0;
  depth = 0;

  constructor(source: string) {
    this.source = source;
    this.skip();
  }

  private skip() {
    this.at += /^(?:\s+|#[^\n]*)*/.exec(this.source.slice(this.at))?.[0].length ?? 0;
  }

  isAt(text: string): boolean {
    return this.source.startsWith(text, this.at);
  }

  peek(form: RegExp): string | undefined {
    form.lastIndex = this.at;
    return form.exec(this.source)?.[0];
  }

  take(form: RegExp): string | undefined {
    const found = this.peek(form);
    if (found !== undefined) {
      this.at += found.length;
      this.skip();
    }
    return found;
  }

  /** The first of these that stands here: longer ones have to come first. */
  takeAny<Text extends string>(...texts: readonly Text[]): Text | undefined {
    const found = texts.find((text) => this.isAt(text));
    if (found !== undefined) {
      this.at += found.length;
      this.skip();
    }
    return found;
  }

  takeWord<Text extends string>(...words: readonly Text[]): Text | undefined {
    const word = this.peek(forms.name);
    if (word === undefined || !words.includes(word as Text)) return undefined;
    this.take(forms.name);
    return word as Text;
  }

  expect(text: string, after: string): void {
    if (this.takeAny(text) === undefined) this.fail(`${text} is missing ${after}`);
  }

  name(what: string): string {
    return this.take(forms.name) ?? this.fail(`${what} is missing`);
  }

  string(what: string): string {
    const quoted = this.peek(forms.string);
    if (quoted === undefined) {
      return this.fail(
        `${what} is missing`,
        'Put it in double quotes, or in backticks to write \\ as it is.',
      );
    }
    const text = quoted.startsWith('`') ? quoted.slice(1, -1) : this.unquoted(quoted);
    this.take(forms.string);
    return text;
  }

  private unquoted(quoted: string): string {
    return quoted.slice(1, -1).replaceAll(escapes, (escape) => {
      const [, kind = ''] = escape;
      if (kind === 'x' || kind === 'u' || kind === 'U')
        return codePoint(Number.parseInt(escape.slice(2), 16));
      const plain = {
        n: '\n',
        t: '\t',
        r: '\r',
        a: '\u0007',
        b: '\b',
        f: '\f',
        v: '\v',
        '\\': '\\',
        '"': '"',
      }[kind];
      return (
        plain ??
        this.fail(
          `the escape ${escape} in ${quoted} is unknown`,
          `Inside double quotes write \\${escape}, or put the text in backticks.`,
        )
      );
    });
  }

  /** @throws ToolError when the brackets go too deep. */
  nested<Value>(read: () => Value): Value {
    this.depth += 1;
    if (this.depth > maxDepth) this.fail(`brackets are nested more than ${maxDepth} deep`);
    const value = read();
    this.depth -= 1;
    return value;
  }

  end(): void {
    if (this.at < this.source.length) this.unknown();
  }

  /** What stands here begins nothing that is known. */
  unknown(): never {
    const found =
      this.peek(forms.name) ?? this.peek(forms.operator) ?? this.source.slice(this.at, this.at + 1);
    if (found === '') this.fail('the query ends too early');
    this.fail(`${found} is not understood here`, insteadOf(found));
  }

  fail(problem: string, hint?: string): never {
    const near = this.source.slice(this.at, this.at + 30);
    const place = near === '' ? 'at its end' : `at character ${this.at + 1}, before ${JSON.stringify(near)}`;
    throw new ToolError('invalid_input', `LogQL, ${place}: ${problem}.`, { hint: hint ?? general });
  }
}

const forms = {
  name: /[a-zA-Z_][a-zA-Z0-9_]*/y,
  string: /"(?:[^"\\\n]|\\.)*"|`[^`]*`/y,
  amount: /[+-]?(?:\d|\.\d)[\w.µμ]*/y,
  operator: /[|!=<>~+\-*/%^]+/y,
  flag: /--[a-z-]+/y,
};
const escapes = /\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/gs;
const codePoint = (code: number) => String.fromCodePoint(code > 0x10_ff_ff ? 0xff_fd : code);

const general =
  'Known are selectors {service="x", level=~"error|fatal"}, the filters |= != |~ !~, | json, | logfmt, | pattern, | regexp, | line_format, label filters such as | status >= 500 and duration > 2s, the range functions ' +
  `${[...rangeFunctions, ...unwrapFunctions].join(', ')} and ${vectorFunctions.join(', ')} by or without labels.`;

/** What is known of LogQL and not taken here, with what does the same. */
const alternatives: Readonly<Record<string, string>> = {
  label_format:
    'Use the label under its own name, or | json new="path" and | logfmt new="key" to name it otherwise.',
  unpack: 'Use | json.',
  decolorize: 'Leave it out: escape sequences are stripped before lines are stored.',
  drop: 'Leave it out; in metric queries use sum without (label).',
  keep: 'Leave it out; in metric queries use sum by (label).',
  distinct: 'Use sum by (label) (count_over_time(… [1h])), which has one row for each value.',
  unwrap:
    'It stands at the end of the pipeline inside sum_over_time, avg_over_time, min_over_time or max_over_time.',
  '|>': 'Use |~ with a regular expression: .* for each <_>.',
  '!>': 'Use !~ with a regular expression: .* for each <_>.',
  ip: 'Use a regular expression: |~ "10\\\\.0\\\\.[0-9]+\\\\.[0-9]+".',
  absent_over_time: 'Use count_over_time: no row means that there was no line.',
  quantile_over_time: 'Use avg_over_time or max_over_time.',
  first_over_time: 'Read the lines with direction forward and limit 1.',
  last_over_time: 'Read the lines with direction backward and limit 1.',
  stddev_over_time: 'Use min_over_time, avg_over_time and max_over_time.',
  stdvar_over_time: 'Use min_over_time, avg_over_time and max_over_time.',
  rate_counter: 'Use rate.',
  stddev: 'Use min, avg and max.',
  stdvar: 'Use min, avg and max.',
  approx_topk: 'Use topk.',
  sort: 'Leave it out: rows of instant queries come largest first.',
  sort_desc: 'Leave it out: rows of instant queries come largest first.',
  label_replace: 'Use | regexp with a named group, and group by that.',
  vector: 'Leave it out: no row means 0.',
  on: 'Both sides have to have the same labels: group both with sum by (label).',
  ignoring: 'Both sides have to have the same labels: group both with sum by (label).',
  group_left: 'Both sides have to have the same labels: group both with sum by (label).',
  group_right: 'Both sides have to have the same labels: group both with sum by (label).',
  bool: 'Leave it out: a comparison keeps the rows for which it holds.',
  unless: 'Send two queries.',
  and: 'Between metric queries, send two queries; between label filters it stands after | label = "value".',
  or: 'Between metric queries, send two queries; between label filters it stands after | label = "value".',
  offset: 'It stands right after the range: [5m] offset 1h.',
};
const insteadOf = (found: string) => alternatives[found] ?? alternatives[found.slice(0, 2)];

/** A query in brackets can be of both kinds. */
function metricOrLog(reader: Reader): Query {
  if (!reader.isAt('(')) return wholeMetric(reader);
  let at = reader.at;
  while (/[(\s]/.test(reader.source[at] ?? '')) at += 1;
  if (reader.source[at] !== '{') return wholeMetric(reader);
  return reader.nested(() => {
    reader.takeAny('(');
    const query = reader.isAt('(') ? metricOrLog(reader) : logQuery(reader);
    reader.expect(')', 'after the query');
    return query;
  });
}

function wholeMetric(reader: Reader): Metric {
  const metric = binary(reader, 0);
  if (typeof metric === 'number') reader.fail('a number alone reads no lines');
  return metric;
}

// --- Log queries

function logQuery(reader: Reader): LogQuery {
  return { kind: 'log', selector: selector(reader), stages: stages(reader) };
}

function selector(reader: Reader): Matcher[] {
  reader.expect('{', 'where a selector begins');
  const matchers: Matcher[] = [];
  while (!reader.isAt('}')) {
    if (matchers.length > 0) reader.expect(',', 'between the conditions of the selector');
    if (reader.isAt('}')) break;
    const label = reader.name('the name of a label');
    const operator = reader.takeAny('=~', '!~', '!=', '=');
    if (operator === undefined) reader.fail(`=, !=, =~ or !~ is missing after ${label}`);
    matchers.push(matcher(reader, label, operator));
  }
  reader.expect('}', 'at the end of the selector');
  return matchers;
}

function matcher(reader: Reader, label: string, operator: Matcher['operator']): Matcher {
  const value = reader.string(`the value after ${label}${operator}`);
  const isNegated = operator.startsWith('!');
  if (!operator.endsWith('~'))
    return { label, operator, value, test: (other) => (other === value) !== isNegated };
  const pattern = compilePattern(value, { whole: true, dotMatchesNewline: true });
  return { label, operator, value, test: (other) => pattern.test(other) !== isNegated };
}

function stages(reader: Reader): Stage[] {
  const found: Stage[] = [];
  for (;;) {
    const filter = isPatternFilter(reader) ? reader.unknown() : reader.takeAny('|=', '|~', '!=', '!~');
    if (filter) found.push(lineFilter(reader, filter));
    else if (reader.isAt('|') && !isUnwrap(reader)) {
      reader.takeAny('|');
      found.push(...stage(reader));
    } else return found;
  }
}

const isPatternFilter = (reader: Reader) => reader.isAt('|>') || reader.isAt('!>');
const isUnwrap = (reader: Reader) => reader.peek(/\|\s*unwrap\b/y) !== undefined;

function lineFilter(reader: Reader, operator: '|=' | '!=' | '|~' | '!~'): Stage {
  const any: Extract<Stage, { kind: 'line' }>['any'][number][] = [];
  do {
    if (reader.takeWord('ip')) reader.fail('ip() is not understood', insteadOf('ip'));
    const text = reader.string(`the text after ${operator}`);
    any.push(operator.endsWith('~') ? compilePattern(text, { dotMatchesNewline: true }) : text);
  } while (reader.takeWord('or'));
  return { kind: 'line', negated: operator.startsWith('!'), any };
}

function stage(reader: Reader): Stage[] {
  const parser = reader.takeWord('json', 'logfmt');
  if (parser) return [{ kind: parser, wanted: extractions(reader, parser) }];
  if (reader.takeWord('pattern')) return [patternStage(reader)];
  if (reader.takeWord('regexp')) return [regexpStage(reader)];
  if (reader.takeWord('line_format')) return [lineFormat(reader)];
  if (reader.takeWord('decolorize')) return [];
  return [{ kind: 'labels', condition: conditions(reader) }];
}

function extractions(reader: Reader, parser: 'json' | 'logfmt'): Extraction[] {
  const flag = reader.take(forms.flag);
  if (flag !== undefined)
    reader.fail(`the flag ${flag} is not understood`, 'Leave it out: what is no key=value is passed over.');
  const wanted: Extraction[] = [];
  while (reader.peek(forms.name) !== undefined) {
    const label = reader.name('the name of a label');
    const source = reader.takeAny('=') ? reader.string(`what ${label} is taken from`) : label;
    wanted.push({ label, path: parser === 'json' ? pathOf(reader, source) : [source] });
    if (!reader.takeAny(',')) break;
  }
  return wanted;
}

/** `a.b[0]["c d"]` */
function pathOf(reader: Reader, source: string): (string | number)[] {
  const path: (string | number)[] = [];
  let at = 0;
  for (const part of source.matchAll(/\.?([\w-]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/g)) {
    if (part.index !== at) break;
    at += part[0].length;
    path.push(
      part[1] ?? (part[2] === undefined ? (part[3] ?? '').replaceAll(/\\(.)/g, '$1') : Number(part[2])),
    );
  }
  if (at < source.length || path.length === 0) {
    reader.fail(
      `${source} is no path into JSON`,
      'Write a.b, a[0], a["b c"], or several of these after each other.',
    );
  }
  return path;
}

function patternStage(reader: Reader): Stage {
  const source = reader.string('the text of the pattern');
  const parts: PatternPart[] = [];
  for (const [part] of source.matchAll(/<[a-zA-Z_]\w*>|[^<]+|</g)) {
    const last = parts.at(-1);
    const name = /^<(\w+)>$/.exec(part)?.[1];
    if (name === undefined) {
      if (last && 'literal' in last) parts[parts.length - 1] = { literal: last.literal + part };
      else parts.push({ literal: part });
    } else {
      if (last && 'capture' in last)
        reader.fail(`${part} follows another capture`, 'Put the text between them that separates them.');
      parts.push({ capture: name === '_' ? undefined : name });
    }
  }
  if (!parts.some((part) => 'capture' in part && part.capture !== undefined)) {
    reader.fail(
      `the pattern ${JSON.stringify(source)} captures nothing`,
      'Write <name> for each part to keep, <_> for what to pass over.',
    );
  }
  return { kind: 'pattern', parts };
}

function regexpStage(reader: Reader): Stage {
  const pattern = compilePattern(reader.string('the regular expression'), { dotMatchesNewline: true });
  if (pattern.names.length === 0)
    reader.fail('the expression of | regexp names no group', 'Write (?P<name>…) for each part to keep.');
  return { kind: 'regexp', pattern };
}

function lineFormat(reader: Reader): Stage {
  const template = reader.string('the template');
  const parts = [...template.matchAll(/\{\{(.*?)\}\}|[^{]+|\{/gs)].map(([text, inner]) => {
    if (inner === undefined) return { text };
    const label = /^\s*(?:\.([a-zA-Z_]\w*)|(__line__))\s*$/.exec(inner);
    return label
      ? { label: (label[1] ?? label[2]) as string }
      : reader.fail(
          `{{${inner}}} is not understood`,
          'Only labels are put in, {{.name}}, and the line, {{__line__}}; functions are not.',
        );
  });
  return { kind: 'line_format', parts };
}

// --- Label filters

/** From left to right, with `and`, `or`, a comma, or nothing between them. */
function conditions(reader: Reader): Condition {
  let left = condition(reader);
  for (;;) {
    const kind =
      reader.takeWord('and', 'or') ?? (reader.takeAny(',') || isCondition(reader) ? 'and' : undefined);
    if (kind === undefined) return left;
    left = { kind, left, right: condition(reader) };
  }
}

const isCondition = (reader: Reader) =>
  reader.peek(/[a-zA-Z_]\w*\s*(?:=|!=|!~|<|>)/y) !== undefined || reader.isAt('(');

function condition(reader: Reader): Condition {
  if (reader.isAt('(')) {
    return reader.nested(() => {
      reader.takeAny('(');
      const inner = conditions(reader);
      reader.expect(')', 'after the label filters');
      return inner;
    });
  }
  if (!isCondition(reader)) reader.unknown();
  const label = reader.name('the name of a label');
  const operator = reader.takeAny('==', '=~', '!~', '!=', '>=', '<=', '=', '>', '<');
  if (operator === undefined) reader.unknown();
  if (reader.peek(forms.string) !== undefined || operator.endsWith('~')) {
    if (
      operator === '=' ||
      operator === '==' ||
      operator === '!=' ||
      operator === '=~' ||
      operator === '!~'
    ) {
      return { kind: 'text', matcher: matcher(reader, label, operator === '==' ? '=' : operator) };
    }
    reader.fail(
      `${operator} compares numbers, and text follows`,
      'Write the number, duration or size without quotes.',
    );
  }
  if (reader.takeWord('ip')) reader.fail('ip() is not understood', insteadOf('ip'));
  const comparison = operator === '=' ? '==' : (operator as Comparison);
  return { kind: 'amount', label, operator: comparison, ...amount(reader, label) };
}

function amount(
  reader: Reader,
  label: string,
): Pick<Extract<Condition, { kind: 'amount' }>, 'value' | 'read'> {
  const text = reader.peek(forms.amount);
  if (text === undefined) {
    return reader.fail(
      `the value that ${label} is compared with is missing`,
      'Write a number, a duration such as 2s, a size such as 10MB, or text in quotes.',
    );
  }
  for (const read of [numberOf, durationMs, sizeBytes]) {
    const value = read(text);
    if (value === undefined) continue;
    reader.take(forms.amount);
    return { value, read };
  }
  return reader.fail(
    `${text} is no number, duration or size`,
    'Durations end in ns, us, ms, s, m, h or d; sizes in B, kB, MB, GB, KiB, MiB or GiB.',
  );
}

// --- Metric queries

const precedence: readonly (readonly (Arithmetic | Comparison)[])[] = [
  ['==', '!=', '>=', '<=', '>', '<'],
  ['+', '-'],
  ['*', '/', '%'],
  ['^'],
];

function binary(reader: Reader, level: number): Metric | number {
  const operators = precedence[level];
  if (!operators) return operand(reader);
  let left = binary(reader, level + 1);
  for (;;) {
    const operator = reader.takeAny(...operators);
    if (operator === undefined) return left;
    const refused = reader.peek(/(?:bool|on|ignoring|group_left|group_right)\b/y);
    if (refused !== undefined) reader.unknown();
    // Powers group from the right.
    const right = reader.nested(() => binary(reader, operator === '^' ? level : level + 1));
    left =
      typeof left === 'number' && typeof right === 'number'
        ? calculate(operator, left, right)
        : { kind: 'binary', operator, left, right };
    if (typeof left === 'number' && !Number.isFinite(left))
      reader.fail('the numbers come to no finite number');
  }
}

const calculations: Readonly<Record<Arithmetic, (left: number, right: number) => number>> = {
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '*': (left, right) => left * right,
  '/': (left, right) => left / right,
  '%': (left, right) => left % right,
  '^': (left, right) => left ** right,
};
const comparisons: Readonly<Record<Comparison, (left: number, right: number) => boolean>> = {
  '==': (left, right) => left === right,
  '!=': (left, right) => left !== right,
  '>': (left, right) => left > right,
  '>=': (left, right) => left >= right,
  '<': (left, right) => left < right,
  '<=': (left, right) => left <= right,
};

export const isComparison = (operator: Arithmetic | Comparison): operator is Comparison =>
  operator in comparisons;

export const compare = (operator: Comparison, left: number, right: number) =>
  comparisons[operator](left, right);

/** @returns NaN where a comparison does not hold: the row is left out. */
export function calculate(operator: Arithmetic | Comparison, left: number, right: number): number {
  if (!isComparison(operator)) return calculations[operator](left, right);
  return compare(operator, left, right) ? left : Number.NaN;
}

function operand(reader: Reader): Metric | number {
  if (reader.isAt('(')) {
    return reader.nested(() => {
      reader.takeAny('(');
      const inner = binary(reader, 0);
      reader.expect(')', 'after the metric query');
      return inner;
    });
  }
  const number = reader.peek(forms.amount);
  if (number !== undefined && numberOf(number) !== undefined) {
    reader.take(forms.amount);
    return Number(number);
  }
  const start = reader.at;
  const vector = reader.takeWord(...vectorFunctions);
  if (vector) return vectorAggregation(reader, vector);
  const range = reader.takeWord(...rangeFunctions, ...unwrapFunctions);
  if (range) return rangeAggregation(reader, range, start);
  if (reader.isAt('{')) {
    reader.fail('lines cannot be calculated with', 'Count them first: count_over_time({…}[5m]).');
  }
  return reader.unknown();
}

function vectorAggregation(reader: Reader, name: VectorFunction): Metric {
  let grouping = groupingOf(reader);
  return reader.nested(() => {
    reader.expect('(', `after ${name}`);
    let k = 0;
    if (name === 'topk' || name === 'bottomk') {
      const text = reader.take(forms.amount) ?? '';
      k = Number(text);
      if (!Number.isInteger(k) || k < 1) reader.fail(`${name} needs how many first`, `Write ${name}(5, …).`);
      reader.expect(',', `after the number of ${name}`);
    }
    const of = binary(reader, 0);
    if (typeof of === 'number') reader.fail(`${name} needs a metric query`);
    reader.expect(')', `at the end of ${name}`);
    grouping ??= groupingOf(reader);
    return { kind: 'vector', function: name, of, grouping, k };
  });
}

function groupingOf(reader: Reader): Grouping | undefined {
  const mode = reader.takeWord('by', 'without');
  if (!mode) return undefined;
  reader.expect('(', `after ${mode}`);
  const labels: string[] = [];
  while (!reader.isAt(')')) {
    if (labels.length > 0) reader.expect(',', 'between the labels');
    labels.push(reader.name('the name of a label'));
  }
  reader.expect(')', 'after the labels');
  return { mode, labels };
}

function rangeAggregation(
  reader: Reader,
  name: RangeFunction | UnwrapFunction,
  start: number,
): RangeAggregation {
  const before = groupingOf(reader);
  return reader.nested(() => {
    reader.expect('(', `after ${name}`);
    const isBracketed = reader.takeAny('(') !== undefined;
    const from = selector(reader);
    let range = rangeOf(reader);
    const log: LogQuery = { kind: 'log', selector: from, stages: stages(reader) };
    const unwrap = unwrapOf(reader);
    const after = unwrap ? stages(reader) : [];
    if (isBracketed && !range) range = rangeOf(reader);
    if (isBracketed) reader.expect(')', 'after the query');
    range ??= rangeOf(reader);
    if (!range) {
      reader.fail(
        `${name} needs a range`,
        'Write how far it looks back at the end, in square brackets: [5m].',
      );
    }
    reader.expect(')', `at the end of ${name}`);
    const needsUnwrap = (unwrapFunctions as readonly string[]).includes(name);
    if (needsUnwrap !== Boolean(unwrap) && !(unwrap && name === 'rate')) {
      reader.at = start;
      reader.fail(
        needsUnwrap
          ? `${name} needs the label whose numbers it takes`
          : `${name} counts lines, and takes no unwrap`,
        needsUnwrap
          ? 'End the pipeline with | unwrap label.'
          : 'Use sum_over_time, avg_over_time, min_over_time or max_over_time.',
      );
    }
    const grouping = before ?? groupingOf(reader);
    return {
      kind: 'range',
      function: name,
      log: { ...log, stages: [...log.stages, ...after] },
      ...range,
      unwrap,
      grouping,
    };
  });
}

function rangeOf(reader: Reader): { rangeMs: number; offsetMs: number } | undefined {
  if (!reader.takeAny('[')) return undefined;
  const rangeMs = duration(reader, 'the range', '5m');
  reader.expect(']', 'after the range');
  return { rangeMs, offsetMs: reader.takeWord('offset') ? duration(reader, 'the offset', '1h') : 0 };
}

function duration(reader: Reader, what: string, example: string): number {
  const ms = durationMs(reader.peek(forms.amount) ?? '');
  if (ms === undefined || ms < 1)
    return reader.fail(`${what} is no duration`, `Write it as ${example}: a number and ms, s, m, h, d or w.`);
  reader.take(forms.amount);
  return ms;
}

function unwrapOf(reader: Reader): RangeAggregation['unwrap'] {
  if (!isUnwrap(reader)) return undefined;
  reader.takeAny('|');
  reader.takeWord('unwrap');
  const conversion =
    reader.peek(/(?:duration_seconds|duration|bytes)\s*\(/y) === undefined ? undefined : reader.name('');
  if (conversion !== undefined) reader.expect('(', `after ${conversion}`);
  const label = reader.name('the label to unwrap');
  if (conversion !== undefined) reader.expect(')', 'after the label');
  const read = conversion === undefined ? numberOf : conversion === 'bytes' ? sizeBytes : secondsOf;
  return { label, read };
}

function secondsOf(text: string): number | undefined {
  const ms = durationMs(text);
  return ms === undefined ? undefined : ms / 1_000;
}
