import { hash } from 'node:crypto';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { completing, reading, replacing } from '#runtime/hints.ts';
import { fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  ruleKey,
  ruleValue,
  subscriptionValue,
  type Directory,
  type Rule,
  type RuleValue,
} from '../directory.ts';
import { actingField } from '../fields.ts';
import type { Hub } from '../hub.ts';
import {
  mostRulesPerToken,
  mostSubscriptionsPerAgent,
  mostSubscriptionsPerToken,
  mostTypesPerToken,
} from '../limits.ts';
import { allTypes, isBuiltIn } from '../types.ts';
import { typeNameField, typeValue } from '../types/registered.ts';

const { agent: _agent, ...subscribing } = subscriptionValue.shape;

const subscriptionKey = (agent: string, topic: string) =>
  `${agent}:${hash('sha256', topic, 'base64url').slice(0, 22)}`;

export const subscribeTopic = defineTool({
  name: 'subscribe_topic',
  title: 'Subscribe to Topic',
  description:
    'Have what is said about a topic delivered to the mailbox of an agent of yours from now on. * stands for one part of a topic, ** for any. The same topic again changes its filter.',
  effect: 'write',
  hints: completing,
  input: z.object({ agent: actingField, ...subscribing }),
  output: z.object({
    topic: z.string().describe('As it is kept.'),
    subscriptions: z.int().describe('Of this agent, now.'),
  }),

  async handler({ agent, ...value }, { agents, mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    const { engine, directory } = mesh;
    await agents.acting(agent, caller, nowMs);
    const key = subscriptionKey(agent, value.topic);
    const own = directory.subscriptionsOf(agent, nowMs);
    if (own.length >= mostSubscriptionsPerAgent && !own.some((one) => one.key === key))
      throw new ToolError('too_large', `${agent} has ${own.length} subscriptions already.`, {
        hint: 'Use a pattern, or unsubscribe_topic.',
      });
    const all = directory.subscriptionsOfToken(caller);
    if (all >= mostSubscriptionsPerToken && !own.some((one) => one.key === key))
      throw new ToolError('too_large', `The agents of your token have ${all} subscriptions already.`, {
        hint: 'Use patterns, or unsubscribe_topic.',
      });
    await engine.put({
      kind: 'subscription',
      key,
      owner: caller,
      value: { agent, ...value },
      changedAtMs: nowMs,
      expiresAtMs: undefined,
    });
    return { topic: value.topic, subscriptions: directory.subscriptionsOf(agent, nowMs).length };
  },
});

export const unsubscribeTopic = defineTool({
  name: 'unsubscribe_topic',
  title: 'Unsubscribe from Topic',
  description: 'End a subscription. What it has brought stays in the mailbox.',
  effect: 'write',
  hints: replacing,
  input: z.object({ agent: actingField, topic: subscriptionValue.shape.topic }),
  output: z.object({ ended: z.boolean().describe('Whether there was one.') }),

  async handler({ agent, topic }, { agents, mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    await agents.acting(agent, caller, nowMs);
    return { ended: await mesh.engine.remove('subscription', subscriptionKey(agent, topic), caller) };
  },
});

export const listSubscriptions = defineTool({
  name: 'list_subscriptions',
  title: 'List Subscriptions',
  description: 'See to what an agent of yours has subscribed.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ agent: actingField }),
  output: z.object({
    subscriptions: z.array(z.unknown()).describe('With topic, types, minimum_priority and match.'),
  }),

  async handler({ agent }, { agents, mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    await agents.acting(agent, caller, nowMs);
    const rows = mesh.directory
      .subscriptionsOf(agent, nowMs)
      .map(({ value: { agent: _name, ...value } }) => value);
    return { subscriptions: fitting(rows) };
  },
});

const ruleName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,63}$/,
    'must be in lower case, like errors-to-lead: letters, digits and . _ -',
  )
  .describe('Its name.');

export const setRoutingRule = defineTool({
  name: 'set_routing_rule',
  title: 'Set Routing Rule',
  description:
    'Send messages that name no agent elsewhere: those that fit go where the rule says, before their capability or topic counts. It is for what your own agents send. The same name again changes it.',
  effect: 'write',
  hints: completing,
  input: z.object({ name: ruleName, ...ruleValue.shape }),
  output: z.object({
    name: z.string().describe('Its name.'),
    version: z.int().describe('Grows with each change.'),
    applies_to: z.enum(['yours', 'all']).describe('Messages of your agents, or of all.'),
  }),

  async handler({ name, ...value }, { mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    const { engine, directory, policy } = mesh;
    const own = directory.allRules(nowMs).filter(({ owner }) => owner === caller);
    if (own.length >= mostRulesPerToken && !own.some((rule) => rule.name === name))
      throw new ToolError('too_large', `Your token has ${own.length} rules already.`, {
        hint: 'Call delete_routing_rule.',
      });
    await engine.current();
    const { entry } = await engine.put({
      kind: 'rule',
      key: ruleKey(name, caller),
      owner: caller,
      value: { ...value, owners: ownersOf(value.route_to, directory, nowMs) },
      changedAtMs: nowMs,
      expiresAtMs: undefined,
    });
    return {
      name,
      version: entry.version,
      applies_to: policy.rulers.includes(caller) ? ('all' as const) : ('yours' as const),
    };
  },
});

export const deleteRoutingRule = defineTool({
  name: 'delete_routing_rule',
  title: 'Delete Routing Rule',
  description: 'Delete a rule of yours.',
  effect: 'write',
  hints: replacing,
  input: z.object({ name: ruleName }),
  output: z.object({ deleted: z.boolean().describe('Whether you had it.') }),
  handler: async ({ name }, { mesh }: Hub, { caller }) => ({
    deleted: await mesh.engine.remove('rule', ruleKey(name, caller), caller),
  }),
});

/** Who has the names to which a rule leads; those that nobody has are left out. */
function ownersOf(to: RuleValue['route_to'], directory: Directory, nowMs: number): Record<string, string> {
  const names = 'agents' in to ? to.agents : [];
  return Object.fromEntries(
    names.flatMap((name) => {
      const agent = directory.agent(name, nowMs);
      return agent ? [[name, agent.owner]] : [];
    }),
  );
}

const ruleRow = ({ name, owner, value: { owners: _owners, ...value } }: Rule, caller: string) => ({
  name,
  yours: owner === caller,
  ...value,
});

export const listRoutingRules = defineTool({
  name: 'list_routing_rules',
  title: 'List Routing Rules',
  description: 'See the rules that decide about messages of your agents, the first first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({}),
  output: z.object({ rules: z.array(z.unknown()).describe('As set_routing_rule takes them, with yours.') }),

  handler(_args, { mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    const rules = mesh.directory
      .allRules(nowMs)
      .filter(({ owner }) => owner === caller || mesh.policy.rulers.includes(owner));
    return { rules: fitting(rules.map((rule) => ruleRow(rule, caller))) };
  },
});

export const registerMessageType = defineTool({
  name: 'register_message_type',
  title: 'Register Message Type',
  description:
    'Make a type of messages known with the JSON Schema of its bodies: unknown types are refused, and so are bodies that do not fit.',
  effect: 'write',
  hints: completing,
  input: z.object({ name: typeNameField.describe('Such as build.finished.'), ...typeValue.shape }),
  output: z.object({
    name: z.string().describe('Its name.'),
    version: z.int().describe('Grows with each change.'),
  }),

  async handler({ name, ...value }, { mesh }: Hub, { caller }) {
    const nowMs = mesh.now();
    if (isBuiltIn(name))
      throw new ToolError('conflict', `${name} is a type of the hub's own.`, {
        hint: 'Choose another name, such as my.request.',
      });
    const own = mesh.directory.registeredTypes(nowMs).filter(({ owner }) => owner === caller);
    if (own.length >= mostTypesPerToken && !own.some(({ key }) => key === name))
      throw new ToolError('too_large', `Your token has ${own.length} types already.`, {
        hint: 'Use one of them.',
      });
    const { done, entry } = await mesh.engine.put({
      kind: 'type',
      key: name,
      owner: caller,
      value,
      changedAtMs: nowMs,
      expiresAtMs: undefined,
    });
    if (!done)
      throw new ToolError('conflict', `Another token has registered the type ${name}.`, {
        hint: 'Use it, or choose another name.',
      });
    return { name, version: entry.version };
  },
});

export const listMessageTypes = defineTool({
  name: 'list_message_types',
  title: 'List Message Types',
  description: 'See which types of messages there are; one by its name with the schema of its body.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ name: typeNameField.optional().describe('This one, with its schema.') }),
  output: z.object({
    types: z
      .array(z.unknown())
      .describe('name, description, expects_answer, priority, ttl_seconds, and schema of one.'),
  }),

  handler({ name }, { mesh }: Hub) {
    const nowMs = mesh.now();
    const rows = allTypes(mesh.directory, nowMs)
      .filter((type) => name === undefined || type.name === name)
      .map(({ name: key, description, expectsAnswer, priority, ttlSeconds, schema }) => ({
        name: key,
        description,
        ...(expectsAnswer && { expects_answer: true }),
        priority,
        ...(ttlSeconds !== undefined && { ttl_seconds: ttlSeconds }),
        ...(name !== undefined && { schema: schema() }),
      }));
    return { types: fitting(rows) };
  },
});

export const topicTools = [
  subscribeTopic,
  unsubscribeTopic,
  listSubscriptions,
  setRoutingRule,
  deleteRoutingRule,
  listRoutingRules,
  registerMessageType,
  listMessageTypes,
];
