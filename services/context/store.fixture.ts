/** What most tests of this service begin with. */
import { quotaOf, type Quota } from '#runtime/quotas.ts';
import { invoke, testCall } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { allTools } from './service.ts';
import { openStore, type Store, type StoreOptions } from './store/store.ts';
import { openTokenizers } from './tokens/tokenizer.ts';

/** Loaded once for all stores of a test file. */
const tokenizer = openTokenizers();

export const testStore = (
  file = ':memory:',
  { quota = quotaOf(256, 50_000), ...options }: StoreOptions & { readonly quota?: Quota } = {},
): Store => openStore(file, quota, { tokenizer, ...options });

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

export const later = (seconds: number): Partial<Call> => ({ nowMs: testCall().nowMs + seconds * 1_000 });
