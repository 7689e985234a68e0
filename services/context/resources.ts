import { ToolError } from '#runtime/errors.ts';
import type { Resource } from '#runtime/service.ts';

import { pageOf, pageBytes } from '#runtime/page.ts';
import { beginningOf } from './store/handoff-document.ts';
import type { Store } from './store/store.ts';

/** What is not there is no document; anything else went wrong. */
async function orNothing<Value>(find: () => Value | Promise<Value>): Promise<Value | undefined> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof ToolError && error.code === 'not_found') return undefined;
    throw error;
  }
}

export const resources: readonly Resource<Store>[] = [
  {
    uri: 'context://snapshot/{id}',
    name: 'snapshot',
    title: 'Snapshot',
    description: 'A snapshot with its entries, up to a bound.',
    mimeType: 'application/json',
    untrusted: 'as-is',
    async read({ id = '' }, store, call) {
      const snapshot = await orNothing(async () => store.snapshot(id, call));
      if (!snapshot) return undefined;
      const { name, level, created_by, created_at } = snapshot;
      const entries = [];
      let room = pageBytes;
      for (const { key, text } of snapshot.entries) {
        if (room <= 0) break;
        const page = pageOf(text, 0, room);
        entries.push({ key, text: page.text });
        room = page.next === undefined ? room - Buffer.byteLength(key + text) : 0;
      }
      const more = room <= 0 && { truncated: true, continue: 'restore_snapshot has all of it.' };
      const document = { id, name, level, created_by, created_at, entries, ...more };
      return { text: JSON.stringify(document, null, 2) };
    },
  },
  {
    uri: 'context://handoff/{id}',
    name: 'handoff',
    title: 'Handoff',
    description: 'A handoff from one agent to another, up to a bound.',
    mimeType: 'text/markdown',
    untrusted: 'bounded',
    async read({ id = '' }, store, call) {
      const handoff = await orNothing(() => store.handoffs.get(id, call));
      return handoff && { text: beginningOf(handoff) };
    },
  },
];
