/** What the tools work with. */
import type { Call } from '#runtime/tool.ts';

import type { Copy } from './profile/copy.ts';
import type { Ranking } from './analysis/rank.ts';
import type { Store } from './store/store.ts';

export interface Comparing extends AsyncDisposable {
  readonly store: Store;
  readonly copy: Copy;
  /** Rankings by what was asked and the state of the data; they cannot change. */
  readonly rankings: Map<string, { readonly run: number | undefined; readonly ranking: Ranking }>;
}

/**
 * What an answer tells of the copy, which is brought up to date unless battles alone are asked for.
 *
 * @throws ToolError `unavailable` where decisions are asked for, and none was ever copied.
 */
export async function freshened(
  { copy }: Comparing,
  source: 'decisions' | 'battles' | undefined,
  call: Pick<Call, 'signal' | 'nowMs'>,
): Promise<string[]> {
  return source === 'battles' ? [] : copy.refresh(call, source === undefined);
}
