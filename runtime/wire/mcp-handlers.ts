/** What a service answers to each method of the protocol. */
import {
  CLIENT_CAPABILITIES_META_KEY,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  ResourceNotFoundError,
  type CallToolResult,
  type ClientCapabilities,
  type CompleteResult,
  type GetPromptResult,
  type ListToolsResult,
  type ReadResourceResult,
  type Server,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

import {
  callTool,
  perform,
  untrustedMeta,
  withinBoundary,
  type Account,
  type Exchange,
  type Failure,
  type Operation,
  type Wire,
} from '../account/calls.ts';
import { askedIn, isChosen, mayUse, namesNothing } from '../access/choice.ts';
import { metaOf } from '../account/meta.ts';
import { ToolError, type ErrorCode } from '../errors.ts';
import { offerSkill } from './mcp-skills.ts';
import { listsByEffect, listSurface, type Surface } from './mcp-surface.ts';
import {
  choosable,
  resourcesOf,
  RpcError,
  toolsByName,
  type AnyService,
  type Prompt,
  type Relay,
  type Resource,
} from '../service.ts';
import { defaultTimeoutMs, ProtocolResult, type AnyTool } from '../tool.ts';
import { tasksExtension, type Tasks } from './tasks.ts';
import { matchUri } from './uri-template.ts';

/** A service in operation. */
export interface Offer {
  readonly service: AnyService;
  readonly tools: readonly AnyTool<unknown>[];
  readonly deps: unknown;
  readonly account: Account;
  /** Where some tool can run long. */
  readonly tasks: Tasks | undefined;
  readonly relay: Relay | undefined;
}

type WireOf = (context: ServerContext) => Wire;

/** Our own record of the request, which authentication made; it travels with the SDK's. */
export function exchangeOf(context: ServerContext): Exchange {
  return context.http?.authInfo?.extra?.['exchange'] as Exchange;
}

/** What a server of the SDK needs from whoever built it. */
interface Built {
  readonly wireOf: WireOf;
  /** Opens what a question remembered. @throws when it is not ours, or too old. */
  readonly verify: (state: string, context: ServerContext) => Promise<unknown>;
  readonly isModern: boolean;
}

/** Registers everything that the service offers. Lists are converted here once, for the servers of all requests. */
export function createHandlers(offer: Offer): (server: Server, built: Built) => void {
  const { relay } = offer;
  if (relay) return (server, built) => offerRelayed(server, relay, built);
  const surface = listSurface(offer.service, offer.tools);
  const lists = listsByEffect(offer.tools, surface, offer.account.offeredNames);
  const choosables = new Map(offer.tools.map((tool) => [tool.name, choosable(offer.service, tool)]));
  const tools = toolsByName(offer.tools, offer.service);
  return (server, { wireOf, verify, isModern }) => {
    server.setRequestHandler('tools/list', ({ params }, context) => {
      refuseCursor(params);
      // Whose token allows nothing here has not come as far.
      const { caller, query } = exchangeOf(context);
      // Whose token allows nothing here has not come as far.
      const list = lists[offer.account.allowed(caller.scope) ?? 'read'];
      const asked = askedIn(query);
      if (!asked && !caller.tools) return list;
      if (asked && ![...choosables.values()].some((tool) => isChosen(asked, tool)))
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, namesNothing(asked));
      return {
        tools: list.tools.filter(({ name }) => {
          const tool = choosables.get(name);
          return tool && mayUse(caller, tool) && (!asked || isChosen(asked, tool));
        }),
      };
    });
    server.setRequestHandler('tools/call', async ({ params }, context) => {
      const tool = tools.get(params.name);
      if (!tool)
        return answer(offer, context, wireOf, {
          method: 'tools/call',
          target: null,
          run: () => unknown('Tool', params.name),
        });
      const exchange = exchangeOf(context);
      const run = async (wire: Wire) =>
        callTool(offer.account, exchange, wire, tool, params.arguments, offer.deps);
      const mayBeTask = tool.task && offersTasks(context);
      if (tool.task === 'required' && !mayBeTask) throw lacksTasks();
      const result = await (mayBeTask && offer.tasks
        ? offer.tasks.begin(exchange.caller.name, wireOf(context), {
            run,
            outcome: () => exchange.outcome,
            answered: async (inputResponses, state) => {
              const sealed = state === undefined ? undefined : await verify(state, context);
              const requestState = () => sealed;
              const mcpReq = { ...context.mcpReq, inputResponses, requestState };
              return wireOf({ ...context, mcpReq } as ServerContext).protocol;
            },
          })
        : run(wireOf(context)));
      return (result instanceof ProtocolResult ? result.result : result) as CallToolResult;
    });
    if (offer.tasks && isModern) offerTasks(server, offer, offer.tasks, wireOf);
    if (offer.service.skill && isModern) offerSkill(server, offer.service.skill);
    if (surface.resources.length + surface.resourceTemplates.length > 0)
      offerResources(server, offer, surface, wireOf);
    if (surface.prompts.length > 0) offerPrompts(server, offer, surface, wireOf);
  };
}

