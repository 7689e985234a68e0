import { cancelled, ToolError } from '#runtime/errors.ts';

/** What a call fails with that was stopped: its deadline, or that nobody waits for it. */
export function stopReason({ reason }: AbortSignal): ToolError {
  return reason instanceof ToolError ? reason : cancelled();
}
