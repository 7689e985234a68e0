import { expect, test } from 'vitest';

import { afterLook, noRun, worse, type Run } from './verdict.ts';

/** u: up, n: answers and is not ready, x: lost. One verdict for each look. */
function verdicts(looks: string): readonly Run['status'][] {
  const results = { u: 'up', n: 'not_ready', x: 'down' } as const;
  let run = noRun;
  return looks.split('').map((look) => (run = afterLook(run, results[look as keyof typeof results])).status);
}

test.each([
  ['one good look is enough for the first time', 'u', 'up'],
  ['what is not ready is degraded', 'un', 'up degraded'],
  ['one lost look is a hiccup', 'uxu', 'up degraded up'],
  ['so are two', 'uxxu', 'up degraded degraded up'],
  ['three are an outage', 'uxxx', 'up degraded degraded down'],
  [
    'lost looks with an answer between them are not in a row',
    'uxxnxx',
    'up degraded degraded degraded degraded degraded',
  ],
  ['two answers end an outage', 'uxxxuu', 'up degraded degraded down down up'],
  ['one does not', 'uxxxuxu', 'up degraded degraded down down down down'],
  ['two of which the last is not ready end it so', 'uxxxun', 'up degraded degraded down down degraded'],
  ['what was never seen is not down at once', 'xx', 'unknown unknown'],
  ['it is with the third', 'xxx', 'unknown unknown down'],
  ['and comes up with one look before that', 'xxu', 'unknown unknown up'],
])('%s', (_title, looks, expected) => {
  expect(verdicts(looks).join(' ')).toBe(expected);
});

test('the worse of polls and canaries counts, and a canary that says nothing does not', () => {
  expect(worse('up', 'down')).toBe('down');
  expect(worse('degraded', 'up')).toBe('degraded');
  expect(worse('up', 'degraded')).toBe('degraded');
  expect(worse('down', 'unknown')).toBe('down');
  expect(worse('unknown', 'up')).toBe('unknown');
});
