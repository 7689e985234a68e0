/** A LogQL query as it was understood: data, and the conditions in it ready to be asked. */
import type { Pattern } from '../pattern.ts';

export type Query = LogQuery | Metric;

/** `{service="x"} |= "text" | json | status >= 500` */
export interface LogQuery {
  readonly kind: 'log';
  readonly selector: readonly Matcher[];
  readonly stages: readonly Stage[];
}

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
  readonly test: (value: string) => boolean;
}

export type Stage =
  | {
      readonly kind: 'line';
      readonly negated: boolean;
      /** One of them has to be there; of a negated filter, none may be. */
      readonly any: readonly (string | Pattern)[];
    }
  | { readonly kind: 'json' | 'logfmt'; readonly wanted: readonly Extraction[] }
  | { readonly kind: 'pattern'; readonly parts: readonly PatternPart[] }
  | { readonly kind: 'regexp'; readonly pattern: Pattern }
  | { readonly kind: 'line_format'; readonly parts: readonly ({ text: string } | { label: string })[] }
  | { readonly kind: 'labels'; readonly condition: Condition };

/** A label, and where in the text it is found: for JSON the steps to it, for logfmt one key. */
export interface Extraction {
  readonly label: string;
  readonly path: readonly (string | number)[];
}

/** Text that has to stand there, or what is captured: `undefined` for `<_>`. */
export type PatternPart = { readonly literal: string } | { readonly capture: string | undefined };

export type Comparison = '==' | '!=' | '>' | '>=' | '<' | '<=';

export type Condition =
  | { readonly kind: 'text'; readonly matcher: Matcher }
  | {
      readonly kind: 'amount';
      readonly label: string;
      readonly operator: Comparison;
      readonly value: number;
      /** How the label's text becomes a number. */
      readonly read: (text: string) => number | undefined;
    }
  | { readonly kind: 'and'; readonly left: Condition; readonly right: Condition }
  | { readonly kind: 'or'; readonly left: Condition; readonly right: Condition };

export const rangeFunctions = ['count_over_time', 'rate', 'bytes_over_time', 'bytes_rate'] as const;
export type RangeFunction = (typeof rangeFunctions)[number];
export const unwrapFunctions = ['sum_over_time', 'avg_over_time', 'min_over_time', 'max_over_time'] as const;
export type UnwrapFunction = (typeof unwrapFunctions)[number];
export const vectorFunctions = ['sum', 'min', 'max', 'avg', 'count', 'topk', 'bottomk'] as const;
export type VectorFunction = (typeof vectorFunctions)[number];

export interface Grouping {
  readonly mode: 'by' | 'without';
  readonly labels: readonly string[];
}

export interface RangeAggregation {
  readonly kind: 'range';
  readonly function: RangeFunction | UnwrapFunction;
  readonly log: LogQuery;
  readonly rangeMs: number;
  readonly offsetMs: number;
  /** The label whose number is taken instead of the line; the conversion gives seconds, bytes, or the number. */
  readonly unwrap:
    | { readonly label: string; readonly read: (text: string) => number | undefined }
    | undefined;
  readonly grouping: Grouping | undefined;
}

export type Metric =
  | RangeAggregation
  | {
      readonly kind: 'vector';
      readonly function: VectorFunction;
      readonly of: Metric;
      readonly grouping: Grouping | undefined;
      /** How many, for topk and bottomk. */
      readonly k: number;
    }
  | {
      readonly kind: 'binary';
      readonly operator: Arithmetic | Comparison;
      readonly left: Metric | number;
      readonly right: Metric | number;
    };

export type Arithmetic = '+' | '-' | '*' | '/' | '%' | '^';

/** The range aggregations of a metric, which are what reads lines. */
export function leavesOf(metric: Metric | number): readonly RangeAggregation[] {
  if (typeof metric === 'number') return [];
  if (metric.kind === 'range') return [metric];
  if (metric.kind === 'vector') return leavesOf(metric.of);
  return [...leavesOf(metric.left), ...leavesOf(metric.right)];
}
