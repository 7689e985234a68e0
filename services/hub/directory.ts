/**
 * Who is there, who listens to what, which rules and types there are: all that decides where a message goes. Kept in memory by
 * every hub, ordered so that a message finds its receivers without looking at everybody.
 */
import { z } from 'zod';

import { isDeeper } from '#runtime/depth.ts';
import { storedText } from '#runtime/fields.ts';

import { objectField } from './objects.ts';
import { deepestBody } from './limits.ts';
import { urgency, type Entry, type EntryChange, type Mailbox } from './engine/engine.ts';
import { priorities, type AgentName, type Envelope } from './message.ts';
import {
  longestName,
  nameGlob,
  namePatternField,
  topicField,
  topicGlob,
  topicPatternField,
  type Fits,
} from './routing/glob.ts';
import { filterField, matcherOf } from './routing/match.ts';
import { TopicIndex } from './routing/topics.ts';
import { typeValue, type TypeValue } from './types/registered.ts';

const wordPattern = /^[a-z0-9][a-z0-9._:@-]*$/;
const wordRule = 'must be in lower case, like reviewer-2: letters, digits and . _ : @ -';

export const agentNameField = z.string().max(longestName).regex(wordPattern, wordRule);
export const capabilityField = z.string().max(longestName).regex(wordPattern, wordRule);
export const priorityField = z.enum(priorities);

const mostCardBytes = 16_384;

export const statuses = ['available', 'busy', 'draining'] as const;

/** Of an entry whose key is the name of the agent. */
export const agentValue = z.object({
  description: storedText(2_000, 'What it is and does, for other agents.').max(2_000).optional(),
  capabilities: z
    .array(capabilityField)
    .max(64)
    .refine((names) => new Set(names).size === names.length, 'must name each capability once')
    .default([])
    .describe('What it can be asked to do, such as review or typescript.'),
  card: objectField
    .refine(
      (card) => !isDeeper(card, deepestBody),
      `must have no lists and objects that lie in each other more than ${deepestBody} times`,
    )
    .refine(
      (card) => Buffer.byteLength(JSON.stringify(card)) <= mostCardBytes,
      'must be at most 16 KB of JSON',
    )
    .optional()
    .describe('More about it, for other agents to read.'),
  status: z
    .enum(statuses)
    .default('available')
    .describe('busy gets work for a capability when nobody is available; draining gets none.'),
  timeout_seconds: z
    .int()
    .min(5)
    .max(86_400)
    .default(120)
    .describe('After so long a silence it counts as gone, and its work comes back.'),
  mailbox: z
    .object({
      most: z.int().min(1).max(20_000).default(10_000).describe('Most messages that wait.'),
      when_full: z
        .enum(['reject', 'drop_oldest', 'dead_letter'])
        .default('reject')
        .describe('What becomes of one more.'),
      ordered: z
        .boolean()
        .default(true)
        .describe('false when several workers share it: messages of one sender may overtake each other.'),
    })
    .prefault({})
    .describe('How much waits for it.'),
});
export type AgentValue = z.infer<typeof agentValue>;

const takes = {
  minimum_priority: priorityField.optional().describe('Only what is at least so urgent.'),
  match: filterField.optional().describe('Only bodies with these values, by dotted path.'),
};

/** Of an entry with any key. */
export const subscriptionValue = z.object({
  agent: agentNameField,
  topic: topicPatternField.describe('Topic or pattern: build.done, build.*, build.**'),
  types: z.array(topicPatternField).min(1).max(20).optional().describe('Only these types of messages.'),
  ...takes,
});
export type SubscriptionValue = z.infer<typeof subscriptionValue>;

export const picks = ['any', 'all'] as const;

/** Each token has names of rules of its own: that another one has the same is for nobody to know. */
export const ruleKey = (name: string, owner: string) => `${name}:${owner}`;

/** Of an entry whose key is `ruleKey`. */
export const ruleValue = z.object({
  description: storedText(500, 'What it is for.').max(500).optional(),
  enabled: z.boolean().default(true).describe('false: it counts for nothing.'),
  priority: z.int().min(0).max(1_000).default(100).describe('The highest is looked at first.'),
  type: topicPatternField.optional().describe('Of messages: error, build.*'),
  source: namePatternField.optional().describe('Who sends: reviewer-*'),
  target: topicPatternField.optional().describe('The topic or capability that the sender named.'),
  ...takes,
  route_to: z
    .union(
      [
        z.strictObject({ agents: z.array(agentNameField).min(1).max(100).describe('Names.') }),
        z.strictObject({
          capability: capabilityField.describe('Who can do this.'),
          pick: z.enum(picks).default('any').describe('The least loaded, or all.'),
        }),
        z.strictObject({ topic: topicField.describe('A topic.') }),
      ],
      {
        error:
          'must be {"agents": [names]}, {"capability": name, "pick": "any" or "all"}, or {"topic": name}',
      },
    )
    .describe('One of: agents (names), capability with pick (any or all), topic.'),
});
export type RuleValue = z.infer<typeof ruleValue>;

