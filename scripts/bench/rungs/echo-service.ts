/** A service of one small tool, as a service of the fleet would be written. */
import { z } from 'zod';

import type { AnyService } from '#runtime/service.ts';
import { defineTool } from '#runtime/tool.ts';

import { echoDescription } from './echo.ts';

const echo = defineTool({
  name: 'echo',
  title: 'Echo',
  description: echoDescription,
  effect: 'read',
  hints: { readOnly: true, destructive: false, idempotent: true, openWorld: false },
  input: z.object({ text: z.string().describe('Comes back.') }),
  output: z.object({ text: z.string() }),
  handler: ({ text }) => ({ text }),
});

/** Each rung needs a name of its own, because it is a data folder too. */
export function echoService(name: string): AnyService {
  return { name, settings: z.object({}), tools: [echo], open: () => ({}) };
}
