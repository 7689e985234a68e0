/** Who answers for a name: names of tools and prompts, and schemes of documents, are each one's own in the fleet. */
import { effects, type Effect } from '#runtime/tool.ts';

import { effectOf, schemeOf, type Behind } from './surface.ts';

/** Who answers, and what calling it takes. */
export interface Route<B extends Behind> {
  readonly behind: B;
  readonly effect: Effect;
}

const taskMethods: ReadonlySet<string> = new Set(['tasks/get', 'tasks/update', 'tasks/cancel']);

export class Routes<B extends Behind> {
  readonly #tools = new Map<string, Route<B>>();
  readonly #prompts = new Map<string, Route<B>>();
  readonly #schemes = new Map<string, Route<B>>();
  readonly #services = new Map<string, Route<B>>();
  readonly #others: readonly Route<B>[];
  /** Names that two of them have: the first in the order of the catalogue answers. */
  readonly clashes: readonly string[];

  constructor(all: readonly B[]) {
    const clashes: string[] = [];
    const add = (map: Map<string, Route<B>>, name: string | undefined, route: Route<B>) => {
      if (name === undefined) return;
      const taken = map.get(name);
      if (!taken) map.set(name, route);
      else if (taken.behind !== route.behind)
        clashes.push(`${name}: ${taken.behind.name}, ${route.behind.name}`);
    };
    for (const behind of all) {
      const { surface } = behind;
      if (!surface) continue;
      const read = { behind, effect: effects[0] };
      this.#services.set(behind.name, read);
      for (const { name } of surface.tools.destroy)
        add(this.#tools, name, { behind, effect: effectOf(surface, name) ?? 'destroy' });
      for (const { name } of surface.prompts) add(this.#prompts, name, read);
      if (behind.offers) continue;
      for (const { uri } of surface.resources) add(this.#schemes, schemeOf(uri), read);
      for (const { uriTemplate } of surface.resourceTemplates)
        add(this.#schemes, schemeOf(uriTemplate), read);
    }
    this.clashes = clashes;
    this.#others = all.flatMap((behind) => (behind.offers ? [{ behind, effect: effects[0] }] : []));
  }

  tool(name: string): Route<B> | undefined {
    return this.#tools.get(name);
  }

  prompt(name: string): Route<B> | undefined {
    return this.#prompts.get(name);
  }

  /** Of a document, or of a template of documents. */
  document(uri: string): Route<B> | undefined {
    return this.#schemes.get(schemeOf(uri) ?? '') ?? this.#others.find(({ behind }) => behind.offers?.(uri));
  }

  /** Who answers a request of the protocol, by its method and parameters; `undefined` for methods that are nobody's own. */
  of(method: string, params: Readonly<Record<string, unknown>>): Route<B> | undefined {
    const { name, uri, ref } = params;
    if (method === 'tools/call' && typeof name === 'string') return this.tool(name);
    if (method === 'prompts/get' && typeof name === 'string') return this.prompt(name);
    if (method === 'resources/read' && typeof uri === 'string') return this.document(uri);
    if (taskMethods.has(method)) return this.#services.get(serviceOf(params['taskId']));
    if (method !== 'completion/complete' || typeof ref !== 'object' || ref === null) return undefined;
    const named = ref as { readonly name?: unknown; readonly uri?: unknown };
    if (typeof named.name === 'string') return this.prompt(named.name);
    return typeof named.uri === 'string' ? this.document(named.uri) : undefined;
  }
}

/** A task's id begins with the service that runs it. */
function serviceOf(taskId: unknown): string {
  return typeof taskId === 'string' ? taskId.slice(0, taskId.lastIndexOf('.')) : '';
}
