/** Agent cards: who may be asked here, for what, and how. What is open to all says only that, and how to authenticate. */
import { hash } from 'node:crypto';

import { z } from 'zod';

import type { Agent, Directory } from '../directory.ts';
import { guestPrefix } from './guest.ts';
import { AgentCard, protocolVersion } from './protocol.ts';

const line = z.string().min(1).max(200);
const text = z.string().min(1).max(2_000);
const modes = z
  .array(z.string().regex(/^[\w*.+-]+\/[\w*.+-]+$/))
  .min(1)
  .max(50);
const address = z.url({ protocol: /^https?$/ }).max(500);

const skillField = z.object({
  id: line,
  name: line.optional(),
  description: text.optional(),
  tags: z.array(line).max(20).optional(),
  examples: z.array(text).max(20).optional(),
  inputModes: modes.optional(),
  outputModes: modes.optional(),
});

/** What an agent's own card may say. Addresses, authentication and what the face can do are the hub's to say. */
const ownFields = {
  name: line,
  description: text,
  version: z.string().min(1).max(50),
  provider: z.object({ organization: line, url: address }),
  documentationUrl: address,
  iconUrl: address,
  defaultInputModes: modes,
  defaultOutputModes: modes,
};

const usualModes = ['text/plain', 'text/markdown', 'application/json'];

const mostSkills = 200;
const mostNamed = 20;

export type Target = { readonly agent: string } | 'hub';

/** The part of an agent's card that is as it must be; what is not, is left out. */
function own({ value: { card = {} } }: Agent) {
  const kept = Object.entries(ownFields).flatMap(([name, field]: [string, z.ZodType]) => {
    const { data } = field.safeParse(card[name]);
    return data === undefined ? [] : [[name, data] as const];
  });
  const given = Array.isArray(card['skills']) ? card['skills'].slice(0, mostSkills) : [];
  const skills = given.flatMap((skill) => skillField.safeParse(skill).data ?? []);
  return { fields: Object.fromEntries(kept), skills };
}

/** A card must name a skill. */
const anySkills = [
  {
    id: 'messages',
    name: 'Messages',
    description: 'Takes messages; it has said nothing else of what it can do.',
    tags: ['messages'],
  },
];

function agentSkills(agent: Agent) {
  const byId = new Map(
    agent.value.capabilities.map((id) => [
      id,
      { id, name: id, description: `Can be asked for ${id}.`, tags: [id] },
    ]),
  );
  for (const { id, name = id, description = `Can be asked for ${id}.`, tags = [id], ...more } of own(agent)
    .skills)
    byId.set(id, { id, name, description, tags, ...more });
  return byId.size > 0 ? [...byId.values()].slice(0, mostSkills) : anySkills;
}

function hubSkills(directory: Directory, nowMs: number) {
  const able = new Map<string, string[]>();
  for (const { key, value } of directory.agents(nowMs))
    for (const capability of value.capabilities) {
      const names = able.get(capability);
      if (names) names.push(key);
      else able.set(capability, [key]);
    }
  const all = [...able].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return all.slice(0, mostSkills).map(([id, names]) => {
    const more = names.length > mostNamed ? ` and ${names.length - mostNamed} more` : '';
    const who = `${names.slice(0, mostNamed).join(', ')}${more}`;
    const description = `Done by ${who}. Name it in the metadata of a message: {"capability": "${id}"}.`;
    return { id, name: id, tags: [id], description };
  });
}

const hello = [
  {
    id: 'messages',
    name: 'Messages',
    description:
      'Takes messages for agents. Authenticate and ask for the extended agent card to see for whom, and for what.',
    tags: ['messages'],
  },
];

/** Of whom cards tell, and whom messages may be sent to. Clients that came by A2A themselves are not among them. */
export function reachable(directory: Directory, name: string, nowMs: number): Agent | undefined {
  return name.startsWith(guestPrefix) ? undefined : directory.agent(name, nowMs);
}

/** Media types of parts, where a message says them. */
export const inputModes = (agent: Agent | undefined): readonly string[] => {
  const modesOfAgent = agent && own(agent).fields['defaultInputModes'];
  return (modesOfAgent as string[] | undefined) ?? usualModes;
};

function common(target: Target, origin: string) {
  const base = `${origin}/a2a${target === 'hub' ? '' : `/${encodeURIComponent(target.agent)}`}`;
  const schemes = {
    bearer: {
      httpAuthSecurityScheme: {
        scheme: 'Bearer',
        description: 'A token of this host: flotilla token create.',
      },
    },
  };
  return {
    supportedInterfaces: [
      { url: base, protocolBinding: 'JSONRPC', protocolVersion },
      { url: `${base}/v1`, protocolBinding: 'HTTP+JSON', protocolVersion },
    ],
    version: '1.0.0',
    capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: true },
    securitySchemes: schemes,
    securityRequirements: [{ schemes: { bearer: { list: [] } } }],
    defaultInputModes: usualModes,
    defaultOutputModes: ['text/plain', 'application/json'],
  };
}

/** Says nothing of who is there: it is the same for names that nobody has. */
export const openCard = (target: Target, origin: string): AgentCard =>
  AgentCard.fromJSON({
    name: target === 'hub' ? 'Flotilla hub' : target.agent,
    description:
      'Agents on this host take messages through its hub. Who they are is said to those who have a token.',
    ...common(target, origin),
    skills: hello,
  });

/** All that a client has to know of an agent, or of the hub, that chooses an agent. */
export function fullCard(
  agent: Agent | undefined,
  directory: Directory,
  origin: string,
  nowMs: number,
): AgentCard {
  if (agent) {
    const { description = `The agent ${agent.key}.` } = agent.value;
    return AgentCard.fromJSON({
      name: agent.key,
      description,
      ...common({ agent: agent.key }, origin),
      ...own(agent).fields,
      skills: agentSkills(agent),
    });
  }
  const skills = hubSkills(directory, nowMs);
  return AgentCard.fromJSON({
    name: 'Flotilla hub',
    description:
      'Hands a message to the least loaded agent with a capability, or by the rules of its operator.',
    ...common('hub', origin),
    skills: skills.length > 0 ? skills : hello,
  });
}

const maxAgeSeconds = 60;

/** As a document that may be kept for a while. */
export function cardResponse(card: AgentCard, request: Request): Response {
  const body = JSON.stringify(AgentCard.toJSON(card));
  const etag = `"${hash('sha256', body, 'base64url').slice(0, 22)}"`;
  const headers = { etag, 'cache-control': `public, max-age=${maxAgeSeconds}`, vary: 'host' };
  if (request.headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers });
  return new Response(body, { headers: { ...headers, 'content-type': 'application/json' } });
}
