/** Calls of the gateway's own tools: those that find and call others, those of programs, and those of REST. */
import { askedIn, waysIn, type Choice } from '#runtime/access/choice.ts';
import { allowedEffect, covers } from '#runtime/access/scope.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { inputSchemaOf } from '#runtime/account/execute.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Asked } from '#runtime/service.ts';
import type { AnyTool, Call } from '#runtime/tool.ts';

import { recordAnswer, unsaid, type Admission } from './admission.ts';
import { modelIn } from './eyes.ts';
import { Finding } from './finding.ts';
import { failedResult, failureOf, type Watched } from './hand-on.ts';
import { answered, type Answer } from './own-tool.ts';
import { forbidden, type Refusal } from './refusals.ts';
import type { Operation } from './rest/operation.ts';
import { ownTools as restTools, type OwnParts } from './rest/own-tools.ts';
import type { InputShape } from './rest/reading.ts';
import type { SchemaRegistry } from './rest/schema-registry.ts';
import {
  codeTools,
  mayRun,
  noPython,
  programLane,
  pythonName,
  runProgram,
  type Around,
} from './run-program.ts';
import { calledTool, callToolName, findTools, searchTools, type Purpose } from './search.ts';
import { functionName } from './signature.ts';
import type { Standing } from './standing.ts';
import type { ListedTool } from './surface.ts';

type Params = Readonly<Record<string, unknown>>;
type Result = Record<string, unknown>;

interface OwnCallsParts {
  readonly standing: Standing;
  readonly admission: Admission;
  readonly schemas: SchemaRegistry;
  /** Answers a call of any tool, by the rules for all calls. */
  readonly callAny: (account: Watched, params: Params, asked: Asked) => Promise<Result>;
}

/** Those that are found and called like the tools of others. */
const foundTools: ReadonlyMap<string, AnyTool<never>> = new Map(
  [findTools, runProgram].map((tool): [string, AnyTool<never>] => [tool.name, tool as AnyTool<never>]),
);

export class OwnCalls {
  readonly #parts: OwnCallsParts;
  readonly #finding = new Finding();
  readonly #programs = programLane();

  constructor(parts: OwnCallsParts) {
    this.#parts = parts;
  }

  /** What is listed is not as it was. */
  listsChanged(): void {
    this.#finding.forget();
  }

  /** @returns `undefined` where the call is none of a tool of ours. */
  answer(account: Watched, params: Params, asked: Asked): Promise<Result> | undefined {
    const { name, arguments: args } = params;
    if (name === findTools.name) return this.#find(account, args, asked);
    if (name === callToolName) return this.#callFound(account, params, asked);
    if (name === runProgram.name) return this.#run(account, params, asked);
    return undefined;
  }

  /** The few tools that find all others, for clients that ask for so short a list. */
  shortList(choice: Choice, caller: Caller): readonly ListedTool[] {
    const ways = waysIn(choice);
    if (ways.length === 0) return [];
    const purposes = this.#purposes(caller);
    if (!ways.includes('code') || !mayRun(caller)) return searchTools(purposes);
    const python = this.#python();
    return codeTools(purposes, python ? python.trouble : noPython);
  }

  async schemaForRest({ service }: Operation, name: string): Promise<InputShape | undefined> {
    const { standing } = this.#parts;
    const own = service === 'gateway' ? restTools.get(name) : service === '*' && foundTools.get(name);
    if (own) return inputSchemaOf(own);
    if (!standing.routes.tool(name)) await standing.seen();
    const route = standing.routes.tool(name);
    if (!route || (service !== '*' && route.behind.name !== service)) return undefined;
    return route.behind.surface?.tools.destroy.find((tool) => tool.name === name)?.inputSchema;
  }

  async answerForRest(account: Watched, name: string, args: Params, asked: Asked): Promise<Result> {
    const { standing, schemas } = this.#parts;
    const tool = restTools.get(name);
    if (!tool) throw new TypeError(`There is no tool ${name} for REST.`);
    const { caller } = asked.exchange;
    const reach = { behind: { name: 'gateway' }, effect: tool.effect };
    const refused = covers(standing.allowed(caller.scope), tool.effect)
      ? this.#parts.admission.refusalNow(account, caller)
      : forbidden(caller.name, reach, { target: name, method: 'tools/call' });
    const parts: OwnParts = {
      standing,
      schemas,
      caller,
      call: async (name, given) =>
        this.#parts.callAny(account, { name, arguments: given }, { ...asked, progress: () => {} }),
    };
    return this.#perform(account, tool, asked, refused, async (call) => answered(tool, args, parts, call));
  }