function offerRelayed(server: Server, { answers }: Relay, { wireOf, isModern }: Built): void {
  // What has come as far is of no task that anybody behind has.
  for (const method of isModern ? ['tasks/get', 'tasks/update', 'tasks/cancel'] : []) {
    server.setRequestHandler(method, { params: taskParams }, (_params, context) => {
      throw offersTasks(context) ? noSuchTask() : lacksTasks();
    });
  }
  for (const [method, answer] of Object.entries(answers)) {
    const handle = async (params: Readonly<Record<string, unknown>> | undefined, context: ServerContext) => {
      const wire = wireOf(context);
      const stop = new AbortController();
      const forget = wire.whenGone(() => stop.abort());
      try {
        const { signal } = stop;
        const asked = { exchange: exchangeOf(context), isModern, signal, progress: wire.progress };
        return (await answer(params ?? {}, asked)) as ListToolsResult;
      } catch (error) {
        throw error instanceof RpcError ? new ProtocolError(error.code, error.message, error.data) : error;
      } finally {
        forget();
      }
    };
    if (!method.startsWith('skills/'))
      server.setRequestHandler(method as 'tools/list', async ({ params }, context) =>
        handle(params, context),
      );
    // An extension, which no older revision has: its parameters are ours to look at.
    else if (isModern) server.setRequestHandler(method, { params: z.looseObject({}) }, handle);
  }
}

/** Whether the request says that its client takes a task for an answer; no older revision can say so. */
function offersTasks({ mcpReq: { envelope } }: ServerContext): boolean {
  const { [CLIENT_CAPABILITIES_META_KEY]: offered } = (envelope ?? {}) as Readonly<
    Record<string, ClientCapabilities | undefined>
  >;
  return offered?.extensions?.[tasksExtension] !== undefined;
}

function lacksTasks(): ProtocolError {
  const requiredCapabilities = { extensions: { [tasksExtension]: {} } };
  return new MissingRequiredClientCapabilityError({ requiredCapabilities });
}

function noSuchTask(): ProtocolError {
  return new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    'Task not found: tasks are kept for two hours, and only the token that began one may ask for it.',
  );
}

const taskParams = z.object({ taskId: z.string() });

/** The protocol's empty answer. */
function acknowledged(isKnown: boolean): Record<string, never> | undefined {
  return isKnown ? {} : undefined;
}

function offerTasks(server: Server, offer: Offer, tasks: Tasks, wireOf: WireOf): void {
  const answerOn = async <Result>(
    method: string,
    context: ServerContext,
    act: (owner: string) => Result | undefined,
  ) =>
    answer<Result>(offer, context, wireOf, {
      method,
      target: null,
      needsNoPlace: true,
      run: ({ caller }) => {
        if (!offersTasks(context)) throw lacksTasks();
        const result = act(caller);
        if (result !== undefined) return result;
        throw noSuchTask();
      },
    });
  server.setRequestHandler('tasks/get', { params: taskParams }, async ({ taskId }, context) =>
    answerOn('tasks/get', context, (owner) => tasks.find(taskId, owner)),
  );
  server.setRequestHandler('tasks/update', { params: taskParams }, async ({ taskId }, context) => {
    // The SDK takes the answers out of the parameters.
    const { inputResponses = {} } = context.mcpReq;
    return answerOn('tasks/update', context, (owner) =>
      acknowledged(tasks.update(taskId, owner, inputResponses)),
    );
  });
  server.setRequestHandler('tasks/cancel', { params: taskParams }, async ({ taskId }, context) =>
    answerOn('tasks/cancel', context, (owner) => acknowledged(tasks.cancel(taskId, owner))),
  );
}

function offerResources(server: Server, offer: Offer, surface: Surface, wireOf: WireOf): void {
  const resources = resourcesOf(offer.service);
  server.setRequestHandler('resources/list', ({ params }) => {
    refuseCursor(params);
    return { resources: surface.resources };
  });
  server.setRequestHandler('resources/templates/list', ({ params }) => {
    refuseCursor(params);
    return { resourceTemplates: surface.resourceTemplates };
  });
  server.setRequestHandler('resources/read', async ({ params: { uri } }, context) =>
    answer<ReadResourceResult>(offer, context, wireOf, {
      method: 'resources/read',
      target: resources.find((one) => matchUri(one.uri, uri))?.name ?? null,
      run: async (call) => {
        for (const resource of resources) {
          const variables = matchUri(resource.uri, uri);
          // oxlint-disable-next-line no-await-in-loop -- the next is asked only when this one has no such document
          const contents = variables && (await resource.read(variables, offer.deps, call));
          if (contents) return { contents: [documentOf(uri, resource, contents)] };
        }
        throw new ResourceNotFoundError(uri);
      },
    }),
  );
}

