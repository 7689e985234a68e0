import { readdirSync, readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { functions } from './search.ts';
import { functionName, signatureOf } from './signature.ts';
import type { ListedTool } from './surface.ts';

const object = (properties: object, required: readonly string[] = []) =>
  ({ type: 'object', properties, required }) as const;

test.each<readonly [Partial<ListedTool>, string]>([
  [{}, 'fleet.a_tool() -> str'],
  [{ name: 'resolve-library-id' }, 'fleet.resolve_library_id() -> str'],
  [{ name: 'import' }, 'fleet.call("import") -> str'],
  [
    { name: 'call', inputSchema: object({ n: { type: 'integer' } }, ['n']) },
    'fleet.call("call", n: int) -> str',
  ],
  [
    { inputSchema: object({ limit: { type: 'integer', default: 5 }, query: { type: 'string' } }, ['query']) },
    'fleet.a_tool(query: str, limit: int = 5) -> str',
  ],
  [
    { inputSchema: object({ from: { type: 'string' }, 'max-depth': { type: 'number' } }, ['from']) },
    'fleet.a_tool({"from": str, "max-depth"?: float}) -> str',
  ],
  [
    { inputSchema: object({ deep: { type: 'boolean', default: false }, way: { enum: ['a', 'b', 3] } }) },
    'fleet.a_tool(deep: bool = False, way: "a" | "b" | 3 = None) -> str',
  ],
  [
    {
      outputSchema: object(
        {
          rows: { type: 'array', items: object({ id: { type: ['integer', 'null'] } }, ['id']) },
          next: { anyOf: [{ type: 'string' }, { type: 'null' }] },
          map: { type: 'object', additionalProperties: { type: 'number' } },
          any: {},
        },
        ['rows'],
      ),
    },
    'fleet.a_tool() -> {"rows": list[{"id": int | None}], "next"?: str | None, "map"?: dict[str, float], "any"?: Any}',
  ],
])('a tool as a function: %j', (tool, signature) => {
  expect(signatureOf({ name: 'a_tool', inputSchema: { type: 'object' }, ...tool }, false)).toBe(signature);
});

test('what a tool and its arguments say of themselves stands below, in one line each', () => {
  const inputSchema = object({ a: { type: 'string', description: 'One\nthing.' }, b: { type: 'string' } }, [
    'a',
  ]);
  const text = signatureOf({ name: 'x', description: `Does ${'much '.repeat(100)}`, inputSchema }, true);

  expect(text.split('\n')).toEqual([
    'fleet.x(a: str, b: str = None) -> str',
    expect.stringMatching(/^ {2}Does much .{180,190}…$/),
    '  a: One thing.',
  ]);
});

test('no schema, however deep or wide, makes a long answer', () => {
  let deep: object = { type: 'string' };
  for (let level = 0; level < 5_000; level += 1) deep = object({ again: deep }, ['again']);
  const wide = object(
    Object.fromEntries(
      Array.from({ length: 3_000 }, (_, at) => [`argument_${at}`, { type: 'string', description: 'x' }]),
    ),
  );
  const named = (name: string, inputSchema: ListedTool['inputSchema'], outputSchema?: object) => ({
    service: 'big',
    tool: { name, inputSchema, ...(outputSchema && { outputSchema }) },
  });

  expect(
    signatureOf({ name: 'x', inputSchema: { type: 'object' }, outputSchema: deep }, false).length,
  ).toBeLessThan(200);
  expect(signatureOf({ name: 'x', inputSchema: { type: 'object' }, outputSchema: wide }, false)).toBe(
    'fleet.x() -> dict',
  );
  const text = functions([named('small', object({})), named('wide', wide), named('other', wide)]);
  expect(Buffer.byteLength(text)).toBeLessThan(33_000);
  expect(text).toContain('fleet.small()');
  expect(text).toContain('fleet.wide(…)');
});

test('each tool of the fleet is a function of its own name, and most are shorter than their schemas', () => {
  const folder = new URL('../tests/surface/', import.meta.url);
  const all = readdirSync(folder).flatMap(
    (file) =>
      (JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { tools?: ListedTool[] }).tools ?? [],
  );
  expect(all.length).toBeGreaterThan(200);
  const length = (texts: readonly string[]) => texts.reduce((sum, text) => sum + text.length, 0);

  for (const tool of all) {
    expect(functionName(tool.name)).toBe(tool.name);
    expect(signatureOf(tool, false)).toMatch(new RegExp(`^fleet\\.${tool.name}\\(.*\\) -> `));
  }
  const told = length(all.map((tool) => signatureOf(tool, true)));
  expect(told).toBeLessThan(length(all.map(({ inputSchema }) => JSON.stringify(inputSchema))));
});