/** A rule as it is kept. */
const keptRule = ruleValue.extend({
  /** The tokens that had the names of `route_to` when it was set, as far as they were registered: whoever takes one later gets nothing by it. */
  owners: z.record(z.string(), z.string()).optional(),
});
type KeptRule = z.infer<typeof keptRule>;

/** An entry whose value has been checked. */
export type Known<Value> = Omit<Entry, 'value'> & { readonly value: Value };
export type Agent = Known<AgentValue>;

type Takes = (envelope: Envelope, body: unknown) => boolean;
export type Subscription = Known<SubscriptionValue> & { readonly takes: Takes };
export type Rule = Known<KeptRule> & { readonly name: string; readonly takes: Takes };
export type RegisteredType = Known<TypeValue>;

const mostKnownTypes = 1_000;

export class Directory {
  private readonly agentsByName = new Map<AgentName, Agent>();
  private readonly agentsByCapability = new Map<string, Map<AgentName, Agent>>();
  private readonly gone = new Set<AgentName>();
  /** When an agent was last picked for its capability, as a count of all picks. */
  private readonly pickedAt = new Map<AgentName, number>();
  private picks = 0;
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly subscriptionsByOwner = new Map<string, number>();
  private readonly subscriptionsByAgent = new Map<AgentName, Map<string, Subscription>>();
  private readonly topics = new TopicIndex<Subscription>();
  private readonly rules = new Map<string, Rule>();
  /** The rules for a type of message, in the order in which they are looked at. */
  private readonly rulesByType = new Map<string, readonly Rule[]>();
  private readonly types = new Map<string, RegisteredType>();

  /**
   * Takes what the engine tells. An entry that this version of the hub cannot read is as if it were not there.
   *
   * @returns what is wrong with it, for the log.
   */
  apply(change: EntryChange): string | undefined {
    if ('removed' in change) {
      const { kind, key } = change.removed;
      this.drop(kind, key);
      if (kind === 'agent') {
        this.gone.delete(key);
        this.pickedAt.delete(key);
      }
      return undefined;
    }
    const entry = change.put;
    this.drop(entry.kind, entry.key);
    switch (entry.kind) {
      case 'agent':
        return taken(entry, agentValue, (agent) => this.addAgent(agent));
      case 'subscription':
        return taken(entry, subscriptionValue, (subscription) => this.addSubscription(subscription));
      case 'rule':
        return taken(entry, keptRule, (rule) => this.addRule(rule));
      case 'type':
        return taken(entry, typeValue, (type) => this.types.set(type.key, type));
      case 'context':
      case 'strategy':
    }
    return undefined;
  }

  agent(name: AgentName, nowMs: number): Agent | undefined {
    return live(this.agentsByName.get(name), nowMs);
  }

  /** By when they were registered or changed. */
  agents(nowMs: number): Agent[] {
    return allLive(this.agentsByName, nowMs);
  }

  withCapability(capability: string, nowMs: number): Agent[] {
    return allLive(this.agentsByCapability.get(capability) ?? new Map<AgentName, Agent>(), nowMs);
  }

  /** Whether an agent has been heard of in time. It is told, since the time is not known here. */
  setGone(name: AgentName, isGone: boolean): void {
    if (isGone && this.agentsByName.has(name)) this.gone.add(name);
    else this.gone.delete(name);
  }

  isGone(name: AgentName): boolean {
    return this.gone.has(name);
  }

  /** 0 for one that never was. */
  lastPicked(name: AgentName): number {
    return this.pickedAt.get(name) ?? 0;
  }

  picked(name: AgentName): void {
    this.picks += 1;
    this.pickedAt.set(name, this.picks);
  }

  /** Those whose pattern fits a topic, and `undefined` now and then: a place to pause. What else they ask of a message, `takes` says. */
  *subscribedTo(topic: string, nowMs: number): Generator<Subscription | undefined> {
    for (const subscription of this.topics.fitting(topic))
      if (!subscription || isLive(subscription, nowMs)) yield subscription;
  }

  subscriptionsOf(agent: AgentName, nowMs: number): Subscription[] {
    return allLive(this.subscriptionsByAgent.get(agent) ?? new Map<string, Subscription>(), nowMs);
  }

  /** How many a token has, whatever agents they are of. */
  subscriptionsOfToken(owner: string): number {
    return this.subscriptionsByOwner.get(owner) ?? 0;
  }

  /** Those that are enabled and may fit a message of this type, the first first. */
  *rulesFor(type: string, nowMs: number): Generator<Rule> {
    if (this.rules.size === 0) return;
    let rules = this.rulesByType.get(type);
    if (!rules) {
      rules = [...this.rules.values()]
        .filter(({ value }) => value.enabled && (value.type === undefined || topicGlob(value.type)(type)))
        .toSorted(byPriority);
      if (this.rulesByType.size >= mostKnownTypes) this.rulesByType.clear();
      this.rulesByType.set(type, rules);
    }
    for (const rule of rules) if (isLive(rule, nowMs)) yield rule;
  }

  allRules(nowMs: number): Rule[] {
    return allLive(this.rules, nowMs).toSorted(byPriority);
  }

  registeredType(name: string, nowMs: number): RegisteredType | undefined {
    return live(this.types.get(name), nowMs);
  }

