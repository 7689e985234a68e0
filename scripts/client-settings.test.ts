import { parse } from 'jsonc-parser';
import { describe, expect, test } from 'vitest';

import { addedBy, mergedSettings, withoutOurs } from './client-settings.ts';

const due = JSON.stringify({ mcpServers: { 'flotilla-a': { url: 'a' }, 'flotilla-b': { url: 'b' } } });
const merged = (before: string, what = due) => mergedSettings(before, what, '/home/settings.json');

const withComments = `{ // of mine
  /* servers */
  "mcpServers": { // all
    "other": { "url": "x" }, // keep x
    "flotilla-gone": { "url": "y" }, // it was ours
    // about z
    "z": { "url": "z" } // keep z
    , "flotilla-last": {}
  },
  "theme": "dark", // keep dark
}
`;

describe('settings of JSON', () => {
  test.each([
    ['empty', ''],
    ['an empty object', '{}'],
    ['of one line', '{"mcpServers":{"other":{"url":"x"}},"theme":"dark"}'],
    ['without servers', '{\n  "theme": "dark"\n}\n'],
    ['with an empty list', '{\n  "mcpServers": {}\n}\n'],
    ['with a comment alone', '{\n  "mcpServers": {\n    // none yet\n  }\n}\n'],
    ['with old ones of ours', '{"mcpServers":{"flotilla-gone":{},"flotilla-b":{"url":"old"}}}'],
    ['with comments', withComments],
    ['with ends of lines as on Windows', '{\r\n  "mcpServers": {\r\n    "other": 1\r\n  }\r\n}\r\n'],
  ])('%s get the servers that are due, once, and keep the others', (_what, before) => {
    const after = merged(before);

    const { mcpServers: old = {}, ...rest } = (parse(before) ?? {}) as Record<string, object>;
    const others = Object.entries(old).filter(([name]) => !name.startsWith('flotilla-'));
    const { mcpServers } = JSON.parse(due) as { mcpServers: object };
    const errors: object[] = [];
    expect(parse(after, errors as never, { allowTrailingComma: true })).toEqual({
      ...rest,
      mcpServers: { ...mcpServers, ...Object.fromEntries(others) },
    });
    expect(errors).toEqual([]);
    expect(merged(after)).toBe(after);
  });

  test('keep every comment, and each beside what it is about', () => {
    expect(merged(withComments)).toBe(`{ // of mine
  /* servers */
  "mcpServers": { // all
    "flotilla-a": {
      "url": "a"
    },
    "flotilla-b": {
      "url": "b"
    },
    "other": { "url": "x" }, // keep x
     // it was ours
    // about z
    "z": { "url": "z" } // keep z
  },
  "theme": "dark", // keep dark
}
`);
  });

  test('get an element of a list by its id', () => {
    const inputs = JSON.stringify({ inputs: [{ id: 'flotilla', type: 'x' }] });

    expect(parse(merged('{"inputs":[null, 5, {"id":"mine"}]}', inputs))).toEqual({
      inputs: [{ id: 'flotilla', type: 'x' }, null, 5, { id: 'mine' }],
    });
    const there = '{"inputs":[{"id":"flotilla","type":"changed"}]}';
    expect(merged(there, inputs)).toBe(there);
  });

  test.each([
    ['{ "mcpServers": [', 'is no JSON that can be merged into'],
    ['[]', 'is no JSON that can be merged into'],
    ['{ "mcpServers": 5 }', 'has a "mcpServers" that is no object'],
    ['{ "mcpServers": null }', 'has a "mcpServers" that is no object'],
    ['{ "mcpServers": [] }', 'has a "mcpServers" that is no object'],
  ])('%s are refused', (before, complaint) => {
    expect(() => merged(before)).toThrow(`/home/settings.json ${complaint}: mend it, or paste`);
  });
});

describe('settings that are given up', () => {
  const withInputs = JSON.stringify({
    servers: { flotilla: { url: 'a' }, 'flotilla-b': { url: 'b' } },
    inputs: [{ id: 'flotilla', type: 'x' }],
  });
  const undone = (before: string) => {
    const added = addedBy(before, withInputs, 'a.json');
    return withoutOurs(mergedSettings(before, withInputs, 'a.json'), withInputs, added, 'a.json');
  };

  test.each([
    ['{\n  "theme": "dark"\n}\n'],
    ['{\n  "servers": {\n    "mine": {} // of mine\n  },\n  "theme": "dark" // keep\n}\n'],
    ['{\n  "servers": {\n    "flotillas": 1\n  },\n  "inputs": [\n    { "id": "mine" }\n  ]\n}\n'],
    ['{\n  "inputs": [\n    { "id": "flotilla", "type": "mine" }\n  ]\n}\n'],
    ['// nothing yet\n{\n}\n'],
  ])('%j are byte for byte as they were', (before) => {
    expect(undone(before)).toBe(before);
  });

  test.each([
    '{}',
    '',
    '{"servers":{},"inputs":[]}',
    '{"servers":{"mine":{}},"theme":"dark"}',
    '{"inputs":[5,null]}',
  ])('%j mean what they meant', (before) => {
    expect(parse(undone(before) || '{}')).toEqual(parse(before || '{}'));
  });

  test('that were changed since keep what was changed', () => {
    const before = '{\n  "theme": "dark"\n}\n';
    const added = addedBy(before, withInputs, 'a.json');
    const merged = mergedSettings(before, withInputs, 'a.json');
    const changed = merged.replace('"servers": {', '"servers": {\n    "mine": { "url": "m" },');

    expect(parse(withoutOurs(changed, withInputs, added, 'a.json'))).toEqual({
      servers: { mine: { url: 'm' } },
      theme: 'dark',
    });
  });

  test.each([
    ['model = "x"\n'],
    ['model = "x"\n\n# about y\n[mcp_servers.y]\ncommand = "y"\n'],
    ['[mcp_servers.flotillas]\ncommand = "y"\n'],
    [''],
  ])('of TOML, %j are byte for byte as they were', (before) => {
    const tables =
      '[mcp_servers.flotilla]\nurl = "a"\n\n[mcp_servers.flotilla.env]\nB = "c"\n\n[mcp_servers.flotilla-b]\nurl = "b"';

    expect(withoutOurs(mergedSettings(before, tables, 'a.toml'), '', [], 'a.toml')).toBe(before);
  });

  test('that cannot be read are refused', () => {
    expect(() => withoutOurs('{ "servers": [', withInputs, [], 'a.json')).toThrow('is no JSON');
    expect(() => withoutOurs('{ "servers": 5 }', withInputs, [], 'a.json')).not.toThrow();
  });
});

describe('settings of TOML', () => {
  const tables = '[mcp_servers.flotilla-a]\nurl = "a"';
  const mergedToml = (before: string) => mergedSettings(before, tables, '/home/config.toml');

  test('keep the comments around tables of ours', () => {
    const before =
      'model = "x"\n\n[mcp_servers.flotilla-gone]\nurl = "old"\n\n# about y\n[mcp_servers.y]\ncommand = "y"\n';

    const after = mergedToml(before);

    expect(after).toBe(`model = "x"\n\n# about y\n[mcp_servers.y]\ncommand = "y"\n\n${tables}\n`);
    expect(mergedToml(after)).toBe(after);
  });

  test('with all servers on one line are refused', () => {
    expect(() => mergedToml('mcp_servers = { y = {} }\n')).toThrow(
      'has its mcp_servers on one line: mend it',
    );
  });
});
