import { expect, test } from 'vitest';
import { z } from 'zod';

import { ConfigError, exitOf } from '../errors.ts';
import { parseHostSettings, parseServiceSettings, settingsPrefix } from './settings.ts';

const schema = z.object({
  FLOTILLA_MEMORY_LIMIT: z.coerce.number().int().max(10).default(5),
});

test('A number that is out of its bounds is told the bound', () => {
  expect(() => parseHostSettings({ FLOTILLA_PORT_OFFSET: '70000' })).toThrow(
    /FLOTILLA_PORT_OFFSET: must be at most 15429/,
  );
  expect(() => parseHostSettings({ FLOTILLA_PORT_OFFSET: 'x' })).toThrow(/must be a number/);
});

test('Defaults stand where the environment says nothing, also by an empty variable', () => {
  expect(parseServiceSettings('memory', schema, {})).toEqual({ FLOTILLA_MEMORY_LIMIT: 5 });
  expect(parseServiceSettings('memory', schema, { FLOTILLA_MEMORY_LIMIT: '' })).toEqual({
    FLOTILLA_MEMORY_LIMIT: 5,
  });
  expect(parseServiceSettings('memory', schema, { FLOTILLA_MEMORY_LIMIT: '7' })).toEqual({
    FLOTILLA_MEMORY_LIMIT: 7,
  });
});

test('A misspelt setting of the service is named', () => {
  const parse = () => parseServiceSettings('memory', schema, { FLOTILLA_MEMORY_LIMITS: '7', PATH: '/bin' });

  expect(parse).toThrow(ConfigError);
  expect(parse).toThrow(/^Unknown setting: FLOTILLA_MEMORY_LIMITS\. See config\/env\.example/);
});

test('A misspelt setting of the host is named, one of another service is not its business', () => {
  expect(() => parseHostSettings({ FLOTILLA_DTAA: '/x' })).toThrow(/Unknown setting: FLOTILLA_DTAA/);
  expect(parseHostSettings({ FLOTILLA_MEMORY_ANYTHING: '1' }).FLOTILLA_DATA).toBe('./data');
});

test('Every bad value is named together with its setting', () => {
  const parse = () => parseHostSettings({ FLOTILLA_LOG_LEVEL: 'loud', FLOTILLA_PORT_OFFSET: '-1' });

  expect(parse).toThrow(/FLOTILLA_LOG_LEVEL: .*FLOTILLA_PORT_OFFSET: /);
});

test('A bad setting ends a process with exit code 78 and one line', () => {
  let thrown: unknown;
  try {
    parseHostSettings({ FLOTILLA_LOG_LEVEL: 'loud' });
  } catch (error) {
    thrown = error;
  }

  expect(exitOf(thrown)).toEqual({
    code: 78,
    line: expect.stringMatching(/^Bad setting: [^\n]*$/) as string,
  });
});

test('A hyphen in a service name is an underscore in its settings', () => {
  expect(settingsPrefix('web-search')).toBe('FLOTILLA_WEB_SEARCH_');
});
