import { ToolError } from '#runtime/errors.ts';
import type { Resource } from '#runtime/service.ts';

import { documentOf } from './store/handoff-document.ts';
import type { Store } from './store/store.ts';

/** What is not there is no document; anything else went wrong. */
function orNothing<Value>(find: () => Value): Value | undefined {
  try {
    return find();
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
    description: 'A snapshot with all its entries.',
    mimeType: 'application/json',
    read({ id = '' }, store, call) {
      const snapshot = orNothing(() => store.snapshot(id, call));
      if (!snapshot) return undefined;
      const { name, level, created_by, created_at, entries } = snapshot;
      return { text: JSON.stringify({ id, name, level, created_by, created_at, entries }, null, 2) };
    },
  },
  {
    uri: 'context://handoff/{id}',
    name: 'handoff',
    title: 'Handoff',
    description: 'A handoff from one agent to another.',
    mimeType: 'text/markdown',
    read({ id = '' }, store, call) {
      const handoff = orNothing(() => store.handoffs.get(id, call));
      return handoff && { text: documentOf(handoff) };
    },
  },
];
