/** Of each tool: wrong types, missing and unknown arguments, values that are too large or lead elsewhere. Nothing changes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { maxCodeLength, maxTimeoutMs, maxWriteLength } from './limits.ts';
import { codeOf, newSession, openForTest, told } from './python.fixture.ts';
import { allTools } from './service.ts';

const python = openForTest();
let session: { readonly session_id: string };
beforeAll(async () => {
  session = { session_id: await newSession(python) };
  await told(python, 'write_python_file', { ...session, path: 'a.txt', content: 'text' });
});
afterAll(async () => python[Symbol.asyncDispose]());

const unknown = { session_id: `py_${'0'.repeat(24)}` };
const climbing = [
  '../a',
  '/etc/passwd',
  'a/../../b',
  './a',
  'a//b',
  'a/',
  '',
  '.',
  '\0',
  'a\0b',
  '.tmp/a',
  'x'.repeat(600),
];
const cursors = ['', 'x', Buffer.from('{"at":[0],"check":"x"}').toString('base64url'), 'x'.repeat(50_000)];

const wrong: Readonly<Record<string, readonly (readonly [args: object, code: string])[]>> = {
  run_python_code: [
    [{}, 'invalid_input'],
    [{ python_code: ['1'] }, 'invalid_input'],
    [{ python_code: 'x'.repeat(maxCodeLength + 1) }, 'invalid_input'],
    [{ python_code: '"\ud800"' }, 'invalid_input'],
    [{ python_code: '1', global_variables: [1] }, 'invalid_input'],
    [{ python_code: '1', timeout_ms: 0 }, 'invalid_input'],
    [{ python_code: '1', timeout_ms: maxTimeoutMs + 1 }, 'invalid_input'],
    [{ python_code: '1', timeout_ms: 1.5 }, 'invalid_input'],
    [{ python_code: '1', return_format: 'yaml' }, 'invalid_input'],
    [{ python_code: '1', session_id: '../x' }, 'invalid_input'],
    [{ python_code: '1', ...unknown }, 'not_found'],
  ],
  create_python_session: [
    [{ name: 'x'.repeat(300) }, 'invalid_input'],
    [{ name: 'a\0b' }, 'invalid_input'],
    [{ name: { a: 1 } }, 'invalid_input'],
  ],
  list_python_sessions: [
    [{ limit: 0 }, 'invalid_input'],
    [{ limit: 10_000 }, 'invalid_input'],
    ...cursors.map((cursor) => [{ cursor }, 'invalid_input'] as const),
  ],
  reset_python_session: [
    [{}, 'invalid_input'],
    [unknown, 'not_found'],
    [{ session_id: 'x' }, 'invalid_input'],
  ],
  close_python_session: [
    [{}, 'invalid_input'],
    [unknown, 'not_found'],
    [{ session_id: "py_' OR 1=1 --" }, 'invalid_input'],
  ],
  interrupt_python: [
    [{}, 'invalid_input'],
    [unknown, 'not_found'],
  ],
  write_python_file: [
    [{ path: 'b', content: 'x' }, 'invalid_input'],
    [{ ...unknown, path: 'b', content: 'x' }, 'not_found'],
    ...climbing.map((path) => [{ path, content: 'x', own: true }, 'invalid_input'] as const),
    [{ path: 'b', own: true }, 'invalid_input'],
    [{ path: 'ä'.repeat(200), content: 'x', own: true }, 'invalid_input'],
    [{ path: 'a.txt/b', content: 'x', own: true }, 'conflict'],
    [{ path: 'b', content: 'x'.repeat(maxWriteLength + 1), own: true }, 'invalid_input'],
    [{ path: 'b', content: 'half \ud800', own: true }, 'invalid_input'],
    [{ path: 'b', content: 'no base64!', encoding: 'base64', own: true }, 'invalid_input'],
    [{ path: 'b', content: 'x', encoding: 'latin1', own: true }, 'invalid_input'],
  ],
  read_python_file: [
    [{ path: 'a.txt' }, 'invalid_input'],
    [{ ...unknown, path: 'a.txt' }, 'not_found'],
    ...climbing.map((path) => [{ path, own: true }, 'invalid_input'] as const),
    [{ path: 'missing', own: true }, 'not_found'],
    [{ path: 'a.txt', offset: 5, own: true }, 'invalid_input'],
    [{ path: 'a.txt', offset: -1, own: true }, 'invalid_input'],
    [{ path: 'a.txt', limit: 10 ** 9, own: true }, 'invalid_input'],
  ],
  list_python_files: [
    [{}, 'invalid_input'],
    [unknown, 'not_found'],
    ...cursors.map((cursor) => [{ cursor, own: true }, 'invalid_input'] as const),
  ],
  get_python_variables: [
    [{}, 'invalid_input'],
    [unknown, 'not_found'],
    ...cursors.map((cursor) => [{ cursor, own: true }, 'invalid_input'] as const),
  ],
  list_python_packages: [
    [{ limit: 'many' }, 'invalid_input'],
    ...cursors.map((cursor) => [{ cursor }, 'invalid_input'] as const),
  ],
};

describe('Bad input', () => {
  test.each(allTools.map(({ name }) => name))('of %s is refused, and changes nothing', async (name) => {
    const cases = wrong[name] ?? [];
    expect(cases.length).toBeGreaterThan(0);
    for (const [given, code] of [...cases, [{ a_misspelt_argument: 1 }, 'invalid_input'] as const]) {
      const { own, ...args } = given as { own?: true };
      const all = own ? { ...session, ...args } : args;
      expect(await codeOf(told(python, name, all)), JSON.stringify(given).slice(0, 100)).toBe(code);
    }

    const { value } = await told(python, 'list_python_sessions', {});
    expect(value['sessions']).toMatchObject([{ ...session, files: 1, bytes: 4, runs: 0 }]);
  });
});
