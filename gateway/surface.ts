/** What stands behind the gateway, as the protocol lists it. */
import type { Choosable } from '#runtime/access/choice.ts';
import { effects, type Effect } from '#runtime/tool.ts';

/** As the protocol lists it, with whatever else it says. */
export interface Listed {
  readonly name: string;
  readonly description?: string;
  readonly [key: string]: unknown;
}

export interface ListedTool extends Listed {
  readonly inputSchema: { readonly type: 'object'; readonly [key: string]: unknown };
}

/** How to use a service well: its address, and whatever else is said of it. */
export interface ListedSkill {
  readonly uri: string;
  readonly [key: string]: unknown;
}

export interface Surface {
  readonly instructions: string;
  /** The tools of those who may go so far. */
  readonly tools: Readonly<Record<Effect, readonly ListedTool[]>>;
  /** Names of those that most conversations need. */
  readonly core: readonly string[];
  readonly resources: readonly Listed[];
  readonly resourceTemplates: readonly Listed[];
  readonly prompts: readonly Listed[];
  readonly skills: readonly ListedSkill[];
  /** Extensions of the protocol that it speaks. */
  readonly extensions: Readonly<Record<string, unknown>>;
}

/** Whatever stands behind the gateway, and what of it can be seen now. */
export interface Behind {
  readonly name: string;
  readonly description: string;
  /** As last seen; `undefined` when it was never seen. */
  readonly surface: Surface | undefined;
  /** Why it cannot be called; `undefined` also while it is being started again. */
  readonly trouble: string | undefined;
  /** Whether a document is its own, where that does not go by schemes: those are of the fleet alone. */
  offers?(uri: string): boolean;
}

/** The first effect whose list has the tool: what calling it takes. */
export function effectOf(surface: Surface, name: string): Effect | undefined {
  return effects.find((effect) => surface.tools[effect].some((tool) => tool.name === name));
}

const fleetNameKey = 'dev.flotilla/fleetName';

/** A tool under the name that is its own in the whole fleet. */
export function underFleetName(tool: ListedTool): ListedTool {
  const { _meta: meta, ...rest } = tool;
  const name = (meta as Readonly<Record<string, unknown>> | undefined)?.[fleetNameKey];
  return typeof name === 'string' ? { ...rest, name } : tool;
}

/** `scheme` of `scheme://…`: each service has its own. Skills have one scheme, and say behind it whose they are. */
export function schemeOf(uri: unknown): string | undefined {
  return typeof uri === 'string'
    ? /^skill:\/\/[^/]+|^[a-z][a-z0-9+.-]*(?=:)/i.exec(uri)?.[0].toLowerCase()
    : undefined;
}

/** A tool as a choice of tools names it. */
export function choosable({ name: service, surface }: Behind, name: string): Choosable {
  return { service, names: [name], isCore: surface?.core.includes(name) ?? false };
}
