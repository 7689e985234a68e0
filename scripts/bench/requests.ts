/** The requests that are sent under load: made once, the same bytes for every server. */
import { answerIn, headersOf, messageOf, type Era, type Rpc } from './message.ts';
import type { TrafficRequest } from './traffic.ts';

export function requestOf(
  token: string,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  era: Era = 'modern',
): TrafficRequest {
  const message = messageOf(method, params, { era });
  return { headers: headersOf({ token }, message, { era }), body: JSON.stringify(message) };
}

export function toolCall(
  token: string,
  name: string,
  args: Readonly<Record<string, unknown>>,
  era: Era = 'modern',
): TrafficRequest {
  return requestOf(token, 'tools/call', { name, arguments: args }, era);
}

/** Sends one, as the load generator does. @throws Error for an answer that is none. */
export async function ask(url: string, { headers, body }: TrafficRequest): Promise<Rpc> {
  const response = await fetch(`${url}/mcp`, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return answerIn(response);
}