function documentOf(
  uri: string,
  { mimeType, untrusted }: Resource<unknown>,
  contents: NonNullable<Awaited<ReturnType<Resource<unknown>['read']>>>,
): ReadResourceResult['contents'][number] {
  const told =
    untrusted === 'bounded' && 'text' in contents ? { text: withinBoundary(contents.text) } : contents;
  return { uri, mimeType, ...told, ...(untrusted && { _meta: untrustedMeta }) };
}

/** The protocol allows no more in one answer. */
const mostCompletions = 100;

function offerPrompts(server: Server, offer: Offer, surface: Surface, wireOf: WireOf): void {
  const prompts: readonly Prompt<unknown>[] = offer.service.prompts ?? [];
  const named = (name: string) => prompts.find((prompt) => prompt.name === name);
  server.setRequestHandler('prompts/list', ({ params }) => {
    refuseCursor(params);
    return { prompts: surface.prompts };
  });
  server.setRequestHandler('prompts/get', async ({ params }, context) => {
    const prompt = named(params.name);
    return answer<GetPromptResult>(offer, context, wireOf, {
      method: 'prompts/get',
      target: prompt?.name ?? null,
      run: async (call) => {
        if (!prompt) return unknown('Prompt', params.name);
        const given = promptArguments(prompt, params.arguments ?? {});
        const messages = await prompt.messages(given, offer.deps, call);
        if (messages instanceof ProtocolResult) return messages.result as GetPromptResult;
        return { description: prompt.description, messages } as unknown as GetPromptResult;
      },
    });
  });
  server.setRequestHandler('completion/complete', async ({ params: { ref, argument } }, context) =>
    answer<CompleteResult>(offer, context, wireOf, {
      method: 'completion/complete',
      target: null,
      run: (call) => {
        const prompt =
          ref.type === 'ref/prompt' ? (named(ref.name) ?? unknown('Prompt', ref.name)) : undefined;
        const all = prompt?.arguments[argument.name]?.complete?.(argument.value, offer.deps, call) ?? [];
        const values = all.slice(0, mostCompletions);
        return { completion: { values, total: all.length, hasMore: all.length > values.length } };
      },
    }),
  );
}

/** The lists come whole: there is no cursor that one of them gave. */
function refuseCursor(params: { readonly cursor?: string | undefined } | undefined): void {
  if (params?.cursor === undefined) return;
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    'There is no such cursor: the list comes whole. Leave cursor out.',
  );
}

/** Runs an operation whose failure is an error of the protocol, not a result. */
async function answer<Result>(
  { account }: Offer,
  context: ServerContext,
  wireOf: WireOf,
  operation: Pick<Operation<Result>, 'method' | 'target' | 'run' | 'needsNoPlace'>,
): Promise<Result> {
  let inOwnWords: ProtocolError | undefined;
  const result = await perform<Result | ProtocolError>(account, exchangeOf(context), wireOf(context), {
    ...operation,
    effect: 'read',
    timeoutMs: defaultTimeoutMs,
    run: async (call) => {
      try {
        return await operation.run(call);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        // Accounted for under our codes, answered as the protocol says it.
        inOwnWords = error;
        const code = error instanceof ResourceNotFoundError ? 'not_found' : 'invalid_input';
        throw new ToolError(code, error.message, { cause: error });
      }
    },
    fail: (failure) => inOwnWords ?? protocolFailure(failure),
    sizeBytes: () => 0,
  });
  if (result instanceof ProtocolError) throw result;
  return result;
}

const rpcCodes: { readonly [Code in ErrorCode]?: ProtocolErrorCode } = {
  invalid_input: ProtocolErrorCode.InvalidParams,
  not_found: ProtocolErrorCode.InvalidParams,
  forbidden: ProtocolErrorCode.InvalidRequest,
};

function protocolFailure({ code, message, hint }: Failure): ProtocolError {
  const data = metaOf({ error: { code, message, hint } });
  return new ProtocolError(rpcCodes[code] ?? ProtocolErrorCode.InternalError, message, data);
}

const longestEcho = 100;

/** An answer must not grow with a name that is the caller's. */
function unknown(kind: string, name: string): never {
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `${kind} ${name.slice(0, longestEcho)} not found`);
}

function promptArguments(
  prompt: Prompt<unknown>,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const missing = Object.entries(prompt.arguments).filter(
    ([name, { required }]) => required && given[name] === undefined,
  );
  const excess = Object.keys(given).filter((name) => !Object.hasOwn(prompt.arguments, name));
  const complaints = [
    ...missing.map(([name]) => `${name} is missing`),
    ...excess.map((name) => `${name.slice(0, longestEcho)} is unknown`),
  ];
  if (complaints.length > 0) {
    const message = `Invalid arguments for ${prompt.name}: ${complaints.slice(0, 5).join('; ')}`;
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, message);
  }
  return given;
}
