/** The service with some settings, without the wire around it. */
import type { Log } from '#runtime/account/log.ts';
import { parseServiceSettings } from '#runtime/process/settings.ts';
import type { Opening } from '#runtime/service.ts';
import { toolsOf } from '#runtime/service.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import service from './service.ts';
import type { Supabase } from './supabase.ts';

type Arguments = Readonly<Record<string, unknown>>;

interface Opened extends AsyncDisposable {
  readonly deps: Supabase;
  /** Names of the tools that are offered, sorted. */
  readonly names: readonly string[];
  /** What the service logged. */
  readonly logged: unknown[];
  // oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is looked at field by field
  call(name: string, args?: Arguments, overrides?: Partial<Call>): Promise<any>;
  /** The code and all the words of a call that has to fail. */
  refusal(name: string, args?: Arguments): Promise<{ readonly code: string; readonly words: string }>;
}

export async function opened(environment: Readonly<Record<string, string>>): Promise<Opened> {
  const settings = parseServiceSettings(service.name, service.settings, environment);
  const logged: unknown[] = [];
  const log = Object.fromEntries(
    ['debug', 'info', 'warn', 'error'].map((level) => [level, (...said: unknown[]) => logged.push(said)]),
  ) as unknown as Log;
  const deps = (await service.open({ settings, log } as Opening<typeof settings>)) as Supabase;
  const tools = [...toolsOf(service, settings), ...((await service.mounts?.(settings)) ?? [])];
  const call: Opened['call'] = async (name, args = {}, overrides = {}) => {
    const tool = tools.find((one) => one.name === name);
    if (!tool) throw new Error(`${name} is not offered`);
    return invoke(tool, args, deps, overrides);
  };
  return {
    deps,
    logged,
    call,
    names: tools.map(({ name }) => name).toSorted(),
    async refusal(name, args) {
      try {
        return { code: 'ok', words: JSON.stringify(await call(name, args)) };
      } catch (error) {
        const { code = 'internal', message, hint } = error as Error & { code?: string; hint?: string };
        return { code, words: `${message} ${hint ?? ''}` };
      }
    },
    [Symbol.asyncDispose]: async () => deps[Symbol.asyncDispose](),
  };
}
