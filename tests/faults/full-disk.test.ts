import { expect, test } from 'vitest';

import { exitCodes } from '#runtime/errors.ts';

import { acknowledgedWrites, triedStores } from './acknowledged.ts';
import type { Filled } from './full-disk.ts';
import { disksRefused, inOwnMounts } from './own-mounts.ts';

const refusal = await disksRefused();

test.concurrent.for(triedStores)(
  'on a full disk %s refuses writes, reads on, says so, and goes on by itself when there is room again',
  async (name, context) => {
    const ways = acknowledgedWrites[name] ?? [];
    if (refusal) context.skip(refusal);

    const [found] = await inOwnMounts<Filled>('full-disk.ts', [name], context.signal);

    expect(found).toMatchObject({
      whileFull: {
        status: 503,
        reasons: expect.arrayContaining(['the disk of the data folder is full']),
        health: 200,
        lost: [],
      },
      withRoom: { status: 200, reasons: [], failures: [], lost: [] },
      halfWritten: [],
      damages: [],
      auditFaults: [],
      start: { code: exitCodes.unavailable, words: expect.stringMatching(/^.* Free space .*\n$/) },
    });
    const full = {
      code: 'unavailable',
      words: expect.stringMatching(/disk is full[^]*Nothing was changed/),
    };
    expect(found?.refusals).toEqual(ways.map(() => expect.objectContaining(full)));
    expect(found?.recorded).toBeGreaterThanOrEqual(ways.length);
    expect(found?.wholeWritten).toBeGreaterThan(0);
  },
);
