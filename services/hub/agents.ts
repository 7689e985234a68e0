/** Who is there: agents, their connections, and how long ago each was heard of. */
import { randomBytes } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';

import { guestOf, guestPrefix } from './a2a/guest.ts';
import { agentValue, type Agent, type AgentValue, type Directory } from './directory.ts';
import type { Died } from './engine/engine.ts';
import type { AgentName } from './message.ts';
import { hubName, mostAgentsPerToken } from './limits.ts';
import type { Mesh } from './mesh.ts';
import { handOver } from './rerouting.ts';

export interface Presence {
  readonly agent: Agent;
  readonly state: 'here' | 'gone';
  readonly seenMs: number;
  readonly connections: number;
}

/** An agent that was not heard of in time, and for which nothing was done yet. */
export interface Gone {
  readonly agent: Agent;
  readonly seenMs: number;
  /** What has come back from it so far: that is told when all is done. */
  returned: number;
  readonly dead: Died[];
}

/** Of one agent. */
const mostConnections = 64;
/** How often a name is vacated for one registration. */
const mostTries = 10;

export type Agents = ReturnType<typeof openAgents>;

const noSuch = (name: AgentName) =>
  new ToolError('not_found', `There is no agent ${name}.`, { hint: 'Call list_agents, or register_agent.' });

const notYours = (name: AgentName) =>
  new ToolError('forbidden', `The agent ${name} belongs to another token.`, {
    hint: 'Act as an agent that you have registered.',
  });

const isTaken = (name: AgentName) =>
  new ToolError('conflict', `Another token has registered the name ${name}.`, {
    hint: 'Choose another name.',
  });

const hasLeftSome = (name: AgentName, cause: ToolError) =>
  new ToolError('unavailable', `${name} has left, but not all that it had is let go of yet.`, {
    hint: 'The hub goes on with that by itself; unregister_agent again says when it is done.',
    retryAfterMs: cause.retryAfterMs ?? 1_000,
    cause,
  });

/** @throws ToolError not_found, or forbidden when another token has registered it. */
export function ownAgent(directory: Directory, name: AgentName, caller: string, nowMs: number): Agent {
  const agent = directory.agent(name, nowMs);
  if (!agent) throw noSuch(name);
  if (agent.owner !== caller) throw notYours(name);
  return agent;
}

