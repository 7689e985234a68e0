import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { completing, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Presence } from '../agents.ts';
import { agentNameField, agentValue, capabilityField } from '../directory.ts';
import { actingField, isoOf } from '../fields.ts';
import type { Hub } from '../hub.ts';
import { mailboxUri } from '../resources.ts';

export const registerAgent = defineTool({
  name: 'register_agent',
  title: 'Register Agent',
  description:
    'Become known to other agents under a name, with what you can do, and get a mailbox. The same name again changes its entry; the mailbox stays.',
  effect: 'write',
  hints: completing,
  input: z.object({ name: agentNameField.describe('Its name, in lower case.'), ...agentValue.shape }),
  output: z.object({
    name: z.string().describe('Its name.'),
    connection_id: z.string().describe('Of this connection.'),
    mailbox: z.string().describe('Its resource.'),
    new: z.boolean().describe('Whether the name is new.'),
    waiting: z.int().describe('Messages that wait there.'),
  }),

  async handler({ name, ...value }, { agents, mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    const { isNew } = await agents.register(name, value, caller, nowMs);
    const [waiting = 0] = await mesh.engine.loads([name]);
    const { id } = agents.connect(name);
    return { name, connection_id: id, mailbox: mailboxUri(name), new: isNew, waiting };
  },
});

export const unregisterAgent = defineTool({
  name: 'unregister_agent',
  title: 'Unregister Agent',
  description:
    'Take an agent of yours out for good. What it was given for a capability goes to others who have it, the rest becomes dead letters; its subscriptions and reservations end.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ name: agentNameField.describe('Its name.') }),
  output: z.object({
    dead_letters: z.int().describe('Messages that waited.'),
    handed_over: z.int().describe('Messages that others got.'),
    released: z.int().describe('Reservations.'),
  }),
  handler: ({ name }, { agents, mesh }: Hub, { caller }) => agents.unregister(name, caller, mesh.now()),
});

export const sendHeartbeat = defineTool({
  name: 'send_heartbeat',
  title: 'Send Heartbeat',
  description:
    'Say that an agent of yours is there, where it does nothing else for a while: every call as an agent says so too.',
  effect: 'write',
  hints: completing,
  input: z.object({ agent: actingField }),
  output: z.object({
    waiting: z.int().describe('Messages in its mailbox.'),
    timeout_seconds: z.int().describe('After such a silence it counts as gone.'),
  }),

  async handler({ agent: name }, { agents, mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    const agent = await agents.acting(name, caller, nowMs);
    const [waiting = 0] = await mesh.engine.loads([name]);
    return { waiting, timeout_seconds: agent.value.timeout_seconds };
  },
});

const agentOut = z.object({
  name: z.string().describe('Name.'),
  state: z.enum(['here', 'gone']).describe('Whether it was heard of in time.'),
  status: z.string(),
  capabilities: z.array(z.string()).describe('What it can do.'),
  description: z.string().optional(),
  card: z.unknown().optional(),
  yours: z.boolean(),
  last_seen: z.string(),
  waiting: z.int(),
  connections: z.int(),
});

export const listAgents = defineTool({
  name: 'list_agents',
  title: 'List Agents',
  description: 'Find other agents: who is there, what each can do, and how much waits for it.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    capability: capabilityField.optional().describe('Only those that have it.'),
    name: agentNameField.optional().describe('Only this one, with its card.'),
    state: z.enum(['here', 'gone']).optional().describe('Only these: gone has not been heard of in time.'),
    limit: limitField(500, 50),
    cursor: cursorField,
  }),
  output: z.object({
    agents: z
      .array(toldBriefly(agentOut, 'name', 'capabilities', 'state'))
      .describe('With status, description, yours, last_seen, waiting and connections.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, { agents, mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    const [after] = decodeCursor('list_agents', args, cursor, z.tuple([z.string()]), ['']);
    await mesh.engine.current();
    const { directory } = mesh;
    const { name, capability } = args;
    const one = name === undefined ? undefined : directory.agent(name, nowMs);
    const all =
      name !== undefined
        ? one
          ? [one]
          : []
        : capability === undefined
          ? directory.agents(nowMs)
          : directory.withCapability(capability, nowMs);
    const asked = all
      .filter(
        ({ key, value }) =>
          key > after && (capability === undefined || value.capabilities.includes(capability)),
      )
      .map((agent) => agents.presence(agent))
      .filter(({ state }) => args.state === undefined || state === args.state)
      .toSorted(byName);
    const page = asked.slice(0, args.limit);
    const waiting = await mesh.engine.loads(page.map(({ agent }) => agent.key));
    const rows = fitting(
      page.map((one, at) => rowOf(one, waiting[at] ?? 0, caller, args.name !== undefined)),
    );
    const last = rows.at(-1);
    const isMore = last !== undefined && rows.length < asked.length;
    return { agents: rows, ...continued('list_agents', args, isMore ? [last.name] : undefined) };
  },
});

const byName = (one: Presence, other: Presence) => (one.agent.key < other.agent.key ? -1 : 1);

function rowOf(
  { agent, state, seenMs, connections }: Presence,
  waiting: number,
  caller: string,
  withCard: boolean,
) {
  const { status, capabilities, description, card } = agent.value;
  return {
    name: agent.key,
    state,
    status,
    capabilities: [...capabilities],
    ...(description !== undefined && { description }),
    ...(withCard && card !== undefined && { card }),
    yours: agent.owner === caller,
    last_seen: isoOf(seenMs),
    waiting,
    connections,
  };
}

export const agentTools = [registerAgent, unregisterAgent, sendHeartbeat, listAgents];
