/** What keeps the ledger. An engine runs its operations and decides nothing: contract.ts holds every engine to one behaviour. */
import type { Kept } from '#runtime/quotas.ts';

import type { Ledger } from './query.ts';

/** Hears what others have changed in the same ledger. */
export interface Hearing {
  /** What one of them said with its change. */
  told(text: string): void;
  /** Something may have been said that was not heard. */
  missed(): void;
}

export interface Engine extends AsyncDisposable {
  /** Where it keeps the ledger, and what is done before a change is acknowledged: for the status page. */
  readonly durability: string;
  /** Whether other orchestrators may work on the same ledger at the same time. */
  readonly isShared: boolean;
  /**
   * Runs an operation, all of it or nothing, and from its beginning again where others were in the way. It is on disk when the promise is
   * resolved; what the operation throws takes it back.
   *
   * @param then told the value at once when the operation has run, for what follows from it: within the same commit where the
   * engine has one for many. What it does is taken back with the operation.
   * @param notices what others are to hear of it, of at most 7 KB each; asked for when the operation has run.
   */
  change<Value>(
    operation: () => Ledger<Value>,
    then?: (value: Value) => void,
    notices?: () => readonly string[],
  ): Promise<Value>;
  /** The same without waiting for the disk, for a part of a larger change: the `change` that completes it waits for all of them. */
  stage<Value>(operation: () => Ledger<Value>): Promise<Value>;
  /** Several reads that see one state. Its value is what is on disk. */
  look<Value>(operation: () => Ledger<Value>): Promise<Value>;
  /** Begins to hear others. */
  hear(hearing: Hearing): void;
  /** @returns what an operator should know. @throws ToolError unavailable when nothing can be written. */
  probe(): Promise<readonly string[]>;
  kept(): Kept;
}
