/** Which reservations are in the way of each other, said once more without an index. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { surround } from '../../../tests/support/surround.ts';
import { engines, surroundings } from './engines.fixture.ts';

const below = '/**';

/** A name covers itself; one that ends in two stars covers the name before them too, and all below that. */
function covers(name: string, other: string): boolean {
  if (!name.endsWith(below)) return name === other;
  const folder = name.slice(0, -below.length);
  return other === folder || other.startsWith(`${folder}/`);
}
const overlap = (one: string, other: string) => covers(one, other) || covers(other, one);

const nameToTry = fc
  .tuple(
    fc.constantFrom('file:', 'b:', ''),
    fc.array(fc.constantFrom('a', 'a0', 'a-', 'b', '%', '_', 'é'), { minLength: 1, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([scheme, parts, isFolder]) => `${scheme}${parts.join('/')}${isFolder ? below : ''}`);

describe.each(Object.entries(engines))('The engine on %s', (name, open) => {
  const around = surroundings[name];
  if (around) surround(around.missing, around.start);

  test('finds reservations in the way of each other just where they overlap', async () => {
    await using opened = await open();
    const { engine } = opened;
    const wish = (agent: string, isShared: boolean) => (wanted: string) => ({
      name: wanted,
      agent,
      owner: 'token',
      isShared,
      reason: '',
      sinceMs: 0,
      untilMs: 10,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(nameToTry, { minLength: 1, maxLength: 4 }),
        fc.uniqueArray(nameToTry, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        fc.boolean(),
        async (held, wanted, heldIsShared, wantedIsShared) => {
          for (const agent of ['a', 'b']) await engine.unreserve(agent, undefined);
          await engine.reserve(held.map(wish('a', heldIsShared)), 1);
          const inTheWay =
            heldIsShared && wantedIsShared
              ? []
              : held.filter((one) => wanted.some((other) => overlap(one, other)));
          const result = await engine.reserve(wanted.map(wish('b', wantedIsShared)), 1);

          const found = 'held' in result ? result.held.map((one) => one.name) : [];
          expect(new Set(found)).toEqual(new Set(inTheWay));
          expect(await engine.reservations(1)).toHaveLength(
            held.length + (inTheWay.length > 0 ? 0 : wanted.length),
          );
        },
      ),
    );
  });
});
