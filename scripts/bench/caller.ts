/** Calls tools over kept connections, as programs do. */
import { Agent } from 'node:http';

import type { Rpc } from './message.ts';
import { post, toolCall } from './requests.ts';

const eventMark = '\ndata: ';

export function callerOf(
  { url, token }: { readonly url: string; readonly token: string },
  connections: number,
) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  return {
    /** @throws Error when it was not done. */
    // oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is read field by field
    call: async (tool: string, args: Readonly<Record<string, unknown>>): Promise<any> => {
      const { headers, body } = toolCall(token, tool, args);
      const answer = await post(url, agent, headers, [body]);
      // What waits is answered with a stream, whose last event it is.
      const event = answer.lastIndexOf(eventMark);
      const { result } = JSON.parse(
        answer.slice(event < 0 ? '200 '.length : event + eventMark.length),
      ) as Rpc;
      if (!result || result['isError']) throw new Error(`${tool}: ${answer.slice(0, 300)}`);
      return result['structuredContent'];
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