  registeredTypes(nowMs: number): RegisteredType[] {
    return allLive(this.types, nowMs);
  }

  private addAgent(agent: Agent): void {
    this.agentsByName.set(agent.key, agent);
    for (const capability of agent.value.capabilities) {
      const agents = this.agentsByCapability.get(capability);
      if (agents) agents.set(agent.key, agent);
      else this.agentsByCapability.set(capability, new Map([[agent.key, agent]]));
    }
  }

  private addSubscription(known: Known<SubscriptionValue>): void {
    const { agent, topic, types } = known.value;
    const subscription = { ...known, takes: takesOf({ ...known.value, types: types?.map(topicGlob) }) };
    this.subscriptions.set(known.key, subscription);
    this.topics.add(topic, subscription);
    this.countSubscription(known.owner, 1);
    const others = this.subscriptionsByAgent.get(agent);
    if (others) others.set(known.key, subscription);
    else this.subscriptionsByAgent.set(agent, new Map([[known.key, subscription]]));
  }

  private countSubscription(owner: string, more: 1 | -1): void {
    const count = this.subscriptionsOfToken(owner) + more;
    if (count > 0) this.subscriptionsByOwner.set(owner, count);
    else this.subscriptionsByOwner.delete(owner);
  }

  private addRule(known: Known<KeptRule>): void {
    const { source, target, ...value } = known.value;
    const takes = takesOf({
      ...value,
      source: source === undefined ? undefined : nameGlob(source),
      target: target === undefined ? undefined : topicGlob(target),
    });
    const [name = ''] = known.key.split(':', 1);
    this.rules.set(known.key, { ...known, name, takes });
    this.rulesByType.clear();
  }

  private drop(kind: Entry['kind'], key: string): void {
    switch (kind) {
      case 'agent':
        this.dropAgent(key);
        return;
      case 'subscription':
        this.dropSubscription(key);
        return;
      case 'rule':
        if (this.rules.delete(key)) this.rulesByType.clear();
        return;
      case 'type':
        this.types.delete(key);
        return;
      case 'context':
      case 'strategy':
    }
  }

  private dropAgent(name: AgentName): void {
    const agent = this.agentsByName.get(name);
    this.agentsByName.delete(name);
    for (const capability of agent?.value.capabilities ?? []) {
      const agents = this.agentsByCapability.get(capability);
      agents?.delete(name);
      if (agents?.size === 0) this.agentsByCapability.delete(capability);
    }
  }

  private dropSubscription(key: string): void {
    const subscription = this.subscriptions.get(key);
    if (!subscription) return;
    const { agent, topic } = subscription.value;
    this.subscriptions.delete(key);
    this.topics.delete(topic, subscription);
    this.countSubscription(subscription.owner, -1);
    const others = this.subscriptionsByAgent.get(agent);
    others?.delete(key);
    if (others?.size === 0) this.subscriptionsByAgent.delete(agent);
  }
}

/** How the engine has to fill the mailbox of an agent. */
export const mailboxOf = ({ key, owner, value: { mailbox } }: Agent): Mailbox => ({
  agent: key,
  owner,
  most: mailbox.most,
  whenFull: mailbox.when_full,
});

function taken<Value>(
  entry: Entry,
  schema: z.ZodType<Value>,
  take: (known: Known<Value>) => unknown,
): string | undefined {
  const checked = schema.safeParse(entry.value);
  if (!checked.success) return `${entry.kind} ${entry.key}: ${z.prettifyError(checked.error)}`;
  take({ ...entry, value: checked.data });
  return undefined;
}

interface Wanted {
  readonly types?: readonly Fits[] | undefined;
  readonly source?: Fits | undefined;
  readonly target?: Fits | undefined;
  readonly minimum_priority?: Envelope['priority'] | undefined;
  readonly match?: RuleValue['match'];
}

/** The cheapest questions first; the body is looked at last. */
function takesOf({ types, source, target, minimum_priority: minimum, match }: Wanted): Takes {
  const matches = match && matcherOf(match);
  return (envelope, body) => {
    if (minimum !== undefined && urgency[envelope.priority] < urgency[minimum]) return false;
    if (source && !source(envelope.source)) return false;
    if (types && !types.some((fits) => fits(envelope.type))) return false;
    if (target) {
      const named = envelope.topic ?? envelope.capability?.name;
      if (named === undefined || !target(named)) return false;
    }
    return !matches || matches(body);
  };
}

const byPriority = (one: Rule, other: Rule) =>
  other.value.priority - one.value.priority || (one.key < other.key ? -1 : 1);

const isLive = ({ expiresAtMs }: { readonly expiresAtMs: number | undefined }, nowMs: number) =>
  expiresAtMs === undefined || expiresAtMs > nowMs;

const live = <Value extends Entry>(entry: Value | undefined, nowMs: number) =>
  entry && isLive(entry, nowMs) ? entry : undefined;

const allLive = <Value extends Entry>(entries: ReadonlyMap<string, Value>, nowMs: number): Value[] =>
  [...entries.values()].filter((entry) => isLive(entry, nowMs));
