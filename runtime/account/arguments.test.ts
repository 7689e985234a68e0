import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';

import { ToolError } from '../errors.ts';
import { defineTool } from '../tool.ts';
import { testCall } from '../testing.ts';
import { executeTool } from './execute.ts';

const hints = { readOnly: true, destructive: false, idempotent: true, openWorld: false };

/** Gives back what it was called with. */
const mirror = defineTool({
  name: 'mirror',
  title: 'Mirror',
  description: 'Gives back.',
  effect: 'read',
  hints,
  input: z.object({
    names: z.array(z.string()).optional(),
    limit: z.int().optional(),
    ratio: z.number().optional(),
    deep: z.boolean().optional(),
    filter: z.strictObject({ tags: z.array(z.string()), since: z.string().optional() }).optional(),
    entities: z.array(z.strictObject({ name: z.string(), size: z.int().optional() })).optional(),
    text: z.string().optional(),
    nothing: z.string().nullable().optional(),
    content: z.union([z.string(), z.array(z.string())]).optional(),
    flag: z.union([z.boolean(), z.enum(['true', 'false'])]).optional(),
  }),
  output: z.object({ args: z.unknown() }),
  handler: (args, _deps: object) => ({ args }),
});

async function taken(args: unknown): Promise<{ args: unknown; isMended: boolean }> {
  let isMended = false;
  const reply = await executeTool(mirror, args, {}, testCall(), () => {
    isMended = true;
  });
  return { args: (reply as unknown as { value: { args: unknown } }).value.args, isMended };
}

describe('An argument', () => {
  test.each([
    [{ names: '["A", "B"]' }, { names: ['A', 'B'] }],
    [{ names: '[]' }, { names: [] }],
    [{ limit: '5' }, { limit: 5 }],
    [{ ratio: '0.5' }, { ratio: 0.5 }],
    [{ deep: 'true' }, { deep: true }],
    [{ filter: '{"tags": ["x"]}' }, { filter: { tags: ['x'] } }],
    [{ filter: { tags: '["x"]' } }, { filter: { tags: ['x'] } }],
    [{ filter: '{"tags": "[\\"x\\"]", "since": null}' }, { filter: { tags: ['x'] } }],
    [{ entities: '[{"name": "A", "size": "3"}]' }, { entities: [{ name: 'A', size: 3 }] }],
    [{ names: null, limit: null, text: null }, {}],
    [
      { limit: '5', nothing: null },
      { limit: 5, nothing: null },
    ],
    [
      { limit: '5', content: '["x"]' },
      { limit: 5, content: '["x"]' },
    ],
    [
      { limit: '5', text: '7' },
      { limit: 5, text: '7' },
    ],
    [
      { limit: '5', flag: 'true' },
      { limit: 5, flag: 'true' },
    ],
  ])('that is meant otherwise than written is read as it is meant: %j', async (args, meant) => {
    expect(await taken(args)).toEqual({ args: meant, isMended: true });
  });

  test.each([
    { limit: '5 items' },
    { limit: '' },
    { limit: '5.5' },
    { limit: [5] },
    { names: 'A' },
    { names: '{"0": "A"}' },
    { names: '[1]' },
    { deep: 'yes' },
    { deep: 1 },
    { text: 7 },
    { text: ['x'] },
    { filter: null, unknown: null },
    { filter: { tags: null } },
  ])('that could mean something else, or nothing, is refused: %j', async (args) => {
    await expect(async () => taken(args)).rejects.toThrow(ToolError);
  });

  test('in the right form is left as it is, and not counted', async () => {
    const args = { names: ['[1]'], limit: 1, text: '["x"]', content: '[]', flag: 'false' };

    expect(await taken(args)).toEqual({ args, isMended: false });
  });

  test('is read from texts that have together as many keys and values as a request', async () => {
    const names = (count: number) => JSON.stringify(Array.from({ length: count }, () => 'x'));

    expect(await taken({ names: names(90_000) })).toMatchObject({ isMended: true });
    await expect(async () => taken({ names: names(100_001) })).rejects.toThrow(ToolError);
    await expect(async () =>
      taken({ names: names(60_000), filter: { tags: names(60_000) } }),
    ).rejects.toThrow(ToolError);
  });

  test('of any value is taken or refused, and never breaks', async () => {
    const property = fc.asyncProperty(
      fc.dictionary(fc.constantFrom('names', 'limit', 'filter', 'entities', '__proto__'), fc.jsonValue()),
      async (args) => {
        await taken(args).catch((error: unknown) => {
          if (!(error instanceof ToolError)) throw error;
        });
      },
    );

    await expect(fc.assert(property, { numRuns: 500 })).resolves.toBeUndefined();
  });
});
