import { expect, test } from 'vitest';

import { verdictOf } from './verdict.ts';

test.each([
  { polls: 'one good poll', latest: 'up', previous: undefined, verdict: 'up' },
  { polls: 'one good poll after an outage', latest: 'up', previous: 'down', verdict: 'up' },
  { polls: 'a process that is not ready', latest: 'not_ready', previous: 'up', verdict: 'degraded' },
  { polls: 'one lost poll after a good one', latest: 'down', previous: 'up', verdict: 'degraded' },
  { polls: 'one lost poll after an unready one', latest: 'down', previous: 'not_ready', verdict: 'degraded' },
  { polls: 'the second lost poll', latest: 'down', previous: 'down', verdict: 'down' },
  { polls: 'a first poll that is lost', latest: 'down', previous: undefined, verdict: 'down' },
] as const)('$polls means $verdict', ({ latest, previous, verdict }) => {
  expect(verdictOf(latest, previous)).toBe(verdict);
});
