/** What keeps the ledger. An engine runs its operations and decides nothing: contract.ts holds every engine to one behaviour. */
import type { Kept } from '#runtime/quotas.ts';

import type { Ledger } from './query.ts';

export interface Engine extends AsyncDisposable {
  /**
   * Runs an operation, all of it or nothing. It is on disk when the promise is resolved; what the operation throws takes it back.
   *
   * @param then told the value at once when the operation has run, for what follows from it: within the same commit where the
   * engine has one for many. What it does is taken back with the operation.
   */
  change<Value>(operation: () => Ledger<Value>, then?: (value: Value) => void): Promise<Value>;
  /** The same without waiting for the disk, for a part of a larger change: the `change` that completes it waits for all of them. */
  stage<Value>(operation: () => Ledger<Value>): Promise<Value>;
  /** Several reads that see one state. Its value is what is on disk. */
  look<Value>(operation: () => Ledger<Value>): Promise<Value>;
  /** @throws ToolError unavailable when nothing can be written. */
  probe(): Promise<void>;
  kept(): Kept;
}
