/** Calls a tool for the gateway itself, in its own name or in that of a caller. */
import { errorCodes, type ErrorCode } from '#runtime/errors.ts';
import { orStopped } from '#runtime/lanes.ts';

import { LineError } from './line.ts';
import { headersOf, lastMessageOf, messageOf } from './message.ts';
import type { Upstream } from './upstream.ts';

const timeoutMs = 20_000;
const mostAnswerBytes = 8 * 1024 * 1024;

/** The tool was not done, or what became of it is not known. */
export class AskError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  /** Whether the same may work later. */
  get isPassing(): boolean {
    return this.code === 'unavailable' || this.code === 'timeout';
  }
}

interface Answered {
  readonly result?: {
    readonly isError?: boolean;
    readonly structuredContent?: unknown;
    readonly content?: unknown;
    readonly _meta?: { readonly 'dev.flotilla/error'?: { readonly code?: string } };
  };
  readonly error?: { readonly message: string };
}

/** @returns what it answers as data. @throws AskError, or the reason of `signal`. */
export async function askTool(
  upstream: Pick<Upstream, 'name' | 'isUp' | 'line'>,
  authorization: () => string,
  tool: string,
  args: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<unknown> {
  if (!(await orStopped(upstream.isUp(), signal)))
    throw new AskError('unavailable', `${upstream.name} cannot be called now`);
  const method = 'tools/call';
  const body = messageOf(method, { name: tool, arguments: args });
  let answered: Answered;
  try {
    const limits = { timeoutMs, maxBytes: mostAnswerBytes, signal };
    const headers = headersOf(method, authorization(), tool);
    const answer = await upstream.line.ask(headers, body, limits);
    const { status } = answer;
    // It has not read the gateway's key yet, or has too much to do.
    if (status === 401 || status >= 500)
      throw new AskError('unavailable', `it answers with status ${status}`);
    if (status === 403) throw new AskError('forbidden', 'it may not be called there');
    answered = lastMessageOf(answer) as Answered;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof LineError) throw new AskError('unavailable', error.message);
    if (error instanceof SyntaxError) throw new AskError('internal', 'its answer is no JSON');
    throw error;
  }
  const { result, error } = answered;
  if (!result) throw new AskError('invalid_input', error?.message ?? 'it answers nothing');
  if (result.isError !== true) return result.structuredContent;
  const code = result._meta?.['dev.flotilla/error']?.code ?? '';
  const known = Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'internal';
  throw new AskError(known, JSON.stringify(result.content).slice(0, 500));
}
