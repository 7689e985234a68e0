/** What most tests of this service begin with. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { quotaOf, type Quota } from '#runtime/quotas.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { allTools } from './service.ts';
import { openStore, type Store } from './store/store.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is looked at field by field
export type Answer = Readonly<Record<string, any>>;

export interface Trial extends AsyncDisposable {
  readonly store: Store;
  readonly file: string;
  /** Calls a tool by its name, so that a test reads as a client would. */
  readonly call: (name: string, args: object, overrides?: Partial<Call>) => Promise<Answer>;
  readonly start: (args?: object, overrides?: Partial<Call>) => Promise<string>;
}

export const silent = { info() {}, warn() {} };

export function trial({
  quota = quotaOf(1_000, 1_000_000),
  keepDays = 36_500,
}: { readonly quota?: Quota; readonly keepDays?: number } = {}): Trial {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-test-'));
  const file = join(folder.path, 'reasoning.db');
  const store = openStore({ file, quota, keepDays, log: silent });
  const call: Trial['call'] = async (name, args, overrides) => {
    const tool = allTools.find((one) => one.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);
    return (await invoke(tool, args, store, overrides)) as Answer;
  };
  return {
    store,
    file,
    call,
    start: async (args = {}, overrides = {}) =>
      String((await call('start_chain', { model: 'a-model', ...args }, overrides))['chain_id']),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      folder.remove();
    },
  };
}
