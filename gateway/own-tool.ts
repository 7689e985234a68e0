/** Runs a tool of the gateway's own: its answer in the protocol's form, or why there is none. */
import { executeTool } from '#runtime/account/execute.ts';
import { metaOf } from '#runtime/account/meta.ts';
import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { Reply, type AnyTool, type Call, type ContentBlock } from '#runtime/tool.ts';

import { failureOf, type Failure } from './hand-on.ts';

/** What is answered; where that is not all that a failure says, both. */
export type Answer =
  | { readonly result: Record<string, unknown>; readonly failure?: Failure }
  | { readonly result?: undefined; readonly failure: Failure };

/** A failure after work that has something to show, which others wrote. */
export class FailedWork extends ToolError {
  readonly content: readonly ContentBlock[];

  constructor(code: Exclude<ErrorCode, 'internal'>, message: string, content: readonly ContentBlock[]) {
    super(code, message);
    this.content = content;
  }
}

/** @throws Error that is no failure of the call, but a bug */
export async function answered<Deps>(
  tool: AnyTool<Deps>,
  args: unknown,
  deps: Deps,
  call: Call,
): Promise<Answer> {
  try {
    const reply = await executeTool(tool, args, deps, call);
    if (!(reply instanceof Reply)) return { result: reply.result };
    // What has content of its own is read by models alone, and said once.
    if (reply.content)
      return { result: { content: reply.content, ...(reply.meta && { _meta: reply.meta }) } };
    const text = JSON.stringify(reply.value);
    return { result: { content: [{ type: 'text', text }], structuredContent: reply.value } };
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    const failure = failureOf(error);
    if (!(error instanceof FailedWork)) return { failure };
    const meta = metaOf({ error: failure, untrusted: true });
    return { failure, result: { content: error.content, isError: true, _meta: meta } };
  }
}
