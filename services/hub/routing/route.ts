/** Where a message goes, and why. Nothing is sent here. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Agent, Directory, Rule } from '../directory.ts';
import type { AgentName, Envelope } from '../message.ts';

/** How an agent came to be a receiver: by its name, a rule, a capability or a topic, and which. */
interface Why {
  readonly by: 'name' | 'rule' | 'capability' | 'topic';
  readonly what: string;
  /** The capability for which it was picked, where others have it as well. */
  readonly pickedFor?: string;
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

export interface Circumstances {
  readonly nowMs: number;
  /** How much waits for each of these agents. */
  readonly loads: (agents: readonly AgentName[]) => Promise<readonly number[]>;
  /** Whether rules of this token count for the message. */
  readonly applies: (ruleOwner: string) => boolean;
}

/** One message on its way. */
interface Routing extends Circumstances {
  readonly directory: Directory;
  readonly envelope: Envelope;
  readonly body: unknown;
  /** Each agent once, and the first reason. */
  readonly found: Map<AgentName, Receiver>;
  /** Whether its sender would have been among them. */
  leadsBack: boolean;
  /** When others have their turn. */
  pieceEndsAtMs: number;
}

/** Stands for everybody but the sender. */
export const everybody = '*';

/**
 * Explicit names; else all rules that fit; else the capability; else the topic. What a rule leads to is looked at by no rule again.
 * Only an agent that names itself gets its own message: a rule that leads to nobody else than the sender is as one that does not fit.
 *
 * @throws what `loads` throws.
 */
export async function route(
  directory: Directory,
  envelope: Envelope,
  body: unknown,
  circumstances: Circumstances,
): Promise<Route> {
  const routing: Routing = {
    ...circumstances,
    directory,
    envelope,
    body,
    found: new Map(),
    leadsBack: false,
    pieceEndsAtMs: performance.now() + pieceMs,
  };
  const { nowMs, applies } = circumstances;
  const { to, capability, topic } = envelope;
  if (to) return byName(routing, to);

  const rules: string[] = [];
  for (const rule of directory.rulesFor(envelope.type, nowMs)) {
    if (!applies(rule.owner) || !rule.takes(envelope, body)) continue;
    rules.push(rule.name);
    await byRule(routing, rule, { by: 'rule', what: rule.name });
  }
  if (rules.length > 0 && (routing.found.size > 0 || !routing.leadsBack))
    return routeOf(routing, `Nobody is where the rule ${rules.join(', ')} leads.`);

  if (capability) {
    const { name, pick } = capability;
    await byCapability(routing, name, pick, { by: 'capability', what: name });
    return routeOf(routing, `No other agent that takes work has the capability ${name}.`);
  }
  if (topic !== undefined) {
    await byTopic(routing, topic);
    return { ...routeOf(routing, `Nobody listens to the topic ${topic}.`), isDead: false };
  }
  return routeOf(routing, 'It names no agent, capability or topic, and no rule fits it.');
}

function routeOf({ found }: Routing, reason: string, unknown: readonly AgentName[] = []): Route {
  const isNobody = found.size === 0;
  return { receivers: [...found.values()], unknown, reason: isNobody ? reason : undefined, isDead: isNobody };
}

async function byName(routing: Routing, names: readonly AgentName[]): Promise<Route> {
  const { directory, found, nowMs } = routing;
  const unknown = new Set<AgentName>();
  for (const name of names) {
    if (name === everybody) {
      for (const agent of directory.agents(nowMs)) {
        if (isPieceOver(routing)) await othersTurn(routing); // oxlint-disable-line no-await-in-loop -- this is the pause
        addOther(routing, agent, { by: 'name', what: everybody });
      }
      continue;
    }
    const agent = directory.agent(name, nowMs);
    if (!agent) unknown.add(name);
    else if (!found.has(name)) found.set(name, { agent, why: { by: 'name', what: name } });
  }
  const reason =
    unknown.size > 0 ? `No agent has the name ${[...unknown].join(', ')}.` : 'There is no other agent.';
  return routeOf(routing, reason, [...unknown]);
}

async function byRule(
  routing: Routing,
  { owner, value: { route_to: to, owners } }: Rule,
  why: Why,
): Promise<void> {
  if ('capability' in to) await byCapability(routing, to.capability, to.pick, why);
  else if ('topic' in to) await byTopic(routing, to.topic, why);
  else {
    for (const name of to.agents) {
      const agent = routing.directory.agent(name, routing.nowMs);
      // One that nobody had then is for an agent of the rule's own token.
      const holder = owners && (Object.hasOwn(owners, name) ? owners[name] : owner);
      if (agent && agent.owner === (holder ?? agent.owner)) addOther(routing, agent, why);
    }
  }
}

/** There may be very many agents and subscriptions, and patterns that take long to compare. */
const pieceMs = 4;

const isPieceOver = ({ pieceEndsAtMs }: Routing) => performance.now() > pieceEndsAtMs;

async function othersTurn(routing: Routing): Promise<void> {
  await nextTurn();
  routing.pieceEndsAtMs = performance.now() + pieceMs;
}

async function byTopic(routing: Routing, topic: string, why?: Why): Promise<void> {
  const { directory, envelope, body, found, nowMs } = routing;
  for (const subscription of directory.subscribedTo(topic, nowMs)) {
    if (isPieceOver(routing)) await othersTurn(routing); // oxlint-disable-line no-await-in-loop -- this is the pause
    if (!subscription || found.has(subscription.value.agent) || !subscription.takes(envelope, body)) continue;
    const agent = directory.agent(subscription.value.agent, nowMs);
    if (agent?.owner === subscription.owner)
      addOther(routing, agent, why ?? { by: 'topic', what: subscription.value.topic });
  }
}

async function byCapability(routing: Routing, name: string, pick: 'any' | 'all', why: Why): Promise<void> {
  const { directory, envelope, nowMs } = routing;
  const all = directory.withCapability(name, nowMs).filter(({ value }) => value.status !== 'draining');
  const others = all.filter(({ key }) => key !== envelope.source);
  if (others.length < all.length) routing.leadsBack = true;
  const picked = pick === 'all' ? others : await leastLoaded(routing, others);
  for (const agent of picked) addOther(routing, agent, pick === 'any' ? { ...why, pickedFor: name } : why);
}

/** Somebody who is here, has the capability, takes work, and fits: the least loaded. */
export async function anotherFor(
  directory: Directory,
  capability: string,
  {
    loads,
    nowMs,
    fits,
  }: Pick<Circumstances, 'loads' | 'nowMs'> & { readonly fits: (agent: Agent) => boolean },
): Promise<Agent | undefined> {
  const all = directory
    .withCapability(capability, nowMs)
    .filter((agent) => agent.value.status !== 'draining' && !directory.isGone(agent.key) && fits(agent));
  const [picked] = await leastLoaded({ directory, loads, nowMs }, all);
  return picked;
}

/** One of those that come first, or none: who is here and available, else who is here, else who may be back. */
async function leastLoaded(
  { directory, loads, nowMs }: Pick<Routing, 'directory' | 'loads' | 'nowMs'>,
  agents: readonly Agent[],
): Promise<readonly Agent[]> {
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
  if (!best) return [];
  directory.picked(best.agent.key);
  return [best.agent];
}

function addOther(routing: Routing, agent: Agent, why: Why): void {
  const { found, envelope } = routing;
  if (envelope.audience?.includes(agent.owner) === false) return;
  if (agent.key === envelope.source) routing.leadsBack = true;
  else if (!found.has(agent.key)) found.set(agent.key, { agent, why });
}
