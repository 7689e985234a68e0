import { describe, expect, test } from 'vitest';

import { ConfigError } from '#runtime/errors.ts';

import { parseUpstreams, withApproved, withUpstream } from './upstreams-file.ts';

const file = '/data/upstreams.json';
const parse = (text: string) => parseUpstreams(text, file);
const one = (entry: string) => `{\n  "upstreams": {\n    "a": ${entry}\n  }\n}`;

test('an entry has defaults for all that it does not say; comments may stand beside', () => {
  const text = `{ // mine
    "upstreams": {
      "far-one": { "url": "https://x.example/mcp", "headers": { "Authorization": "Bearer \${KEY}" } },
      "near": { "command": "npx", "args": ["-y", "thing"], "prefix": "", "sandbox": "files", "write": ["/srv"] },
    }
  }`;

  expect(parse(text)).toEqual([
    {
      name: 'far-one',
      prefix: 'far_one_',
      url: 'https://x.example/mcp',
      type: 'http',
      headers: { Authorization: 'Bearer ${KEY}' },
      enabled: true,
      timeoutMs: 60_000,
      approved: [],
    },
    {
      name: 'near',
      prefix: '',
      command: 'npx',
      args: ['-y', 'thing'],
      env: {},
      sandbox: 'files',
      read: [],
      write: ['/srv'],
      enabled: true,
      timeoutMs: 60_000,
      approved: [],
    },
  ]);
  expect([parse(''), parse('{}'), parse('{"upstreams": {}}')]).toEqual([[], [], []]);
});

test.each([
  ['no JSON', '{\n  "upstreams": {\n', 3, /close brace expected/],
  ['a list', '[]', 1, /must be an object: \{"upstreams": \{\}\}/],
  ['another field', '{\n"servers": {}}', 2, /servers: there is no such field; there is: upstreams/],
  ['a list of servers', '{"upstreams": []}', 1, /must be an object, with a name for each/],
  [
    'a name with large letters',
    '{"upstreams": {\n"Git Hub": {"url": "http://x"}}}',
    2,
    /cannot name a server/,
  ],
  [
    'a name of the fleet',
    '{"upstreams": {\n"memory": {"url": "http://x"}}}',
    2,
    /memory is a name of the fleet/,
  ],
  ['two of one name', '{"upstreams": {"a": {"url": "http://x"},\n"a": {"url": "http://y"}}}', 2, /twice/],
  ['neither url nor command', one('{"args": []}'), 3, /either "url" or "command"/],
  ['both', one('{"url": "http://x", "command": "x"}'), 3, /and not both/],
  ['a word', one('"npx"'), 3, /either "url" or "command"/],
  ['a misspelt field', one('{\n"command": "x",\n"arg": []}'), 5, /upstreams\.a\.arg: there is no such field/],
  [
    'a field of the other kind',
    one('{"url": "http://x", "env": {}}'),
    3,
    /no such field for a server with a url/,
  ],
  ['another protocol', one('{"url": "ftp://x"}'), 3, /begins with http/],
  ['a password in the url', one('{"url": "http://u:p@x"}'), 3, /must not contain a password/],
  ['a number for text', one('{"command": "x",\n"args": [5]}'), 4, /upstreams\.a\.args\.0: .*expected string/],
  ['a prefix with a dot', one('{"command": "x", "prefix": "a."}'), 3, /prefix: must be up to 24/],
  ['a header that is none', one('{"url": "http://x", "headers": {"a b": "c"}}'), 3, /headers/],
  ['a relative folder', one('{"command": "x", "cwd": "here"}'), 3, /cwd: must be a path in full/],
  ['a sandbox that there is not', one('{"command": "x", "sandbox": "full"}'), 3, /sandbox/],
  ['no time', one('{"command": "x", "timeoutMs": 0}'), 3, /timeoutMs/],
  ['a hash that is none', one('{"command": "x", "approved": ["x"]}'), 3, /approved\.0: must be a SHA-256/],
])('%s is refused with its line', (_what, text, line, message) => {
  const attempt = () => parse(text);

  expect(attempt).toThrow(ConfigError);
  expect(attempt).toThrow(`${file}, line ${line}`);
  expect(attempt).toThrow(message);
});

describe('a change', () => {
  const text = '{\n  // mine\n  "upstreams": {\n    "a": { "command": "x" } // old\n  }\n}\n';

  test('leaves the rest as it was written', () => {
    const added = withUpstream(text, 'b', { url: 'http://x' });

    expect(added).toContain('// mine');
    expect(added).toContain('// old');
    expect(parse(added).map(({ name }) => name)).toEqual(['a', 'b']);
    expect(parse(withUpstream(added, 'a', undefined)).map(({ name }) => name)).toEqual(['b']);
    expect(parse(withUpstream('', 'b', { url: 'http://x' }))).toHaveLength(1);
  });

  test('of what is approved goes to the server alone', () => {
    const hash = 'a'.repeat(64);
    const approved = withApproved(text, 'a', [hash]);

    expect(parse(approved)[0]?.approved).toEqual([hash]);
    expect(parse(withApproved(approved, 'a', []))[0]?.approved).toEqual([]);
  });
});
