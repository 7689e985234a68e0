/** Answers `find_tools`: the index of what is listed, made anew when that changes, and what of it a caller may use. */
import type { Caller } from '#runtime/access/tokens.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import { indexing, type Listing, type ToolIndex } from './find.ts';
import { listOf } from './lists.ts';
import { answered, type Answer } from './own-tool.ts';
import { findTools } from './search.ts';
import type { Behind } from './surface.ts';

export class Finding {
  #index: Promise<ToolIndex> | undefined;

  /** What is listed is not as it was. */
  forget(): void {
    this.#index = undefined;
  }

  /**
   * @param isCode whether the tools are told as functions of Python.
   * @throws Error that is no failure of the call, but a bug
   */
  async answer(
    args: unknown,
    all: readonly Behind[],
    caller: Pick<Caller, 'scope' | 'tools'>,
    isCode: boolean,
    call: Call,
  ): Promise<Answer> {
    const index = await (this.#index ??= this.#made(all));
    const usable = new Set(listOf('tools', all, caller, undefined).map(({ name }) => name));
    const searched = { index, admits: ({ tool }: Listing) => usable.has(tool.name), isCode };
    return answered(findTools, args, searched, call);
  }

  async #made(all: readonly Behind[]): Promise<ToolIndex> {
    const listings = all.flatMap(({ name: service, surface }) =>
      (surface?.tools.destroy ?? []).map((tool) => ({ service, tool })),
    );
    // All callers wait for the same, so the end of one call does not stop it.
    const call = { signal: new AbortController().signal, caller: '', operation: 'find_tools' };
    return inTurns((read) => read(), call, indexing(listings));
  }
}
