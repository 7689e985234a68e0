/** How the agents of the examples reach the fleet: a tool by its name, with the token that the command line uses too. */
import { parseHostSettings } from '#runtime/process/settings.ts';

import { connectTo } from '../scripts/client.ts';
import { readEnvironment } from '../scripts/environment.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is read field by field
export type Answer = Readonly<Record<string, any>>;

const timeoutMs = 40_000;

/** The service did not do it, and says why. */
export class Refusal extends Error {
  readonly code: string | undefined;

  constructor(tool: string, result: Answer) {
    super(`${tool}: ${result['content'][0]?.text}`);
    this.code = result['_meta']?.['dev.flotilla/error']?.code;
  }
}

export async function connect(service: 'hub' | 'filesystem' | 'git' | 'gateway') {
  const client = await connectTo(service, parseHostSettings(readEnvironment()), timeoutMs);
  return {
    /** @throws Refusal */
    call: async (tool: string, args: Readonly<Record<string, unknown>> = {}): Promise<Answer> => {
      const result = await client.callTool({ name: tool, arguments: args }, { timeout: timeoutMs });
      if (result.isError) throw new Refusal(tool, result);
      return result.structuredContent as Answer;
    },
    [Symbol.asyncDispose]: async () => client.close(),
  };
}

/** What an agent tells whoever started it: something to show, or how far it is. */
export interface Word {
  readonly text?: string;
  readonly stage?: string;
}

export const say = (text: string) => process.send?.({ text } satisfies Word);
export const reach = (stage: string) => process.send?.({ stage } satisfies Word);

/** Of this run alone: an agent of the same name may be there already. */
export const nameOf = (who: string, run: string) => `${who}-${run}`;
