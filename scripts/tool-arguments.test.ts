import { expect, test } from 'vitest';

import { UsageError } from '#runtime/errors.ts';

import { describeArguments, parseFlags } from './tool-arguments.ts';

const schema = {
  type: 'object',
  properties: {
    query: { type: 'string', description: 'Words.' },
    max_results: { type: 'integer', default: 20 },
    dryRun: { type: 'boolean' },
    tags: { type: 'array', items: { type: 'string' } },
    counts: { type: 'array', items: { type: 'number' } },
    filter: { type: 'object' },
    since: { anyOf: [{ type: 'string' }, { type: 'number' }] },
    kind: { type: 'string', enum: ['a', 'b'] },
  },
  required: ['query'],
} as const;

test.each<[readonly string[], Record<string, unknown>]>([
  [[], {}],
  [['--query', 'tea'], { query: 'tea' }],
  [['--query=a=b'], { query: 'a=b' }],
  [['--query', '--dashes'], { query: '--dashes' }],
  [['--query', '42'], { query: '42' }],
  [['--max-results', '5'], { max_results: 5 }],
  [['--maxResults=5'], { max_results: 5 }],
  [['--dry-run'], { dryRun: true }],
  [['--dryRun', 'false'], { dryRun: false }],
  [['--no-dry-run', '--query', 'x'], { dryRun: false, query: 'x' }],
  [['--tags', 'a', '--tags', 'b'], { tags: ['a', 'b'] }],
  [['--tags', '["a","b"]'], { tags: ['a', 'b'] }],
  [['--counts', '1', '--counts', '2'], { counts: [1, 2] }],
  [['--filter', '{"a":1}'], { filter: { a: 1 } }],
  [['--since', '2026-01-01'], { since: '2026-01-01' }],
])('%j', (words, args) => {
  expect(parseFlags(words, schema)).toEqual(args);
});

test.each<[readonly string[], RegExp]>([
  [['--qery', 'x'], /no argument --qery\. Did you mean query\?/],
  [['tea'], /give arguments as --name value/],
  [['--query'], /--query needs a value/],
  [['--max-results', 'many'], /takes a number, not "many"/],
  [['--filter', 'x'], /takes JSON/],
])('%j is refused', (words, complaint) => {
  const attempt = () => parseFlags(words, schema);

  expect(attempt).toThrow(UsageError);
  expect(attempt).toThrow(complaint);
});

test('arguments are told with their types, and which are needed', () => {
  expect(describeArguments(schema)).toEqual(
    expect.arrayContaining([
      ['--query', 'string', 'needed', 'Words.'],
      ['--max_results', 'integer', 'default 20', ''],
      ['--tags', 'list of string', '', ''],
      ['--since', 'string | number', '', ''],
      ['--kind', 'a | b', '', ''],
    ]),
  );
});
