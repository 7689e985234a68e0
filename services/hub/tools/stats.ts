import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
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
    agents: toldBriefly(
      z.object({ registered: z.int(), here: z.int(), connections: z.int(), waiting_calls: z.int() }),
    ).describe('registered, here (heard of in time), connections and waiting_calls.'),
    messages: toldBriefly(
      z.object({
        kept: z.int(),
        first_seq: z.int(),
        last_seq: z.int(),
        bytes: z.int(),
        dead_letters: z.int(),
        trimmed_early: z.int(),
      }),
    ).describe('kept, first_seq, last_seq, bytes, dead_letters, and trimmed_early: let go for a quota.'),
    since_start: toldBriefly(
      z.object({ expired: z.int(), out_of_attempts: z.int(), gone: z.int(), trimmed: z.int() }),
    ).describe('Deliveries expired and out_of_attempts, agents gone, messages trimmed.'),
    fullest: z
      .array(
        toldBriefly(
          z.object({
            agent: z.string().describe('Name.'),
            pending: z.int(),
            at_work: z.int(),
            oldest: z.string().optional(),
          }),
          'agent',
        ),
      )
      .describe('Mailboxes with pending, at_work and oldest.'),
  }),

  async handler(_args, { mesh, agents, receiving, tending }: Hub) {
    const nowMs = mesh.now();
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
