/** Who stands behind the gateway: the services of the fleet, the servers of others, and whose each name is. */
import { performance } from 'node:perf_hooks';

import type { Assertions } from '#runtime/access/assertions.ts';
import { allowedEffect, type Scope } from '#runtime/access/scope.ts';
import type { Opening } from '#runtime/service.ts';
import { effects, type Effect } from '#runtime/tool.ts';

import type { Mounts, MountsParts } from './foreign/mounts.ts';
import type { ForeignBehind } from './foreign/server.ts';
import type { ListName } from './foreign/client.ts';
import type { Offering } from './foreign/offer.ts';
import { Routes } from './routes.ts';
import { runProgramName } from './run-program.ts';
import { callToolName, findTools } from './search.ts';
import { schemeOf } from './surface.ts';
import { Upstream, type Hearing, type UpstreamOptions } from './upstream.ts';

/** Of the gateway itself: nobody else has these names. */
export const ownTools = [findTools.name, callToolName, runProgramName];
/** At the start, lists wait so long for services that were not seen yet. */
const firstSightMs = 3_000;

/** Those in which it says of each whether it can be called; all where it is not known whose. */
function listsOf(offering: Offering | undefined): readonly ListName[] {
  if (!offering) return ['tools', 'resources', 'prompts'];
  const { tools, resources, resourceTemplates, prompts } = offering;
  return [
    ...(tools.length > 0 ? (['tools'] as const) : []),
    ...(resources.length + resourceTemplates.length > 0 ? (['resources'] as const) : []),
    ...(prompts.length > 0 ? (['prompts'] as const) : []),
  ];
}

export class Standing implements AsyncDisposable {
  readonly upstreams: readonly Upstream[];
  readonly #startedAtMs = performance.now();
  readonly #mounts: Mounts | undefined;
  #routes: Routes<Upstream | ForeignBehind> | undefined;
  /** Counts what changed: lists of an older one are not shown any more. */
  #generation = 0;
  /** How far each scope reaches: asked for each message, and a token's scope stays the same object. */
  #reaches = new WeakMap<Scope, { readonly effect: Effect | undefined }>();

  constructor(
    options: readonly UpstreamOptions[],
    {
      hearing: told,
      ...rest
    }: Pick<Opening<unknown>, 'log' | 'now'> & { readonly assertions: Assertions; readonly hearing: Hearing },
    mount?: (fleet: MountsParts['fleet']) => Mounts,
  ) {
    const changed = (lists: readonly ListName[]) => {
      this.#routes = undefined;
      this.#reaches = new WeakMap();
      this.#generation += 1;
      told.changed(lists);
    };
    const hearing = {
      ...told,
      changed: (lists: readonly ListName[]) => {
        // The fleet's names come first.
        this.#mounts?.arrange();
        changed(lists);
      },
    };
    this.upstreams = options.map((one) => new Upstream(one, { ...rest, hearing }));
    this.#mounts = mount?.(() => this.#fleetNames());
    this.#mounts?.onChange((event, server) => {
      if (event.kind === 'resource') told.resourceUpdated(event.uri);
      else changed(event.kind === 'list' ? [event.list] : listsOf(server?.surface));
    });
  }

  /** The services, and the servers of others after them. */
  get all(): readonly (Upstream | ForeignBehind)[] {
    return [...this.upstreams, ...(this.#mounts?.servers ?? []).map(({ behind }) => behind)];
  }

  get routes(): Routes<Upstream | ForeignBehind> {
    return (this.#routes ??= new Routes(this.all));
  }

  #fleetNames() {
    const surfaces = this.upstreams.flatMap(({ name, surface }) => (surface ? [{ name, surface }] : []));
    const documents = surfaces.flatMap(({ surface }) => [
      ...surface.resources.map(({ uri }) => uri),
      ...surface.resourceTemplates.map(({ uriTemplate }) => uriTemplate),
    ]);
    return {
      tools: new Map([
        ...ownTools.map((name) => [name, 'gateway'] as const),
        ...surfaces.flatMap(({ name, surface }) =>
          surface.tools.destroy.map((tool) => [tool.name, name] as const),
        ),
      ]),
      prompts: new Map(
        surfaces.flatMap(({ name, surface }) =>
          surface.prompts.map((prompt) => [prompt.name, name] as const),
        ),
      ),
      schemes: new Set(documents.flatMap((uri) => schemeOf(uri) ?? [])),
    };
  }

  /** Of the servers of others, for `/health`. */
  foreign(): object {
    return this.#mounts?.describe() ?? { servers: [] };
  }

  readiness() {
    const troubles = this.upstreams.flatMap(({ name, trouble }) =>
      trouble === undefined ? [] : [`${name}: ${trouble}`],
    );
    const { servers = [], problem } = this.#mounts ?? {};
    const warnings = [
      ...troubles,
      ...(problem === undefined ? [] : [problem]),
      ...servers.flatMap(({ name, state }) => (state.status === 'down' ? [`${name}: ${state.reason}`] : [])),
      ...servers.flatMap(({ name, held }) =>
        held.length === 0 ? [] : [`${name}: ${held.length} definitions are held back`],
      ),
      ...this.routes.clashes.map((clash) => `two tools of one name: ${clash}`),
    ];
    // With one of them it does its job; with none there is none to do.
    const isReady = troubles.length < this.upstreams.length;
    return isReady ? { ready: true, reasons: [], warnings } : { ready: false, reasons: troubles };
  }

  states(): readonly object[] {
    return this.upstreams.map(({ name, trouble, surface }) => ({
      name,
      status: trouble === undefined ? 'up' : 'down',
      ...(trouble !== undefined && { reason: trouble }),
      tools: surface?.tools.destroy.length ?? 0,
    }));
  }

  /** All who are expected have been seen, or are known not to be there. */
  async seen(): Promise<void> {
    const unseen = this.unseen();
    const leftMs = this.#startedAtMs + firstSightMs - performance.now();
    if (unseen.length === 0 || leftMs <= 0) return;
    const late = new Promise((resolve) => void setTimeout(resolve, leftMs).unref());
    await Promise.race([Promise.all(unseen.map(async (upstream) => upstream.isUp())), late]);
  }

  /** Services that may still come up, of which nothing is known yet. */
  unseen(): readonly Upstream[] {
    return this.upstreams.filter(({ surface, trouble }) => !surface && trouble === undefined);
  }

  allowed(scope: Scope): Effect | undefined {
    let reach = this.#reaches.get(scope);
    if (!reach) {
      const allowed = this.all.map(({ name }) => allowedEffect(scope, name));
      reach = { effect: effects.findLast((effect) => allowed.includes(effect)) };
      this.#reaches.set(scope, reach);
    }
    return reach.effect;
  }

  listKey(scope: Scope): string {
    const each = this.all.map(
      ({ name, trouble, surface }) => `${allowedEffect(scope, name)} ${surface ? '' : '?'}${trouble ?? ''}`,
    );
    return `${this.#generation} ${each.join(',')}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      ...this.upstreams.map(async (upstream) => upstream[Symbol.asyncDispose]()),
      this.#mounts?.[Symbol.asyncDispose](),
    ]);
  }
}
