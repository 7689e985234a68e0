/** How each of the three reaches the fleet: a tool of a service by name, with the token that the command line uses too. */
import { parseHostSettings } from '#runtime/process/settings.ts';

import { connectTo } from '../../scripts/client.ts';
import { readEnvironment } from '../../scripts/environment.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is read field by field
export type Answer = Readonly<Record<string, any>>;

const timeoutMs = 30_000;

/** The service did not do it, and says why. */
export class Refusal extends Error {
  readonly code: string | undefined;

  constructor(tool: string, result: Answer) {
    super(`${tool}: ${result['content'][0]?.text}`);
    this.code = result['_meta']?.['dev.flotilla/error']?.code;
  }
}

export async function connect(service: 'hub' | 'filesystem' | 'git') {
  const client = await connectTo(service, parseHostSettings(readEnvironment()), timeoutMs);
  return {
    /** @throws Refusal */
    async call(tool: string, args: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
      const result = await client.callTool({ name: tool, arguments: args }, { timeout: timeoutMs });
      if (result.isError) throw new Refusal(tool, result);
      return result.structuredContent as Answer;
    },
    [Symbol.asyncDispose]: async () => client.close(),
  };
}

/** One thing to write: a chapter at the end of a file of the repository. */
export interface Task {
  readonly file: string;
  readonly title: string;
}

/** What an agent tells whoever started it: something to show, or how far it is. */
export interface Word {
  readonly text?: string;
  readonly stage?: 'half written' | 'done' | 'caught up';
}

export const say = (text: string) => process.send?.({ text } satisfies Word);
export const reach = (stage: NonNullable<Word['stage']>) => process.send?.({ stage } satisfies Word);

/** Of this run alone: an agent of the same name may be there already. */
export const nameOf = (who: string, run: string) => `${who}-${run}`;
export const whoIs = (name: string) => name.split('-')[0] ?? name;
