/** The requests that are sent under load: made once, the same bytes for every server. */
import { request, type Agent } from 'node:http';

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

/** Sends one in parts over kept connections. @returns the status and the answer, with a space between. */
export async function post(
  url: string,
  agent: Agent,
  headers: Readonly<Record<string, string>>,
  parts: readonly (Buffer | string)[],
): Promise<string> {
  return new Promise((resolve, reject) => {
    const length = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
    const sent = request(
      `${url}/mcp`,
      { method: 'POST', agent, headers: { ...headers, 'content-length': String(length) } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(`${response.statusCode} ${Buffer.concat(chunks).toString()}`));
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    for (const part of parts) sent.write(part);
    sent.end();
  });
}
