/** Runs one tool call: strict arguments in, a checked value out. Knows nothing of the wire. */
import { z } from 'zod';

import { ToolError } from '../errors.ts';
import { hasEndlessNumber } from '../numbers.ts';
import { mended } from './arguments.ts';
import { ProtocolResult, Reply, type AnyTool, type Call } from '../tool.ts';
import { inTurn, inTurns, onAccount, type Steps } from '../turns.ts';

const strictInputs = new WeakMap<object, z.ZodObject>();

/** The input schema as it is enforced and advertised: an unknown argument is named, not dropped. Built once per tool. */
export function strictInput(tool: AnyTool<never>): z.ZodObject {
  let strict = strictInputs.get(tool);
  if (!strict) {
    strict = (tool.input as z.ZodObject).strict();
    strictInputs.set(tool, strict);
  }
  return strict;
}

const inputSchemas = new WeakMap<object, object>();

/** The input schema as JSON Schema, with all of its bounds. Converted once per tool. */
export function inputSchemaOf(tool: AnyTool<never>): object {
  let schema = inputSchemas.get(tool);
  if (!schema) {
    schema = z.toJSONSchema(strictInput(tool), { io: 'input' });
    inputSchemas.set(tool, schema);
  }
  return schema;
}

type Executed = Reply<Record<string, unknown>> | ProtocolResult;

/**
 * Answers at once where the handler does.
 *
 * @param onMended told when the arguments fit only after they were read as they were meant.
 * @throws ToolError `invalid_input` when the arguments do not fit; whatever the handler throws.
 * @throws z.ZodError when the handler's value does not fit the output schema: a bug.
 */
export function executeTool<Deps>(
  tool: AnyTool<Deps>,
  args: unknown,
  deps: Deps,
  call: Call,
  onMended?: () => void,
): Executed | Promise<Executed> {
  requireFewNames(tool, args);
  requireNumbers(tool, args);
  if (hasVeryLongList(args)) return executeInTurns(tool, args, deps, call, onMended);
  return handled(tool, tool.handler(meant(tool, args, undefined, onMended), deps, call), call);
}

/** To look through a very long list takes long, and so does what is done with it: each is a turn of its own. */
async function executeInTurns<Deps>(
  tool: AnyTool<Deps>,
  args: object,
  deps: Deps,
  call: Call,
  onMended?: () => void,
): Promise<Executed> {
  const { issues, read } = await inTurns((piece) => piece(), call, readLists(strictInput(tool), args));
  const data = await inTurn(
    call,
    () => meantInLists(tool, args, issues, read) ?? meant(tool, args, issues, onMended),
  );
  call.signal.throwIfAborted();
  const answer: unknown = await inTurn(call, () => tool.handler(data, deps, call));
  return inTurn(call, () => checked(tool, answer), isLong(answer));
}

/** The arguments where every item of the lists that were read fits; `undefined` where anything does not. */
function meantInLists(
  tool: AnyTool<never>,
  args: object,
  issues: readonly z.core.$ZodIssue[],
  read: ReadonlyMap<string, readonly unknown[]>,
): Record<string, unknown> | undefined {
  if (issues.length > 0) return undefined;
  const input = strictInput(tool);
  const shape = Object.fromEntries(
    Object.entries(input.shape).map(([name, schema]) => [
      name,
      read.has(name) ? withoutItems(schema) : schema,
    ]),
  );
  const parsed = input.clone({ ...input.def, shape }).safeParse(args);
  return parsed.success ? { ...parsed.data, ...Object.fromEntries(read) } : undefined;
}

/** The same schema, to which every item is as good as another. */
function withoutItems(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional) return z.optional(withoutItems(schema.unwrap()));
  if (schema instanceof z.ZodDefault)
    return z._default(withoutItems(schema.unwrap()), schema.def.defaultValue);
  return schema instanceof z.ZodArray ? schema.clone({ ...schema.def, element: z.unknown() }) : schema;
}

