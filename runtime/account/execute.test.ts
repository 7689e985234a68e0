import { describe, expect, test } from 'vitest';
import { z } from 'zod';

import { ToolError } from '../errors.ts';
import { executeTool } from './execute.ts';
import { invoke, testCall } from '../testing.ts';
import { defineTool, ProtocolResult, Reply, type Answer } from '../tool.ts';
import { takeTurn } from '../turns.ts';

function toolThat(handler: (args: { name: string; count: number }) => Answer<{ greeting: string }>) {
  return defineTool({
    name: 'greet',
    title: 'Greet',
    description: 'Greets.',
    effect: 'read',
    hints: { readOnly: true, destructive: false, idempotent: true, openWorld: false },
    input: z.object({ name: z.string().max(5), count: z.int().default(1) }),
    output: z.object({ greeting: z.string() }),
    handler,
  });
}

const greet = toolThat(({ name, count }) => ({ greeting: `Hello ${name}`.repeat(count) }));

async function failureOf(args: unknown): Promise<ToolError> {
  return invoke(greet, args, {}).then(
    () => expect.fail('it went well'),
    (error: unknown) => error as ToolError,
  );
}

describe('Arguments', () => {
  test('that fit reach the handler with their defaults', async () => {
    expect(await invoke(greet, { name: 'Ada' }, {})).toEqual({ greeting: 'Hello Ada' });
  });

  test.each([
    { args: { name: 'Ada', nmae: 'x' }, says: 'nmae' },
    { args: {}, says: 'name: ' },
    { args: undefined, says: 'name: ' },
    { args: null, says: 'name: ' },
    { args: { name: 'too long' }, says: 'name: ' },
    { args: { name: 'Ada', count: 'two' }, says: 'count: ' },
    { args: [], says: 'greet' },
    { args: 'Ada', says: 'greet' },
  ])('that do not fit are refused by name: $args', async ({ args, says }) => {
    const failure = await failureOf(args);

    expect(failure).toBeInstanceOf(ToolError);
    expect(failure.code).toBe('invalid_input');
    expect(failure.message).toContain(says);
  });

  test.each(['{"body":1e999}', '{"body":{"list":[0,{"n":-1e400}]}}'])(
    'with a number that would become null are refused: %s',
    async (json) => {
      const open = { ...greet, input: z.object({ body: z.unknown() }) } as unknown as typeof greet;

      const failure = await invoke(open, JSON.parse(json), {}).catch((error: unknown) => error as ToolError);

      expect(failure).toMatchObject({
        code: 'invalid_input',
        message:
          'Invalid arguments for greet: body: has a number that is too large to be one, such as 1e999.',
      });
    },
  );

  test('in a list are judged by the tool, each one by itself', async () => {
    const input = z.object({ body: z.array(z.unknown()) });
    const handler = ({ body }: z.output<typeof input>) => ({ greeting: String(body) });
    const open = { ...greet, input, handler } as unknown as typeof greet;

    expect(await invoke(open, JSON.parse('{"body":[1,1e309]}'), {})).toEqual({ greeting: '1,Infinity' });
  });

  test('wrong in many ways are answered with the first few and their number', async () => {
    const keys = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`key${index}`, z.string().describe('x')]),
    );
    const wide = { ...greet, name: 'wide', input: z.object(keys) } as unknown as typeof greet;

    const failure = await invoke(wide, {}, {}).catch((error: unknown) => error as ToolError);

    expect((failure as ToolError).message).toMatch(/and 45 more\.$/);
  });

  test('of which very many are unknown are counted, and the first few named', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 40_000 }, (_, number) => [`k${number}`, 1]));

    const { code, message } = await failureOf({ name: 'Ada', ...unknown });

    expect(code).toBe('invalid_input');
    expect(message).toBe(
      'Invalid arguments for greet: 40000 of them are unknown: "k0", "k1", "k2", "k3", "k4" and more.',
    );
  });

  test('named without end do not make the answer long', async () => {
    const args = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`unknown_argument_${index}`, 1]),
    );

    const failure = await failureOf({ name: 'Ada', ...args });

    expect(failure.message.length).toBeLessThan(2_000);
  });
});

