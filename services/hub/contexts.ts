/** What agents share by name: texts or values with a version, that some, all or nobody else may read. */
import { ToolError } from '#runtime/errors.ts';
import { overQuota } from '#runtime/quotas.ts';
import { z } from 'zod';

import type { Agents } from './agents.ts';
import type { Entry } from './engine/engine.ts';
import { mostContextBytes } from './limits.ts';
import type { AgentName } from './message.ts';
import type { Mesh } from './mesh.ts';
import { jsonText } from './packing.ts';

/** private: its owner's agents. restricted: those that are named too. confidential: the same, and never shown in a list but to its owner. */
export const accesses = ['public', 'restricted', 'confidential', 'private'] as const;

const contextValue = z.object({
  agent: z.string(),
  access: z.enum(accesses),
  readers: z.array(z.string()),
  /** The tokens that had these readers when it was shared: whoever takes such a name later reads nothing. */
  tokens: z.array(z.string()),
  /** When its token began to share something under the key. */
  sinceMs: z.number(),
  value: z.unknown(),
});
type ContextValue = z.infer<typeof contextValue>;

export interface SharedContext extends ContextValue {
  readonly key: string;
  /** Where lists go on. */
  readonly place: string;
  readonly version: number;
  readonly changedAtMs: number;
  readonly expiresAtMs: number | undefined;
}

const pageOfKeys = 100;
const remedy = 'Call delete_shared_context, and let receivers catch up with what was sent to them.';

export type Contexts = ReturnType<typeof openContexts>;

/** Each token has keys of its own: that another one shares something, which the caller may not read, is not to be found out. No key has a NUL. */
const entryKey = (key: string, owner: string) => `${key}\0${owner}`;

const sharedOf = (entry: Entry): SharedContext => ({
  ...contextValue.parse(entry.value),
  key: entry.key.split('\0', 1)[0] ?? '',
  place: entry.key,
  version: entry.version,
  changedAtMs: entry.changedAtMs,
  expiresAtMs: entry.expiresAtMs,
});

export function openContexts({ engine, directory, now }: Mesh, agents: Agents) {
  function mayRead({ owner }: Entry, { access, readers, tokens }: ContextValue, caller: string): boolean {
    if (access === 'public' || owner === caller) return true;
    const isReader = readers.some((name) => directory.agent(name, now())?.owner === caller);
    return access !== 'private' && isReader && tokens.includes(caller);
  }

  /** @throws ToolError not_found. */
  function tokensOf(readers: readonly AgentName[]): string[] {
    const owners = readers.map((name) => {
      const agent = directory.agent(name, now());
      if (agent) return agent.owner;
      throw new ToolError('not_found', `There is no agent ${name} that could read it. Nothing was shared.`, {
        hint: 'Name agents of list_agents, or share it when they have registered.',
      });
    });
    return [...new Set(owners)];
  }

  /** What the caller reads under a key: its own, else that of the token which shares there longest. */
  async function visible(key: string, caller: string): Promise<SharedContext | undefined> {
    const own = await engine.get('context', entryKey(key, caller), now());
    if (own) return sharedOf(own);
    let first: SharedContext | undefined;
    for (let after = key, isEnd = false; !isEnd;) {
      const entries = await engine.list('context', after, pageOfKeys, now()); // oxlint-disable-line no-await-in-loop -- one page, nearly always
      const same = entries.filter((entry) => entry.key.startsWith(entryKey(key, '')));
      for (const entry of same) {
        const shared = sharedOf(entry);
        if (mayRead(entry, shared, caller) && !(first && first.sinceMs <= shared.sinceMs)) first = shared;
      }
      isEnd = same.length < pageOfKeys;
      after = entries.at(-1)?.key ?? after;
    }
    return first;
  }

  return {
    /** @param version what it must have now: 0 for a new one. @throws ToolError conflict, forbidden, not_found, too_large. */
    async share(
      {
        key,
        agent,
        access,
        readers,
        value,
      }: Omit<ContextValue, 'tokens' | 'sinceMs'> & { readonly key: string },
      options: { readonly ttlMs: number | undefined; readonly version: number | undefined },
      caller: string,
    ): Promise<SharedContext> {
      const nowMs = now();
      await agents.acting(agent, caller, nowMs);
      if (readers.length > 0) await engine.current();
      const tokens = tokensOf(readers);
      const { quota, holdings } = engine.kept();
      const held = holdings.find(({ owner }) => owner === caller);
      if (held && (held.bytes > quota.bytes || held.items > quota.items))
        throw overQuota(caller, held, quota, remedy);
      const sizeBytes = Buffer.byteLength(jsonText(value));
      if (sizeBytes > mostContextBytes)
        throw new ToolError(
          'too_large',
          `The value has ${sizeBytes} bytes of JSON; ${mostContextBytes} are allowed.`,
          {
            hint: 'Share where it is stored.',
          },
        );
      const before = await visible(key, caller);
      const isOwn = before?.place === entryKey(key, caller);
      if (before && !isOwn)
        throw new ToolError('forbidden', `${key} was shared by another token.`, {
          hint: 'Choose another key.',
        });
      const { done, entry } = await engine.put(
        {
          kind: 'context',
          key: entryKey(key, caller),
          owner: caller,
          value: { agent, access, readers, tokens, sinceMs: before?.sinceMs ?? nowMs, value },
          changedAtMs: nowMs,
          expiresAtMs: options.ttlMs === undefined ? undefined : nowMs + options.ttlMs,
        },
        options.version,
      );
      if (done) return sharedOf(entry);
      throw new ToolError(
        'conflict',
        entry.version === 0 ? `${key} is not shared.` : `${key} has version ${entry.version} now.`,
        { hint: 'Call get_shared_context, and share what follows from it.' },
      );
    },

    /** @throws ToolError not_found for what the caller may not read either. */
    async get(key: string, caller: string): Promise<SharedContext> {
      const shared = await visible(key, caller);
      if (shared) return shared;
      throw new ToolError('not_found', `Nothing that you may read is shared as ${key}.`, {
        hint: 'Call list_shared_context.',
      });
    },

    /** By key, after `after`. @returns where to go on too. */
    async list(after: string, most: number, caller: string) {
      const found: SharedContext[] = [];
      let key = after;
      for (let pages = 0; pages < 20; pages += 1) {
        const entries = await engine.list('context', key, pageOfKeys, now()); // oxlint-disable-line no-await-in-loop -- page after page
        for (const entry of entries) {
          if (found.length === most) return { found, next: key };
          key = entry.key;
          const value = contextValue.parse(entry.value);
          const isShown = value.access !== 'confidential' || entry.owner === caller;
          if (isShown && mayRead(entry, value, caller)) found.push(sharedOf(entry));
        }
        if (entries.length < pageOfKeys) return { found, next: undefined };
      }
      return { found, next: key };
    },

    remove: async (key: string, agent: AgentName, caller: string): Promise<boolean> => {
      await agents.acting(agent, caller, now());
      return engine.remove('context', entryKey(key, caller), caller);
    },
  };
}
