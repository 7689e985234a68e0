/** A process that writes: `node writer.fixture.ts FILE NAME CLIENTS CREATES FACTS` says each entity of which it, with so many facts, and a memory were acknowledged. */
import { writeSync } from 'node:fs';

import { invoke } from '#runtime/testing.ts';

import { openStore } from './store.ts';
import { createEntities } from './tools/create-graph.ts';
import { addMemory } from './tools/write-memories.ts';

const [file = '', name = '', clients = '1', creates = '1', facts = '1'] = process.argv.slice(2);
await using store = openStore(file);

async function client(number: number): Promise<void> {
  for (let count = 0; count < Number(creates); count += 1) {
    const entity = {
      name: `${name}-${number}-${count}`,
      entityType: 'load',
      observations: Array.from({ length: Number(facts) }, (_, fact) =>
        fact === 0 ? `written by ${number}` : `fact ${fact}`,
      ),
    };
    await invoke(createEntities, { entities: [entity] }, store);
    await invoke(addMemory, { text: `a heron of ${entity.name}`, project: name }, store);
    writeSync(1, `${entity.name}\n`);
  }
}

await Promise.all(Array.from({ length: Number(clients) }, (_, number) => client(number)));
