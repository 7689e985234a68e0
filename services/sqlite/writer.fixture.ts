/** A process that writes: `node writer.fixture.ts ROOT` says the database and number of each row that was acknowledged, and its engines. */
import { writeSync } from 'node:fs';

import { testPlace } from './place.fixture.ts';

const place = testPlace({ root: process.argv[2] });
await Promise.all(
  ['wal.db', 'delete.db'].map(async (database) => {
    for (let number = 1; ; number += 1) {
      await place.call('write_query', {
        query: 'INSERT INTO t VALUES (?)',
        params: [number],
        database,
        timeout_ms: 25_000,
      });
      writeSync(1, `${database} ${number}\n`);
    }
  }),
);
