/** RULES.md against the tests that it names. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

const home = import.meta.dirname;

interface Rule {
  readonly sentence: string;
  readonly tests: readonly string[];
}

/** Items of lists: a sentence, and below it the titles of tests, each in a line of its own. */
function rulesIn(page: string): Rule[] {
  const items = page.split(/^- /m).slice(1);
  return items.map((item) => {
    const [sentence = '', ...lines] = (item.split(/\n\s*\n/)[0] ?? '').split('\n').map((line) => line.trim());
    return {
      sentence,
      tests: lines.filter((line) => line !== '').map((line) => line.replaceAll(/^`|`$/g, '')),
    };
  });
}

/** What is the first argument of a test. */
function titlesIn(source: string): string[] {
  const calls =
    /(?:\b(?:test|trial)|\))\(\s*(?<quote>['"`])(?<title>(?:(?!\k<quote>)[^\\\n]|\\.)*)\k<quote>,/g;
  return [...source.matchAll(calls)].map(({ groups }) => groups?.['title'] ?? '');
}

/** WHEN, WHILE or IF … THEN, and what the hub SHALL do. */
const ears = /^(?:WHEN .+, |WHILE .+, |IF .+, THEN )(?:the hub|it) SHALL (?:NOT )?[a-z].*\.$/;

function faultsIn(page: string, sources: readonly string[]): string[] {
  const titles = new Set(sources.flatMap(titlesIn));
  return rulesIn(page).flatMap(({ sentence, tests }) => [
    ...(ears.test(sentence) ? [] : [`not in EARS: ${sentence}`]),
    ...(tests.length > 0 ? [] : [`without a test: ${sentence}`]),
    ...tests.filter((title) => !titles.has(title)).map((title) => `no such test: ${title}`),
  ]);
}

test('Each rule is a sentence in EARS, and the tests that it names exist', () => {
  const page = readFileSync(join(home, 'RULES.md'), 'utf8');
  const sources = globSync('**/*.test.ts', { cwd: home }).map((path) =>
    readFileSync(join(home, path), 'utf8'),
  );

  expect(rulesIn(page).length).toBeGreaterThan(50);
  expect(faultsIn(page, sources)).toEqual([]);
});

test.each([
  ['- The hub is good.\n  `works`', 'not in EARS: The hub is good.'],
  ['- WHEN a, the hub does b.\n  `works`', 'not in EARS: WHEN a, the hub does b.'],
  ['- WHEN a, the hub SHALL do b.', 'without a test: WHEN a, the hub SHALL do b.'],
  ['- WHEN a, the hub SHALL do b.\n  `works`\n  `works not`', 'no such test: works not'],
  ['- WHEN a, the hub SHALL do b.\n  `a text`', 'no such test: a text'],
])('A fault in %j is found', (page, fault) => {
  expect(faultsIn(page, ["test('works', () => { say('a text'); });"])).toEqual([fault]);
});

test('A sentence in EARS with its tests has no fault', () => {
  const page = '- IF a, THEN the hub SHALL NOT do b.\n  `works`\n  `%s works`\n\nMore.\n';

  expect(faultsIn(page, ["trial('works', f);", "test.each([1])(\n  '%s works', f);"])).toEqual([]);
});
