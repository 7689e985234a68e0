/** The strategies that tokens have set, as documents of the engine: all hubs of a mesh know them. */
import { ToolError } from '#runtime/errors.ts';

import type { Engine } from '../engine/engine.ts';
import { stepsSchema, type Scope, type Strategy } from './strategies.ts';

/** So few that all of a token are looked at for each failure. */
export const mostStrategies = 100;

export type StrategyEngine = Pick<Engine, 'put' | 'remove' | 'list'>;

/** A token's strategies stand one after the other. No name holds a slash. */
const prefixOf = (owner: string) => `${owner}/`;
const keyOf = (owner: string, { agent, capability, category }: Scope) =>
  prefixOf(owner) + [agent, capability, category].join('/');

export function openStrategies(engine: StrategyEngine) {
  async function of(owner: string, nowMs: number): Promise<(Strategy & { readonly key: string })[]> {
    const entries = await engine.list('strategy', prefixOf(owner), mostStrategies, nowMs);
    return entries
      .filter((entry) => entry.key.startsWith(prefixOf(owner)))
      .map(({ key, value }) => ({ ...(value as Strategy), key }));
  }

  return {
    of,

    /** Replaces what was set for the same; no steps take it away. @returns whether there was one. @throws ToolError too_large. */
    async set(owner: string, scope: Scope, steps: Strategy['steps'], nowMs: number): Promise<boolean> {
      const key = keyOf(owner, scope);
      if (steps.length === 0) return engine.remove('strategy', key, owner);
      const kept = await of(owner, nowMs);
      const isThere = kept.some((one) => one.key === key);
      if (!isThere && kept.length >= mostStrategies) {
        throw new ToolError('too_large', `There are ${mostStrategies} strategies, and no more may be kept.`, {
          hint: 'Take one away: call set_recovery_strategy for it with steps: [].',
        });
      }
      await engine.put({
        kind: 'strategy',
        key,
        owner,
        value: { ...scope, steps: stepsSchema.parse(steps) },
        changedAtMs: nowMs,
        expiresAtMs: undefined,
      });
      return isThere;
    },
  };
}
