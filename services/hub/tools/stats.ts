import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { isoOf } from '../fields.ts';
import type { Hub } from '../hub.ts';

export const getHubStats = defineTool({
  name: 'get_hub_stats',
  title: 'Get Hub Stats',
  description: 'See how the hub is: agents, messages, dead letters, and where most waits.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    agents: z.object({ registered: z.int(), here: z.int(), connections: z.int(), waiting_calls: z.int() }),
    messages: z.object({
      kept: z.int(),
      first_seq: z.int(),
      last_seq: z.int(),
      bytes: z.int(),
      dead_letters: z.int(),
      trimmed_early: z.int(),
    }),
    since_start: z.object({ expired: z.int(), out_of_attempts: z.int(), gone: z.int(), trimmed: z.int() }),
    fullest: z.array(
      z.object({ agent: z.string(), pending: z.int(), at_work: z.int(), oldest: z.string().optional() }),
    ),
  }),

  async handler(_args, { mesh, agents, receiving, tending }: Hub, { nowMs }) {
    const all = mesh.directory.agents(nowMs);
    const totals = await mesh.engine.totals();
    const fullest = await mesh.engine.backlogs(10);
    return {
      agents: {
        registered: all.length,
        here: all.filter(({ key }) => !mesh.directory.isGone(key)).length,
        connections: agents.connections(),
        waiting_calls: receiving.waiting(),
      },
      messages: {
        kept: totals.messages,
        first_seq: totals.firstSeq,
        last_seq: totals.lastSeq,
        bytes: totals.sizeBytes,
        dead_letters: totals.dead,
        trimmed_early: totals.trimmed,
      },
      since_start: {
        expired: tending.counts.expired,
        out_of_attempts: tending.counts.lapsed,
        gone: tending.counts.gone,
        trimmed: tending.counts.trimmed,
      },
      fullest: fullest.map(({ agent, pending, leased, oldestMs }) => ({
        agent,
        pending,
        at_work: leased,
        ...(oldestMs !== undefined && { oldest: isoOf(oldestMs) }),
      })),
    };
  },
});