/** @param issues of the items of its lists, where they were looked for. @throws ToolError `invalid_input`. */
function meant<Deps>(
  tool: AnyTool<Deps>,
  args: unknown,
  issues: readonly z.core.$ZodIssue[] | undefined,
  onMended?: () => void,
): Record<string, unknown> {
  const input = strictInput(tool);
  const parsed = parse(input, args ?? {}, issues);
  if (parsed.success) return parsed.data;
  const mendedArgs = mended(args, inputSchemaOf(tool));
  const again = mendedArgs === args ? parsed : parse(input, mendedArgs);
  if (!again.success) throw invalidInput(tool.name, parsed);
  onMended?.();
  return again.data;
}

function handled<Deps>(tool: AnyTool<Deps>, answer: unknown, call: Call): Executed | Promise<Executed> {
  // What took its time may be long: checking it is the caller's work as well.
  if (answer instanceof Promise)
    return answer.then(async (value: unknown) => inTurn(call, () => checked(tool, value), isLong(value)));
  return isLong(answer) ? inTurn(call, () => checked(tool, answer), true) : checked(tool, answer);
}

const longTextLength = 65_536;

/** Whether to check an answer, to put it into text and to send it take a turn of the loop each. */
function isLong(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false;
  if (answer instanceof Reply) return isLong(answer.value);
  return Object.values(answer).some((part: unknown) =>
    typeof part === 'string' ? part.length > longTextLength : Array.isArray(part) && part.length > longList,
  );
}

/** What is done with an answer, on the account of its call: in a turn of its own where the answer is long. */
export function withAnswer<Value>(
  call: Pick<Call, 'caller' | 'operation'>,
  answer: unknown,
  work: () => Value,
): Value | Promise<Value> {
  return isLong(answer) ? inTurn(call, work, true) : onAccount(call.caller, call.operation, work);
}

/** To find each of very many unknown names takes long. @throws ToolError invalid_input. */
function requireFewNames({ name, input }: AnyTool<never>, args: unknown): void {
  if (typeof args !== 'object' || args === null) return;
  const given = Object.keys(args);
  if (given.length <= maxNames) return;
  const known = (input as z.ZodObject).shape;
  const unknown = given.filter((one) => !Object.hasOwn(known, one));
  const shown = unknown.slice(0, maxIssues).map((one) => JSON.stringify(one.slice(0, maxNameLength)));
  throw new ToolError(
    'invalid_input',
    `Invalid arguments for ${name}: ${unknown.length} of them are unknown: ${shown.join(', ')} and more.`,
    { hint: "See the tool's input schema for names, types and limits.", reason: 'unrecognized_keys' },
  );
}

/** What cannot be kept as it was meant is not taken; in a list, the tool judges each one by itself. @throws ToolError invalid_input. */
function requireNumbers({ name }: AnyTool<never>, args: unknown): void {
  if (typeof args !== 'object' || args === null) return;
  for (const [where, value] of Object.entries(args)) {
    if (Array.isArray(value) || !hasEndlessNumber(value)) continue;
    throw new ToolError(
      'invalid_input',
      `Invalid arguments for ${name}: ${where.slice(0, maxNameLength)}: has a number that is too large to be one, such as 1e999.`,
      { hint: 'Send numbers below 1.8e308, or send it as a text.', reason: 'endless_number' },
    );
  }
}

/** Far more than any tool has. */
const maxNames = 100;
const maxNameLength = 50;

type Parsed =
  | { readonly success: true; readonly data: Record<string, unknown> }
  | {
      readonly success: false;
      readonly issues: readonly z.core.$ZodIssue[];
      /** Whether nothing was looked for beyond these. */
      readonly isCut: boolean;
    };

/** Zod finds every fault of every item: of a long list that takes long. So its items are tried one by one, up to some faults. */
function parse(
  input: z.ZodObject,
  args: unknown,
  issues: readonly z.core.$ZodIssue[] = faultsInLists(input, args),
): Parsed {
  if (issues.length > maxIssues) return { success: false, issues, isCut: true };
  const parsed = input.safeParse(args);
  return parsed.success ? parsed : { success: false, issues: parsed.error.issues, isCut: false };
}

