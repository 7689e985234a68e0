/** A process that thinks: `node writer.fixture.ts FILE NAME` says the session and number of each thought that was acknowledged. */
import { writeSync } from 'node:fs';

import { openStore } from './store.ts';
import { quota, sessionWith, think } from './store.fixture.ts';

const [file = '', name = ''] = process.argv.slice(2);
using store = openStore(file, quota);
const session = await sessionWith(store);

for (let number = 1; ; number += 1) {
  const branch = number % 3 === 0 ? { branchFromThought: 1, branchId: `b${number % 7}` } : {};
  await think(store, { thought: `${name} ${number}`, thoughtNumber: number, session_id: session, ...branch });
  writeSync(1, `${session} ${number}\n`);
}
