/** What a tool is: data and one pure handler. Nothing here knows HTTP, MCP, the environment or a log. */
import type { z } from 'zod';

/** What a call may do, and what a token's scope refers to: `read` < `write` < `destroy`. */
export const effects = ['read', 'write', 'destroy'] as const;
export type Effect = (typeof effects)[number];

/** The MCP tool annotations, declared truthfully and completely. */
export interface Hints {
  readonly readOnly: boolean;
  readonly destructive: boolean;
  readonly idempotent: boolean;
  readonly openWorld: boolean;
}

/** What belongs to one call, and to it alone. */
export interface Call {
  /** Aborted when the client is gone or the deadline has passed: long work must stop then. */
  readonly signal: AbortSignal;
  /** The name of the token that called. */
  readonly caller: string;
  /** Whether that token may do everything everywhere: who runs the fleet. */
  readonly isOperator: boolean;
  /** Tells clients of one token apart, those of the older revisions that keep a session; the newer have none. */
  readonly session: string | undefined;
  /** What was called, for accounts: the name of the tool, resource or prompt, or the method where there is none. */
  readonly operation: string;
  /** W3C trace context to hand on to whatever this call calls. */
  readonly traceparent: string;
  /** Milliseconds since the epoch, from the process's clock: the only clock a handler reads. */
  readonly nowMs: number;
  /** Tells the client how far long work has come, if it asked to be told. */
  readonly progress: (done: number, total?: number, message?: string) => void;
  /** Tells subscribers that a resource has changed. */
  readonly resourceUpdated: (uri: string) => void;
  /** The protocol's own context, for tools with `asksBack`. @see runtime/wire/mcp.ts */
  readonly protocol: unknown;
}

/** A content block of the protocol: text, image, audio, resource or link. */
export type ContentBlock = { readonly type: string } & Readonly<Record<string, unknown>>;

/**
 * An answer that is more than its value: content blocks in place of the value's JSON, or metadata.
 * Handlers return the bare value where that is enough.
 */
export class Reply<Value> {
  readonly value: Value;
  readonly content: readonly ContentBlock[] | undefined;
  readonly meta: Readonly<Record<string, unknown>> | undefined;

  constructor(
    value: Value,
    options: {
      readonly content?: readonly ContentBlock[] | undefined;
      readonly meta?: Readonly<Record<string, unknown>> | undefined;
    } = {},
  ) {
    this.value = value;
    this.content = options.content;
    this.meta = options.meta;
  }
}

/**
 * A result in the protocol's own words, passed on as it stands: for the rare handler that asks the user back
 * (`input_required`). Whoever returns one speaks MCP.
 */
export class ProtocolResult {
  readonly result: Readonly<Record<string, unknown>>;

  constructor(result: Readonly<Record<string, unknown>>) {
    this.result = result;
  }
}

export type Answer<Value> = Value | Reply<Value> | ProtocolResult;

export interface Tool<Input extends z.ZodObject, Output extends z.ZodObject, Deps> {
  readonly name: string;
  readonly title: string;
  /** Written for a model that must choose: when to use it, and what it does not do. */
  readonly description: string;
  readonly effect: Effect;
  readonly hints: Hints;
  readonly input: Input;
  readonly output: Output;
  /**
   * Whether answers hold text that others wrote, which is data and never instructions: marked so in the metadata, and,
   * unless an established tool's bytes have to stay `as-is`, put inside a boundary that the text cannot close.
   */
  readonly untrusted?: 'as-is' | 'bounded';
  /** Speaks MCP itself: finds the protocol's context in `call.protocol`, and may answer with a `ProtocolResult`. */
  readonly asksBack?: true;
  /**
   * Can run long: a client that offers tasks gets a handle when the call is not answered soon, and asks for the result later.
   * Any other waits for it, with progress; where a task is `required`, it is refused.
   */
  readonly task?: 'optional' | 'required';
  /**
   * Waits for nothing but a commit that many share: so it takes none of its token's places, and its service bounds what waits.
   */
  readonly needsNoPlace?: true;
  /** The work is stopped after this long; 30 s unless the tool says otherwise. */
  readonly timeoutMs?: number;
  /**
   * How long work that is told to stop may take to undo or to end what it began, in milliseconds. The answer waits for it, so that what
   * it says and what was done agree. Without, a stopped call is answered at once.
   */
  readonly endingMs?: number;
  /** The text that goes with the value, in one block or several; its indented JSON unless the tool says otherwise. */
  readonly text?: (value: z.output<Output>) => string | readonly string[];
  handler(
    args: z.output<Input>,
    deps: Deps,
    call: Call,
  ): Answer<z.input<Output>> | Promise<Answer<z.input<Output>>>;
}

// oxlint-disable-next-line typescript/no-explicit-any -- a list holds tools of every input and output; nothing narrower accepts them all
export type AnyTool<Deps> = Tool<any, any, Deps>;

/** Ties a tool's types together; adds nothing. The name of what is exported is the tool's name in camelCase. */
export function defineTool<Input extends z.ZodObject, Output extends z.ZodObject, Deps>(
  tool: Tool<Input, Output, Deps>,
): Tool<Input, Output, Deps> {
  return tool;
}

export const defaultTimeoutMs = 30_000;
