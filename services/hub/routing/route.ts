/** Where a message goes, and why. Nothing is sent here. */
import type { Agent, Directory, RuleValue } from '../directory.ts';
import type { AgentName, Envelope } from '../message.ts';

/** How an agent came to be a receiver: by its name, a rule, a capability or a topic, and which. */
interface Why {
  readonly by: 'name' | 'rule' | 'capability' | 'topic';
  readonly what: string;
}

export interface Receiver {
  readonly agent: Agent;
  readonly why: Why;
}

export interface Route {
  /** Each agent once. */
  readonly receivers: readonly Receiver[];
  /** Names in `to` that nobody has. */
  readonly unknown: readonly AgentName[];
  /** Why nobody gets it. */
  readonly reason: string | undefined;
  /**
   * Whether a message that nobody gets is a dead letter. One that was said to a topic is not: it stands in the history, where
   * those find it who come later.
   */
  readonly isDead: boolean;
}

/** How much waits for each of these agents. */
export type Loads = (agents: readonly AgentName[]) => Promise<readonly number[]>;

type Found = Map<AgentName, Receiver>;

/** One message on its way. */
interface Routing {
  readonly directory: Directory;
  readonly envelope: Envelope;
  readonly body: unknown;
  readonly loads: Loads;
  readonly nowMs: number;
}

/** Stands for everybody but the sender. */
export const everybody = '*';

/**
 * Explicit names; else all rules that fit; else the capability; else the topic. What a rule leads to is looked at by no rule again.
 * The sender gets its own message only where it is named.
 *
 * @throws what `loads` throws.
 */
export async function route(
  directory: Directory,
  envelope: Envelope,
  body: unknown,
  loads: Loads,
  nowMs: number,
): Promise<Route> {
  const routing: Routing = { directory, envelope, body, loads, nowMs };
  const found: Found = new Map();
  if (envelope.to) return byName(routing, envelope.to, found);

  const rules: string[] = [];
  for (const rule of directory.rulesFor(envelope.type, nowMs)) {
    if (!rule.takes(envelope, body)) continue;
    rules.push(rule.key);
    await byRule(routing, rule.value.route_to, { by: 'rule', what: rule.key }, found);
  }
  if (rules.length > 0) return routeOf(found, `Nobody is where the rule ${rules.join(', ')} leads.`);

  if (envelope.capability) {
    const { name, pick } = envelope.capability;
    await byCapability(routing, name, pick, { by: 'capability', what: name }, found);
    return routeOf(found, `No other agent that takes work has the capability ${name}.`);
  }
  if (envelope.topic !== undefined) {
    byTopic(routing, envelope.topic, undefined, found);
    return { ...routeOf(found, `Nobody listens to the topic ${envelope.topic}.`), isDead: false };
  }
  return routeOf(found, 'It names no agent, capability or topic, and no rule fits it.');
}

function routeOf(found: Found, reason: string, unknown: readonly AgentName[] = []): Route {
  const isNobody = found.size === 0;
  return { receivers: [...found.values()], unknown, reason: isNobody ? reason : undefined, isDead: isNobody };
}

function byName({ directory, envelope, nowMs }: Routing, names: readonly AgentName[], found: Found): Route {
  const unknown = new Set<AgentName>();
  for (const name of names) {
    if (name === everybody) {
      for (const agent of directory.agents(nowMs))
        if (agent.key !== envelope.source) add(found, agent, { by: 'name', what: everybody });
      continue;
    }
    const agent = directory.agent(name, nowMs);
    if (agent) add(found, agent, { by: 'name', what: name });
    else unknown.add(name);
  }
  const reason =
    unknown.size > 0 ? `No agent has the name ${[...unknown].join(', ')}.` : 'There is no other agent.';
  return routeOf(found, reason, [...unknown]);
}

async function byRule(routing: Routing, to: RuleValue['route_to'], why: Why, found: Found): Promise<void> {
  if ('agents' in to) {
    for (const name of to.agents) {
      const agent = routing.directory.agent(name, routing.nowMs);
      if (agent) add(found, agent, why);
    }
  } else if ('capability' in to) await byCapability(routing, to.capability, to.pick, why, found);
  else byTopic(routing, to.topic, why, found);
}

function byTopic({ directory, envelope, body, nowMs }: Routing, topic: string, why: Why | undefined, found: Found): void {
  for (const subscription of directory.subscribedTo(topic, nowMs)) {
    const { agent: name, topic: pattern } = subscription.value;
    if (name === envelope.source || found.has(name) || !subscription.takes(envelope, body)) continue;
    const agent = directory.agent(name, nowMs);
    if (agent) add(found, agent, why ?? { by: 'topic', what: pattern });
  }
}

async function byCapability(
  { directory, envelope, loads, nowMs }: Routing,
  capability: string,
  pick: 'any' | 'all',
  why: Why,
  found: Found,
): Promise<void> {
  const agents = directory
    .withCapability(capability, nowMs)
    .filter(({ key, value }) => key !== envelope.source && value.status !== 'draining');
  if (pick === 'all') {
    for (const agent of agents) add(found, agent, why);
    return;
  }
  const agent = await leastLoaded({ directory, loads, nowMs }, agents);
  if (agent) add(found, agent, why);
}

/** Of those that come first: who is here and available, else who is here, else who may be back. */
async function leastLoaded(
  { directory, loads, nowMs }: Pick<Routing, 'directory' | 'loads' | 'nowMs'>,
  agents: readonly Agent[],
): Promise<Agent | undefined> {
  const here = agents.filter(({ key }) => !directory.isGone(key));
  const available = here.filter(({ value }) => value.status === 'available');
  const choice = [available, here, agents].find(({ length }) => length > 0) ?? [];
  const waiting = choice.length > 1 ? await loads(choice.map(({ key }) => key)) : [];
  let best: { agent: Agent; load: number; pickedAt: number } | undefined;
  for (const [at, { key }] of choice.entries()) {
    const load = waiting[at] ?? 0;
    if (best && load > best.load) continue;
    // Looked up after the loads are known: meanwhile an agent may have left, or been given another message.
    const agent = directory.agent(key, nowMs);
    if (!agent) continue;
    const pickedAt = directory.lastPicked(key);
    if (!best || load < best.load || pickedAt < best.pickedAt) best = { agent, load, pickedAt };
  }
  if (best) directory.picked(best.agent.key);
  return best?.agent;
}

/** The first reason stays. */
function add(found: Found, agent: Agent, why: Why): void {
  if (!found.has(agent.key)) found.set(agent.key, { agent, why });
}
