import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { catalogue, isService } from '#config/catalogue.ts';
import { ToolError } from '#runtime/errors.ts';
import { pageBytes } from '#runtime/page.ts';
import { invoke, testCall } from '#runtime/testing.ts';
import type { Steps } from '#runtime/turns.ts';

import { find, indexing, type Listing } from './find.ts';
import { laterQuestions, questions, unseenQuestions, type Question } from './find-questions.fixture.ts';
import { calledTool, findTools, searchTools } from './search.ts';
import type { ListedTool } from './surface.ts';

/** What the services list: generated from them, and held current by the check. */
const listings: readonly Listing[] = catalogue.filter(isService).flatMap(({ name: service }) => {
  const path = new URL(`../tests/surface/${service}.json`, import.meta.url);
  const { tools } = JSON.parse(readFileSync(path, 'utf8')) as { readonly tools: readonly ListedTool[] };
  return tools.map((tool) => ({ service, tool }));
});

function done<Value>(steps: Steps<Value>): Value {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

const index = done(indexing(listings));
const everything = { index, admits: () => true };

const isFound = ({ text, right }: Question) =>
  find(index, text, 5).some(({ service, tool }) => right.includes(`${service}.${tool.name}`));

test('the right tool is among the first five for at least 95 of 100 questions', () => {
  const known = new Set(listings.map(({ service, tool }) => `${service}.${tool.name}`));
  const right = [...questions, ...laterQuestions, ...unseenQuestions].flatMap((question) => question.right);
  expect(right.filter((name) => !known.has(name))).toEqual([]);
  expect(new Set(questions.map(({ text }) => text)).size).toBe(100);

  const missed = questions.filter((question) => !isFound(question)).map(({ text }) => text);

  expect(missed.length, missed.join('\n')).toBeLessThanOrEqual(5);
});

test('half of the questions were never used to tune it, and it finds 45 of those 50', () => {
  const measured = questions.filter(({ isTuned }) => !isTuned);
  expect(measured).toHaveLength(50);

  expect(measured.filter(isFound).length).toBeGreaterThanOrEqual(45);
});

test('of 120 further questions it finds 114', () => {
  expect(laterQuestions).toHaveLength(120);

  expect(laterQuestions.filter(isFound).length).toBeGreaterThanOrEqual(114);
});

test('of 40 questions that it was never tuned with it finds 32', () => {
  expect(unseenQuestions).toHaveLength(40);

  expect(unseenQuestions.filter(isFound).length).toBeGreaterThanOrEqual(32);
});

test('a tool that is named comes first, and one that is not admitted never', () => {
  const [named] = find(index, 'schema of git_reflog please', 5);
  const without = find(index, 'git_reflog', 20, ({ tool }) => tool.name !== 'git_reflog');

  expect(named?.tool.name).toBe('git_reflog');
  expect(without.map(({ tool }) => tool.name)).not.toContain('git_reflog');
  expect(without.length).toBeGreaterThan(0);
});

test('a question that says nothing finds nothing', () => {
  expect(find(index, '', 5)).toEqual([]);
  expect(find(index, '?!… 🪐 zzzz', 5)).toEqual([]);
  expect(find(done(indexing([])), 'tokens', 5)).toEqual([]);
});

test('find_tools answers name, service, one line and the schema of each, of one service alone where that is named', async () => {
  const all = await invoke(findTools, { question: 'who wrote this line' }, everything, testCall());
  const ofMemory = await invoke(
    findTools,
    { question: 'undo the last change', service: 'memory', limit: 20 },
    everything,
    testCall(),
  );

  const blame = listings.find(({ tool }) => tool.name === 'git_blame')?.tool;
  expect(all.tools).toHaveLength(5);
  expect(all.tools[0]).toEqual({
    name: 'git_blame',
    service: 'git',
    description: blame?.description,
    inputSchema: blame?.inputSchema,
  });
  expect(new Set(ofMemory.tools.map(({ service }) => service))).toEqual(new Set(['memory']));
});

test('an answer of find_tools is bounded, whatever the schemas are', async () => {
  const big = (name: string, entries: number, described: string): Listing => ({
    service: 'big',
    tool: {
      name,
      description: `widget ${'long '.repeat(200)}`,
      inputSchema: {
        type: 'object',
        properties: Object.fromEntries(
          Array.from({ length: entries }, (_, at) => [
            `widget${at}`,
            { type: 'string', description: described },
          ]),
        ),
      },
    },
  });
  const others = [big('a_1', 300, 'x'.repeat(200)), big('a_2', 3_000, 'x'), big('a_3', 3_000, 'x')];
  const searched = { index: done(indexing(others)), admits: () => true };

  const ofAll = await invoke(findTools, { question: 'widget', limit: 20 }, searched, testCall());
  const ofLarge = await invoke(findTools, { question: 'a_2', limit: 1 }, searched, testCall());

  for (const value of [ofAll, ofLarge]) {
    expect(value.tools.length).toBeGreaterThan(0);
    expect(Buffer.byteLength(JSON.stringify(value))).toBeLessThan(pageBytes + 500);
  }
  expect(ofAll.note).toContain('ask for fewer');
  expect(ofLarge.tools[0]?.name).toBe('a_2');
});

test.each([
  [{}, 'invalid_input'],
  [{ question: '' }, 'invalid_input'],
  [{ question: 'x'.repeat(1_001) }, 'invalid_input'],
  [{ question: { text: 'a' } }, 'invalid_input'],
  [{ question: 'tokens', limit: 0 }, 'invalid_input'],
  [{ question: 'tokens', limit: 21 }, 'invalid_input'],
  [{ question: 'tokens', first: 3 }, 'invalid_input'],
  [{ question: 'tokens', service: 'nobody' }, 'not_found'],
])('find_tools refuses %j', async (args, code) => {
  await expect(invoke(findTools, args as never, everything, testCall())).rejects.toMatchObject({ code });
});

test('call_tool says what it calls, and refuses what names nothing', () => {
  expect(calledTool({ name: 'git_log', arguments: { repo_path: '/a' } })).toEqual({
    name: 'git_log',
    arguments: { repo_path: '/a' },
  });
  expect(calledTool({ name: 'git_log', arguments: '{"repo_path":"/a"}' }).arguments).toEqual({
    repo_path: '/a',
  });
  expect(calledTool({ name: 'git_log' }).arguments).toEqual({});

  const bad: readonly unknown[] = [
    undefined,
    {},
    { name: 3 },
    { name: '' },
    { name: 'a', arguments: [] },
    { name: 'a', arguments: 'b' },
    { name: 'a', more: 1 },
  ];
  for (const args of bad) expect(() => calledTool(args), JSON.stringify(args)).toThrow(ToolError);
});

test('the list of a client that searches names every service, in bounded text', () => {
  const purposes = catalogue
    .filter(isService)
    .map(({ name, description }) => ({ name, purpose: description }));
  const [first, second, ...rest] = searchTools(purposes);

  expect(rest).toEqual([]);
  for (const { name } of purposes) expect(first?.description).toContain(`- ${name}: `);
  expect(second?.name).toBe('call_tool');

  const many = Array.from({ length: 1_000 }, (_, at) => ({ name: `s${at}`, purpose: 'x\n'.repeat(500) }));
  expect(searchTools(many)[0]?.description).toContain('and 940 more');
  expect(JSON.stringify(searchTools(many)).length).toBeLessThan(15_000);
});