describe('An answer', () => {
  test('that does not fit the output schema is a bug, not a failure of the call', async () => {
    const broken = toolThat(() => ({ greeting: 7 as unknown as string }));

    await expect(invoke(broken, { name: 'Ada' }, {})).rejects.toBeInstanceOf(z.ZodError);
  });

  test('keeps its content and metadata', async () => {
    const content = [{ type: 'text', text: 'Hello' }];
    const rich = toolThat(
      () => new Reply({ greeting: 'Hello' }, { content, meta: { 'flotilla/untrusted': true } }),
    );

    const reply = await executeTool(rich, { name: 'Ada' }, {}, testCall());

    expect(reply).toEqual(
      new Reply({ greeting: 'Hello' }, { content, meta: { 'flotilla/untrusted': true } }),
    );
  });

  test("in the protocol's own words passes as it stands", async () => {
    const result = new ProtocolResult({ resultType: 'input_required' });

    expect(
      await executeTool(
        { ...toolThat(() => result), asksBack: true as const },
        { name: 'Ada' },
        {},
        testCall(),
      ),
    ).toBe(result);
  });
});

test('answers that come together are checked in turn, with the work of others in between', async () => {
  const order: string[] = [];
  const slowly = z.string().refine((text) => {
    for (const endMs = performance.now() + 3; performance.now() < endMs;);
    return order.push(text);
  });
  const slow = defineTool({
    ...greet,
    output: z.object({ greeting: slowly }),
    handler: async () => ({ greeting: 'heavy' }),
  });
  const heavy = Array.from({ length: 5 }, async () =>
    executeTool(slow, { name: 'Ada' }, {}, testCall({ caller: 'heavy' })),
  );
  setImmediate(() => takeTurn('light', () => order.push('light')));
  await Promise.all(heavy);

  expect(order).toHaveLength(6);
  expect(order.indexOf('light')).toBeLessThan(4);
});

test('a long list of wrong items is looked at until there are some faults to tell', async () => {
  let looked = 0;
  const item = z.strictObject({
    name: z.string().refine(() => {
      looked += 1;
      return false;
    }, 'is no name'),
  });
  const tool = {
    ...greet,
    input: z.object({ people: z.array(item).max(10_000).optional() }),
  } as unknown as Parameters<typeof invoke>[0];
  const people = Array.from({ length: 10_000 }, () => ({ name: 'x' }));

  const failure = await invoke(tool, { people }, {}).catch((error: unknown) => error as ToolError);

  expect(failure).toMatchObject({
    code: 'invalid_input',
    message: expect.stringMatching(/: people\.0\.name: is no name; .*; and more\.$/) as string,
  });
  expect(looked).toBeLessThan(100);

  looked = 0;
  const tooMany = [...people, ...people];
  await expect(invoke(tool, { people: tooMany }, {})).rejects.toThrow('people: Too big');
  expect(looked).toBe(0);
});

describe('A very long list', () => {
  const people = (count: number) => Array.from({ length: count }, (_, age) => ({ name: 'Ada', age }));
  const seen: unknown[] = [];
  const counting = {
    ...greet,
    input: z.object({
      people: z
        .array(z.strictObject({ name: z.string(), age: z.int(), title: z.string().default('Dr') }))
        .min(2)
        .max(5_000)
        .optional(),
      tags: z.array(z.string().transform((tag) => tag.toLowerCase())).default(['none']),
      mode: z.enum(['all', 'some']).default('all'),
    }),
    handler: (args: unknown) => {
      seen.push(args);
      return { greeting: 'Hello' };
    },
  } as unknown as Parameters<typeof invoke>[0];

  test('reaches the handler as it would by itself', async () => {
    const args = { people: people(3_000), tags: Array(2_000).fill('TAG'), mode: 'some' };

    await invoke(counting, args, {});
    await invoke(counting, { people: people(1_500) }, {});

    const wanted = (given: object) => counting.input.parse(given);
    expect(seen).toEqual([wanted(args), wanted({ people: people(1_500) })]);
  });

  test.each([
    ['an unknown argument', { people: people(2_000), more: 1 }, /more/],
    ['too many', { people: people(5_001) }, /Too big/],
    ['a wrong item', { people: [...people(2_000), { name: 7, age: 1 }] }, /people\.2000\.name/],
    ['another wrong argument', { people: people(2_000), mode: 'none' }, /mode/],
  ])('beside or with %s is refused', async (_, args, message) => {
    await expect(invoke(counting, args, {})).rejects.toThrow(message);
  });

  test('is read in pieces, with the work of others in between', async () => {
    const order: string[] = [];
    const slowly = z.int().refine(() => {
      for (const endMs = performance.now() + 0.02; performance.now() < endMs;);
      return order.push('heavy');
    });
    const slow = { ...greet, input: z.object({ ages: z.array(slowly) }) } as unknown as typeof counting;
    const call = testCall({ caller: 'heavy' });
    const heavy = executeTool(slow, { ages: Array(2_000).fill(1) }, {}, call);
    setImmediate(() => takeTurn('light', () => order.push('light')));

    await heavy;

    expect(order).toHaveLength(2_001);
    expect(order.indexOf('light')).toBeLessThan(1_000);
  });
});
