/** What the official conformance suite asks a server to offer, on the same runtime as every service. */
import { z } from 'zod';

import type { AnyService } from '#runtime/service.ts';

import { askingTools } from './conformance/asking-tools.ts';
import { contentTools } from './conformance/content-tools.ts';
import { prompts } from './conformance/prompts.ts';
import { resources } from './conformance/resources.ts';
import { skill } from './conformance/skill.ts';
import { streamingTools } from './conformance/streaming-tools.ts';
import { taskTools } from './conformance/task-tools.ts';

export const conformanceService: AnyService = {
  name: 'conformance',
  settings: z.object({}),
  tools: [...contentTools, ...streamingTools, ...askingTools, ...taskTools],
  skill,
  resources,
  prompts,
  sessions: { idleMs: 60_000, cap: 100 },
  open: () => ({}),
};
