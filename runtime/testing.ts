/** Calls a tool as the runtime does, without the wire: for unit tests beside the tools. */
import type { z } from 'zod';

import { executeTool } from './account/execute.ts';
import { ProtocolResult, type Call, type Tool } from './tool.ts';

type Arguments = Readonly<Record<string, unknown>>;

/** What the contract suite (tests/contract.test.ts) has to know of a service to try each of its tools: `contract.fixture.ts`. */
export interface Contract {
  /** Most tokens that the definitions of all tools may cost a model. */
  readonly listTokens: number;
  /** Settings besides the data folder. `folder` is empty, and the trial's own. */
  readonly settings?: (folder: string) => Readonly<Record<string, string>>;
  /**
   * Brings a new service to where every tool has something to do, with `foreign` in all texts that it keeps or reads.
   *
   * @returns arguments that each tool accepts then.
   */
  readonly prepare: (trial: {
    readonly folder: string;
    readonly foreign: string;
    /** Calls a tool. @returns its structured content. @throws Error when it fails. */
    readonly call: (tool: string, args: Arguments) => Promise<Readonly<Record<string, any>>>; // oxlint-disable-line typescript/no-explicit-any -- what tools answer is looked at field by field
  }) => Promise<Readonly<Record<string, Arguments>>>;
  /** Of tools that work in several ways: what they accept as well, where `prepare` has been. */
  readonly others?: (foreign: string) => Readonly<Record<string, readonly Arguments[]>>;
  /**
   * For tools whose work grows with their arguments: the largest that may be given, and of those that work in several ways,
   * of each. The loop must not be held by them.
   */
  readonly largest?: (foreign: string) => Readonly<Record<string, Arguments | readonly Arguments[]>>;
  /** A call that keeps one small thing for its token, another one for each number: for services that keep something. */
  readonly keep?: (number: number, token: string) => { readonly tool: string; readonly args: Arguments };
  /** What each token has to call once before that. */
  readonly beforeKeep?: (token: string) => { readonly tool: string; readonly args: Arguments };
  /** The call with this number of those that bring what a token may keep to its quota within seconds; where there are such. */
  readonly fill?: (number: number) => { readonly tool: string; readonly args: Arguments };
}

/** A call with nothing around it; give what the test is about. */
export function testCall(overrides: Partial<Call> = {}): Call {
  return {
    signal: new AbortController().signal,
    caller: 'test',
    isOperator: false,
    session: undefined,
    operation: 'test',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    nowMs: Date.parse('2026-11-20T12:00:00Z'),
    progress: () => {},
    resourceUpdated: () => {},
    protocol: undefined,
    ...overrides,
  };
}

/**
 * Validates the arguments strictly, runs the handler, validates the value.
 * @throws ToolError with the code that a client would get.
 */
export async function invoke<Input extends z.ZodObject, Output extends z.ZodObject, Deps>(
  tool: Tool<Input, Output, Deps>,
  args: unknown,
  deps: Deps,
  overrides: Partial<Call> = {},
): Promise<z.output<Output>> {
  const reply = await executeTool(tool, args, deps, testCall(overrides));
  if (reply instanceof ProtocolResult)
    throw new TypeError(`${tool.name} answers in the protocol's own words.`);
  return reply.value as z.output<Output>;
}

/** Work that is over when it is told so. */
export function held() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const work = {
    hasBegun: false,
    end: resolve,
    run: async () => {
      work.hasBegun = true;
      await promise;
    },
  };
  return work;
}