export function openAgents({ engine, directory, now }: Mesh) {
  const seen = new Map<AgentName, number>();
  /** What the engine has not been told yet. */
  const unsaid = new Map<AgentName, number>();
  /** Ids of the connections of each agent to this hub. */
  const connections = new Map<AgentName, Set<string>>();

  /** Who is gone and was not looked after yet: what fails is done in a later round. */
  const unattended = new Map<AgentName, Gone>();
  /** Names that were unregistered, each by a token, while what they leave behind is not let go of yet. */
  const leaving = new Map<AgentName, string>();

  /** Who changes whom: a name is registered after the one who had it has left whole. */
  const changing = new Map<AgentName, Promise<unknown>>();

  async function alone<Value>(name: AgentName, work: () => Promise<Value>): Promise<Value> {
    const mine = (changing.get(name) ?? Promise.resolve()).then(work, work);
    changing.set(name, mine);
    try {
      return await mine;
    } finally {
      if (changing.get(name) === mine) changing.delete(name);
    }
  }

  /** Lets go of what one of that name has left behind. Whoever has taken the name meanwhile keeps what it has. */
  async function vacate(name: AgentName, nowMs: number) {
    const subscriptions = directory.subscriptionsOf(name, nowMs).map(({ key }) => key);
    return engine.vacate(name, subscriptions, 'its agent has left', nowMs);
  }

  /** @throws ToolError conflict, or unavailable while much comes for one of that name who has left. */
  async function put(name: AgentName, value: AgentValue, caller: string, nowMs: number) {
    for (let tries = 0; tries < mostTries; tries += 1) {
      const before = directory.agent(name, nowMs);
      // When it leaves meanwhile, what it has left is not gone yet.
      if (before && before.owner !== caller) throw isTaken(name);
      if (!before) await vacate(name, nowMs); // oxlint-disable-line no-await-in-loop -- once, nearly always
      // oxlint-disable-next-line no-await-in-loop
      const { done, entry } = await engine.put({
        kind: 'agent',
        key: name,
        owner: caller,
        value: agentValue.parse(value),
        changedAtMs: nowMs,
        expiresAtMs: undefined,
      });
      if (done) return { isNew: before === undefined, version: entry.version };
      if (entry.version > 0) throw isTaken(name);
      await engine.current(); // oxlint-disable-line no-await-in-loop
    }
    throw new ToolError('unavailable', `Much still comes for the ${name} who has left.`, {
      hint: 'Register it again in a moment.',
      retryAfterMs: 1_000,
    });
  }

  async function letGo(name: AgentName, nowMs: number) {
    const handedOver = await handOver({ engine, directory, now }, { agent: name, hasLeft: true });
    const { dead, released } = await vacate(name, nowMs);
    leaving.delete(name);
    return { dead_letters: dead, handed_over: handedOver, released };
  }

  function touch(name: AgentName, nowMs: number): void {
    if ((seen.get(name) ?? 0) >= nowMs) return;
    seen.set(name, nowMs);
    unsaid.set(name, nowMs);
    if (directory.isGone(name)) directory.setGone(name, false);
  }

  /** The agent as which a call acts. Whatever an agent does is a heartbeat. @throws as `ownAgent` does. */
  async function acting(name: AgentName, caller: string, nowMs = now()): Promise<Agent> {
    // Another hub of the mesh may have registered it just now.
    if (!directory.agent(name, nowMs)) await engine.current();
    const agent = ownAgent(directory, name, caller, nowMs);
    touch(name, nowMs);
    return agent;
  }

  function connect(agent: AgentName): { readonly id: string } & Disposable {
    const id = `conn_${randomBytes(9).toString('base64url')}`;
    const own = connections.get(agent) ?? new Set<string>();
    connections.set(agent, own);
    // Clients of MCP do not say when they go: the oldest makes room.
    const [oldest] = own;
    if (oldest !== undefined && own.size >= mostConnections) own.delete(oldest);
    own.add(id);
    return { id, [Symbol.dispose]: () => void own.delete(id) };
  }

  return {
    acting,
    touch,
    connect,

    /**
     * Registers an agent, or changes its own entry. Its mailbox is kept from before.
     *
     * @throws ToolError conflict when another token has the name; too_large when the token has too many.
     */
    async register(name: AgentName, value: AgentValue, caller: string, nowMs: number) {
      if (name === hubName)
        throw new ToolError('conflict', `${hubName} is the name of the hub itself.`, {
          hint: 'Choose another one.',
        });
      if (name.startsWith(guestPrefix) && name !== guestOf(caller))
        throw new ToolError(
          'conflict',
          `Names that begin with ${guestPrefix} are for those who come by A2A.`,
          {
            hint: 'Choose another one.',
          },
        );
      return alone(name, async () => {
        await engine.current();
        if (!directory.agent(name, nowMs)) {
          const own = directory.agents(nowMs).filter(({ owner }) => owner === caller).length;
          if (own >= mostAgentsPerToken)
            throw new ToolError('too_large', `Your token has ${mostAgentsPerToken} agents already.`, {
              hint: 'Unregister some with unregister_agent.',
            });
        }
        const registered = await put(name, value, caller, nowMs);
        leaving.delete(name);
        touch(name, nowMs);
        await engine.seen(new Map([[name, nowMs]]));
        return registered;
      });
    },

    /** What waits for it becomes dead letters; its subscriptions and reservations go. */
    async unregister(name: AgentName, caller: string, nowMs: number) {
      return alone(name, async () => {
        await engine.current();
        // It may have left in a call before that failed then.
        if (directory.agent(name, nowMs) || leaving.get(name) !== caller) {
          ownAgent(directory, name, caller, nowMs);
          leaving.set(name, caller);
          await engine.remove('agent', name, caller);
          connections.delete(name);
          seen.delete(name);
          unsaid.delete(name);
        }
        try {
          return await letGo(name, nowMs);
        } catch (error) {
          throw error instanceof ToolError && error.code === 'unavailable' ? hasLeftSome(name, error) : error;
        }
      });
    },

    leaving: (): readonly AgentName[] => [...leaving.keys()],

    /** Lets go of what an agent has left behind whose call to leave has failed. */
    async finishLeaving(name: AgentName, nowMs: number): Promise<void> {
      await alone(name, async () => {
        await engine.current();
        // Where it is still there, its caller was told that it could not leave.
        if (directory.agent(name, nowMs)) leaving.delete(name);
        else if (leaving.has(name)) await letGo(name, nowMs);
      });
    },

    presence(agent: Agent): Presence {
      return {
        agent,
        state: directory.isGone(agent.key) ? 'gone' : 'here',
        seenMs: seen.get(agent.key) ?? agent.changedAtMs,
        connections: connections.get(agent.key)?.size ?? 0,
      };
    },

    /** Brings the engine up to date, and this hub with what other hubs have heard. */
    async share(): Promise<void> {
      const said = new Map(unsaid);
      unsaid.clear();
      try {
        if (said.size > 0) await engine.seen(said);
      } catch (error) {
        for (const [name, atMs] of said) if (!unsaid.has(name)) unsaid.set(name, atMs);
        throw error;
      }
      const heard = await engine.lastSeen();
      const nowMs = now();
      // Those who have left, at whatever hub.
      for (const known of [seen, connections])
        for (const name of known.keys()) if (!directory.agent(name, nowMs)) known.delete(name);
      for (const [name, heardMs] of heard) {
        if (!directory.agent(name, nowMs)) continue;
        // A clock of another hub that is ahead keeps nobody here for longer.
        const atMs = Math.min(heardMs, nowMs);
        if (atMs > (seen.get(name) ?? 0)) seen.set(name, atMs);
      }
    },

    /** Those of whom nobody has heard for longer than they said, and who were not looked after since. They count as gone at once. */
    gone(nowMs: number): readonly Gone[] {
      for (const agent of directory.agents(nowMs)) {
        // Another hub may have registered it just now, and not have said yet that it was heard of.
        const seenMs = Math.max(seen.get(agent.key) ?? 0, Math.min(agent.changedAtMs, nowMs));
        // A clock that was set back makes nobody gone.
        const isGone = nowMs - seenMs > agent.value.timeout_seconds * 1_000;
        if (isGone === directory.isGone(agent.key)) continue;
        directory.setGone(agent.key, isGone);
        if (!isGone) continue;
        connections.delete(agent.key);
        unattended.set(agent.key, { agent, seenMs, returned: 0, dead: [] });
      }
      // It may have come back, or left, meanwhile.
      for (const name of unattended.keys()) if (!directory.isGone(name)) unattended.delete(name);
      return [...unattended.values()];
    },

    /** Its work went back, and all that it held is free. */
    attended: ({ agent }: Gone): void => void unattended.delete(agent.key),

    connections: () => [...connections.values()].reduce((sum, { size }) => sum + size, 0),
  };
}
