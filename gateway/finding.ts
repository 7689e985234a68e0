/** Answers `find_tools`: the index of what is listed, made anew when that changes, and what of it a caller may use. */
import { executeTool } from '#runtime/account/execute.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { ToolError } from '#runtime/errors.ts';
import { Reply, type Call } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import { failureOf, type Failure } from './hand-on.ts';
import { indexing, type ToolIndex } from './find.ts';
import { listOf } from './lists.ts';
import { findTools } from './search.ts';
import type { Behind } from './surface.ts';

export type Answer =
  | { readonly result: Record<string, unknown>; readonly failure?: undefined }
  | { readonly failure: Failure };

export class Finding {
  #index: Promise<ToolIndex> | undefined;

  /** What is listed is not as it was. */
  forget(): void {
    this.#index = undefined;
  }

  /** @throws Error that is no failure of the call, but a bug */
  async answer(
    args: unknown,
    all: readonly Behind[],
    caller: Pick<Caller, 'scope' | 'tools'>,
    call: Call,
  ): Promise<Answer> {
    const index = await (this.#index ??= this.#made(all));
    const usable = new Set(listOf('tools', all, caller, undefined).map(({ name }) => name));
    try {
      const reply = await executeTool(
        findTools,
        args,
        { index, admits: ({ tool }) => usable.has(tool.name) },
        call,
      );
      const value = reply instanceof Reply ? reply.value : reply.result;
      const text = JSON.stringify(value);
      return { result: { content: [{ type: 'text', text }], structuredContent: value } };
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      return { failure: failureOf(error) };
    }
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
