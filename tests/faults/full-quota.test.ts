/** The largest calls of a token that keeps all that it may: its store is as large as it gets, and nothing holds the event loop. */
import { expect, test } from 'vitest';

import type { Contract } from '#runtime/testing.ts';

import { loadService } from '../../scripts/load.ts';
import { complaintsOfLargestWhenFull } from '../support/contract.ts';

test.each(['sequential-thinking'] as const)(
  '%s at the quota of a token does not hold the event loop with its largest calls',
  async (name) => {
    const { contract } = (await import(`../../services/${name}/contract.fixture.ts`)) as {
      contract: Contract;
    };

    expect(await complaintsOfLargestWhenFull(await loadService(name), contract)).toEqual([]);
  },
);
