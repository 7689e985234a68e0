/** Requests of both eras, byte by byte under the test's control. */
import {
  answerIn,
  headersOf,
  messageOf,
  type MessageOptions,
  type Rpc,
} from '../../scripts/bench/message.ts';
import type { Served } from './serve.ts';

export interface Options extends MessageOptions {
  readonly token?: string;
  readonly signal?: AbortSignal;
}

type Target = Pick<Served, 'url' | 'token'>;

export async function send(
  target: Target,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  options: Options = {},
): Promise<Response> {
  const message = messageOf(method, params, options);
  const token = options.token ?? target.token;
  return fetch(`${target.url}/mcp`, {
    method: 'POST',
    headers: headersOf({ token }, message, options),
    body: JSON.stringify(message),
    ...(options.signal && { signal: options.signal }),
  });
}

export async function rpc(
  target: Target,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  options: Options = {},
): Promise<Rpc> {
  return answerIn(await send(target, method, params, options));
}

export async function callTool(
  target: Target,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
  options: Options = {},
): Promise<Rpc> {
  return rpc(target, 'tools/call', { name, arguments: args }, options);
}

/** The code of a failed tool call; `undefined` for one that went well. */
export function codeOf(answer: Rpc): string | undefined {
  const meta = (answer.result?.['_meta'] ?? answer.error?.data) as
    | { 'dev.flotilla/error'?: { code: string } }
    | undefined;
  return meta?.['dev.flotilla/error']?.code;
}
