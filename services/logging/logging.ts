/** What the tools work with. */
import type { Readable } from './files.ts';
import type { Store } from './store/store.ts';

export interface Logging extends AsyncDisposable {
  readonly store: Store;
  readonly files: Readable;
}
