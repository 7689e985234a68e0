import { describe, expect, test } from 'vitest';

import { UsageError } from '../errors.ts';
import { allowedEffect, covers, hasWide, parseScope } from './scope.ts';

describe('parseScope', () => {
  test('a server of others is granted by its name, where there is one', () => {
    expect(parseScope('files:read,memory', ['files'])).toEqual(['files:read', 'memory']);
    expect(() => parseScope('files:read')).toThrow(UsageError);
  });

  test('takes services with and without an effect, and the star', () => {
    expect(parseScope('memory, *:read ,memory:write')).toEqual(['memory', '*:read', 'memory:write']);
    expect(parseScope('backup')).toEqual(['backup']);
  });

  test.each([
    '',
    ',',
    'memory,',
    'no-such-service',
    'memory:erase',
    'memory:read:write',
    ':read',
    'backup:read',
    'memory:',
    '**',
  ])('names the part that is no grant in %j', (text) => {
    expect(() => parseScope(text)).toThrow(UsageError);
    expect(() => parseScope(text)).toThrow(/is not a grant\. Write SERVICE or SERVICE:EFFECT/);
  });
});

describe('allowedEffect', () => {
  test.each([
    { scope: ['memory:read'], effect: 'read' },
    { scope: ['memory:read', 'memory:write'], effect: 'write' },
    { scope: ['memory'], effect: 'destroy' },
    { scope: ['*:read', 'memory:write'], effect: 'write' },
    { scope: ['*'], effect: 'destroy' },
    { scope: ['git'], effect: undefined },
    { scope: ['memory-archive'], effect: undefined },
    { scope: ['memory:everything'], effect: undefined },
    { scope: [], effect: undefined },
  ])('of $scope at memory is $effect', ({ scope, effect }) => {
    expect(allowedEffect(scope, 'memory')).toBe(effect);
  });
});

test('An effect covers itself and what is weaker; nothing covers nothing', () => {
  expect(covers('write', 'read')).toBe(true);
  expect(covers('write', 'write')).toBe(true);
  expect(covers('write', 'destroy')).toBe(false);
  expect(covers(undefined, 'read')).toBe(false);
});

describe('hasWide', () => {
  test.each([
    [['backup'], true],
    [['memory:read', 'backup'], true],
    [['*'], true],
    [['*:destroy'], true],
    [['*:write'], false],
    [['*:read', 'memory', 'health'], false],
    [[], false],
  ])('%j: %s', (scope, allowed) => {
    expect(hasWide(scope, 'backup')).toBe(allowed);
    expect(hasWide(scope, 'audit')).toBe(allowed && !scope.includes('backup'));
    expect(allowedEffect(['backup', 'audit'], 'memory')).toBeUndefined();
  });
});
