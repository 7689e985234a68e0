import { expect, test } from 'vitest';

import { Shared, UpstreamSessions } from './sessions.ts';

test('what a session said at its beginning is known, however many another token begins', () => {
  const sessions = new UpstreamSessions();
  const capabilities = { elicitation: {} };
  for (const one of ['first', 'second']) sessions.begin(one, 'quiet', { capabilities });

  for (let count = 0; count < 10_001; count += 1)
    sessions.begin(`s${count}`, 'loud', { capabilities: { count } });

  for (const one of ['first', 'second']) expect(sessions.capabilitiesOf(one)).toEqual(capabilities);
  expect(sessions.capabilitiesOf('s10000')).toEqual({ count: 10_000 });
  expect(sessions.capabilitiesOf('s2')).toBeUndefined();
  expect(sessions.capabilitiesOf('s3')).toEqual({ count: 3 });
});

test('whoever has most loses what was used longest ago, and a token alone may have all', () => {
  const shared = new Shared<{ owner: string }>(4);
  const keys = () => [...shared].map(([key]) => key).join(' ');
  const add = (owner: string, ...names: readonly string[]) => {
    for (const name of names) shared.set(name, { owner });
  };
  add('a', 'a1', 'a2', 'a3', 'a4', 'a1');
  expect(keys()).toBe('a2 a3 a4 a1');

  add('b', 'b1', 'b2');
  expect(keys()).toBe('a4 a1 b1 b2');
  add('c', 'c1');
  shared.delete('b1');
  add('b', 'b3', 'b4', 'b5');
  expect(keys()).toBe('a1 c1 b4 b5');
});
