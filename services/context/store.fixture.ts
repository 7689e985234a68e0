/** What most tests of this service begin with. */
import { invoke, testCall } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { allTools } from './service.ts';
import { openStore, type Store } from './store/store.ts';
import { openTokenizers } from './tokens/tokenizer.ts';

/** Loaded once for all stores of a test file. */
const tokenizers = openTokenizers();

export const testStore = (file = ':memory:'): Store => openStore(file, tokenizers);

export function toolNamed(name: string) {
  const found = allTools.find((tool) => tool.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return found;
}

type Answer = Readonly<Record<string, never>>;

/** Calls a tool by its name, so that a test reads as a client would. */
export const callOf =
  (store: Store) =>
  async <Value = Answer>(name: string, args: object, overrides: Partial<Call> = {}): Promise<Value> =>
    (await invoke(toolNamed(name), args, store, overrides)) as Value;

/** All the turns of a long work at once. */
export function atOnce<Value>(steps: Steps<Value>): Value {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

export const later = (seconds: number): Partial<Call> => ({ nowMs: testCall().nowMs + seconds * 1_000 });