  async #find(account: Watched, args: unknown, asked: Asked): Promise<Result> {
    const { standing, admission } = this.#parts;
    const { caller, query } = asked.exchange;
    await standing.seen();
    const isCode = askedIn(query, caller)?.has('code') === true;
    return this.#perform(account, findTools, asked, admission.refusalNow(account, caller), async (call) =>
      this.#finding.answer(args, standing.all, caller, isCode, call),
    );
  }

  /** What `call_tool` names is called as if it had been named itself, by the same rules. */
  async #callFound(account: Watched, { arguments: args, ...rest }: Params, asked: Asked): Promise<Result> {
    try {
      const called = calledTool(args);
      // What finds and calls tools is not found, and so calls itself no further.
      if (called.name === callToolName) throw new ToolError('invalid_input', 'call_tool cannot call itself.');
      return await this.#parts.callAny(account, { ...rest, ...called }, asked);
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      const effect = 'read' as const;
      const errand = { method: 'tools/call', target: callToolName, effect, model: undefined };
      recordAnswer(account, asked.exchange, 'gateway', errand, error);
      return failedResult(failureOf(error));
    }
  }

  async #run(account: Watched, params: Params, asked: Asked): Promise<Result> {
    const { exchange } = asked;
    const { caller } = exchange;
    const python = this.#python();
    const reach = { behind: { name: pythonName }, effect: runProgram.effect };
    const refused = mayRun(caller)
      ? this.#parts.admission.refusalNow(account, caller)
      : forbidden(caller.name, reach, { target: runProgram.name, method: 'tools/call' });
    const model = modelIn(params);
    const around: Around = {
      python,
      lane: this.#programs,
      authorization: () => python?.authorization(caller.hash) ?? '',
      call: async (name, args, requestBytes, signal) => {
        // Each call is one of the caller's, by all the same rules, and has an account of its own.
        const inner = { ...exchange, query: 'tools=code', takesEvents: false, requestBytes };
        const meta = model === undefined ? {} : { _meta: { 'dev.flotilla/model': model } };
        const toolParams = { name: this.#toolOf(name), arguments: args, ...meta };
        const request = { ...asked, exchange: inner, signal, progress: () => {} };
        return this.#parts.callAny(account, toolParams, request);
      },
    };
    return this.#perform(
      account,
      runProgram,
      asked,
      refused,
      async (call) => answered(runProgram, params['arguments'], around, call),
      model,
    );
  }

  /** A call of one tool, with the account of it. */
  async #perform(
    account: Watched,
    { name, effect }: AnyTool<never>,
    { exchange, signal, progress }: Asked,
    refused: Refusal | undefined,
    work: (call: Call) => Promise<Answer>,
    model?: string,
  ): Promise<Result> {
    const startedAtMs = performance.now();
    const answer = refused
      ? { failure: refused }
      : await work({
          signal,
          caller: exchange.caller.name,
          isOperator: allowedEffect(exchange.caller.scope, '*') === 'destroy',
          session: exchange.session,
          operation: name,
          traceparent: exchange.trace.traceparent,
          nowMs: account.now(),
          progress,
          resourceUpdated: () => {},
          protocol: undefined,
        });
    const result = answer.result ?? failedResult(answer.failure);
    const came = refused ?? { code: answer.failure?.code ?? ('ok' as const) };
    const errand = { method: 'tools/call', target: name, effect, model };
    const responseBytes = Buffer.byteLength(JSON.stringify(result));
    recordAnswer(account, exchange, 'gateway', errand, came, { ...unsaid, startedAtMs, responseBytes });
    return result;
  }

  #python() {
    return this.#parts.standing.upstreams.find(({ name }) => name === pythonName);
  }

  /** The tool that code calls by this name: its own, or that of its function. */
  #toolOf(name: string): string {
    const { routes, all } = this.#parts.standing;
    if (routes.tool(name)) return name;
    const tools = all.flatMap(({ surface }) => surface?.tools.destroy ?? []);
    return tools.find((tool) => functionName(tool.name) === name)?.name ?? name;
  }

  #purposes({ scope }: Pick<Caller, 'scope'>): readonly Purpose[] {
    return this.#parts.standing.all
      .filter(({ name }) => allowedEffect(scope, name) !== undefined)
      .map(({ name, description, trouble }) => ({
        name,
        purpose: trouble === undefined ? description : `${description} (unavailable now)`,
      }));
  }
}