interface ReadLists {
  readonly issues: readonly z.core.$ZodIssue[];
  /** The items of each long list, as they are meant: of no use where there are issues. */
  readonly read: ReadonlyMap<string, readonly unknown[]>;
}

/** Item by item, up to some faults. */
function* readLists({ shape }: z.ZodObject, args: unknown): Steps<ReadLists> {
  const issues: z.core.$ZodIssue[] = [];
  const read = new Map<string, unknown[]>();
  if (typeof args !== 'object' || args === null) return { issues, read };
  for (const [name, list] of Object.entries(args)) {
    if (!Array.isArray(list) || list.length <= longList) continue;
    const array = Object.hasOwn(shape, name) ? arrayOf(shape[name]) : undefined;
    // One with too many items is refused for that, before they are looked at.
    if (!array || list.length > mostItems(array)) continue;
    const items: unknown[] = [];
    for (const [index, value] of (list as unknown[]).entries()) {
      const { data, error } = z.safeParse(array.element, value);
      items.push(data);
      for (const issue of error?.issues ?? []) issues.push({ ...issue, path: [name, index, ...issue.path] });
      if (issues.length > maxIssues) return { issues, read };
      if (index % itemsPerStep === 0) yield;
    }
    read.set(name, items);
  }
  return { issues, read };
}

const itemsPerStep = 16;

function faultsInLists(input: z.ZodObject, args: unknown): readonly z.core.$ZodIssue[] {
  const steps = readLists(input, args);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value.issues;
  }
}

const longList = 100;
const veryLongList = 1_000;

const hasVeryLongList = (args: unknown): args is object =>
  typeof args === 'object' &&
  args !== null &&
  Object.values(args).some((value) => Array.isArray(value) && value.length > veryLongList);

function arrayOf(schema: unknown): z.ZodArray | undefined {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return arrayOf(schema.unwrap());
  return schema instanceof z.ZodArray ? schema : undefined;
}

function mostItems({ def: { checks = [] } }: z.ZodArray): number {
  const bounds = checks.map(({ _zod: { def } }) => ('maximum' in def ? Number(def.maximum) : Infinity));
  return Math.min(...bounds);
}

function checked<Deps>(tool: AnyTool<Deps>, answer: unknown): Executed {
  if (answer instanceof ProtocolResult) {
    if (!tool.asksBack)
      throw new TypeError(`${tool.name} answers in the protocol's own words without asksBack.`);
    return answer;
  }
  const output = tool.output as z.ZodObject;
  return answer instanceof Reply
    ? new Reply(output.parse(answer.value), answer)
    : new Reply(output.parse(answer));
}

/** Where it is and what is wrong there, as zod names it. A key that is no plain word may be the caller's own. */
function reasonOf({ path, code }: z.core.$ZodIssue): string {
  const where = path.map((part) => (/^\w{1,40}$/.test(String(part)) ? String(part) : '?'));
  return [where.join('.'), code].filter((part) => part !== '').join(': ');
}

/** An answer about wrong arguments must not grow with them: names and values in it are the caller's. */
const maxIssues = 5;
const maxIssueLength = 300;

function invalidInput(tool: string, { issues: found, isCut }: Parsed & { success: false }): ToolError {
  const issues = found.slice(0, maxIssues).map((issue) => {
    const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
    const text = `${where}${issue.message}`;
    return text.length > maxIssueLength ? `${text.slice(0, maxIssueLength)}…` : text;
  });
  const moreCount = isCut ? '' : ` ${found.length - maxIssues}`;
  const more = found.length > maxIssues ? `; and${moreCount} more` : '';
  return new ToolError('invalid_input', `Invalid arguments for ${tool}: ${issues.join('; ')}${more}.`, {
    hint: "See the tool's input schema for names, types and limits.",
    reason: found.slice(0, maxIssues).map(reasonOf).join('; '),
  });
}
