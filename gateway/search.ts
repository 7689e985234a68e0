/** A list of two tools in place of hundreds: one that finds tools, and one that calls what was found. */
import { z } from 'zod';

import { inputSchemaOf } from '#runtime/account/execute.ts';
import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { pageBytes } from '#runtime/page.ts';
import { defineTool, Reply } from '#runtime/tool.ts';
import { plainInput } from '#runtime/wire/plain-schema.ts';

import { find, type Listing, type ToolIndex } from './find.ts';
import { functionName, signatureOf } from './signature.ts';
import type { ListedTool } from './surface.ts';

/** What a caller may find: all that the gateway lists, and which of it this caller may use. */
export interface Searched {
  readonly index: ToolIndex;
  readonly admits: (listing: Listing) => boolean;
  /** Tools are told as functions of Python. */
  readonly isCode?: boolean;
}

const mostFound = 20;
/** What is told of a tool before it is asked for. */
const longestLine = 300;
/** What a definition says of a service. */
const longestPurpose = 140;
/** Services that a definition names; the rest are counted. */
const mostServices = 60;

const foundTool = z.looseObject({
  name: z.string(),
  service: z.string(),
  description: z.string(),
  inputSchema: z.looseObject({}),
});

const answer = z.object({
  tools: z.array(foundTool).describe('The best first, each with its inputSchema.'),
  note: z.string().optional(),
});

const finds = 'Find tools by what you want to do, in plain words';

export const findTools = defineTool({
  name: 'find_tools',
  title: 'Find Tools',
  description: `${finds}.`,
  effect: 'read',
  hints: reading,
  input: z.object({
    question: z
      .string()
      .min(1)
      .max(1_000)
      .describe('What you want to do, such as "which commit removed this line", or the name of a tool.'),
    limit: z.int().min(1).max(mostFound).default(5).describe('Most tools to return.'),
    service: z.string().max(200).optional().describe('Only tools of this one.'),
  }),
  output: answer,
  text: (value) => JSON.stringify(value),

  handler({ question, limit, service }, { index, admits, isCode }: Searched) {
    const admitted = index.listings.filter(admits);
    const services = [...new Set(admitted.map((one) => one.service))];
    if (service !== undefined && !services.includes(service)) {
      throw new ToolError('not_found', `There is no service ${JSON.stringify(service)}.`, {
        hint: `There are: ${services.slice(0, mostServices).join(', ')}.`,
      });
    }
    const found = find(
      index,
      question,
      limit,
      (one) => admits(one) && (service === undefined || one.service === service),
    );
    if (found.length === 0) return { tools: [], note: nothingFound };
    return isCode
      ? new Reply({ tools: [] }, { content: [{ type: 'text', text: functions(found) }] })
      : told(found);
  },
});

const nothingFound = 'No tool has a word of the question: say it in other words.';
const more = 'There are more, which one answer does not hold: ask for fewer, or for one by name.';

/** The answer of `find_tools` to those who write programs: their functions, which are shorter than schemas and say what comes back. */
export function functions(found: readonly Listing[]): string {
  const texts: string[] = [];
  let left = pageBytes;
  for (const { tool } of found) {
    const forms = [signatureOf(tool, true), signatureOf(tool, false), `fleet.${functionName(tool.name)}(…)`];
    const fit = forms.find((text) => Buffer.byteLength(text) <= left);
    if (fit === undefined) return [...texts, more].join('\n\n');
    left -= Buffer.byteLength(fit);
    texts.push(fit);
  }
  return texts.join('\n\n');
}

/** The answer of `find_tools`: as many as one holds, each with as much of its schema. */
export function told(found: readonly Listing[]): z.input<typeof answer> {
  const tools: z.input<typeof foundTool>[] = [];
  let left = pageBytes;
  for (const { service, tool } of found) {
    const description = oneLine(tool.description ?? '', longestLine);
    const forms = [tool.inputSchema, withoutDescriptions(tool.inputSchema), argumentNames(tool.inputSchema)];
    // The first is told whatever it takes, and at last without its arguments: an answer that names nothing helps nobody.
    if (tools.length === 0) forms.push({ type: 'object' });
    const fit = forms
      .map((inputSchema) => ({ name: tool.name, service, description, inputSchema }))
      .find((one) => Buffer.byteLength(JSON.stringify(one)) <= left);
    if (!fit) return { tools, note: more };
    left -= Buffer.byteLength(JSON.stringify(fit));
    tools.push(fit);
  }
  return { tools };
}

type Schema = Readonly<Record<string, unknown>>;

function withoutDescriptions(schema: Schema): Schema {
  return JSON.parse(JSON.stringify(schema), (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const { description, ...rest } = value as Schema;
    // An argument may have this name.
    return typeof description === 'object' ? value : rest;
  }) as Schema;
}

function argumentNames({ properties, required }: Schema): Schema {
  const names = Object.keys((properties as object | undefined) ?? {});
  return { type: 'object', properties: Object.fromEntries(names.map((name) => [name, {}])), required };
}

/** Answered by whoever answers calls of the tool that it names. */
export const callToolName = 'call_tool';
const callInput = z.strictObject({
  name: z.string().min(1).max(200),
  arguments: z.looseObject({}).optional(),
});

/** What a call of `call_tool` calls. @throws ToolError invalid_input */
export function calledTool(args: unknown): { readonly name: string; readonly arguments: Schema } {
  const given = args as { readonly arguments?: unknown } | undefined;
  // Models that write an object as its text mean the object.
  const parsed = callInput.safeParse({ ...given, ...asObject(given?.arguments) });
  if (parsed.success) return { name: parsed.data.name, arguments: parsed.data.arguments ?? {} };
  throw new ToolError('invalid_input', `Invalid arguments for call_tool: ${z.prettifyError(parsed.error)}`, {
    hint: 'Give name, and arguments as an object that fits the inputSchema which find_tools answered.',
  });
}

/** The call of a tool that is meant, be it by `call_tool`. */
export function meantBy({ name, arguments: args }: Schema): {
  readonly name: string;
  readonly arguments: unknown;
} {
  if (name === callToolName) {
    const parsed = callInput.safeParse({
      ...(args as object),
      ...asObject((args as Schema | undefined)?.['arguments']),
    });
    if (parsed.success) return { name: parsed.data.name, arguments: parsed.data.arguments };
  }
  return { name: String(name), arguments: args };
}

function asObject(value: unknown): { readonly arguments?: unknown } {
  if (typeof value !== 'string') return {};
  try {
    return { arguments: JSON.parse(value) as unknown };
  } catch {
    return {};
  }
}

/** What is installed behind the gateway, and what each is for. */
export interface Purpose {
  readonly name: string;
  readonly purpose: string;
}

/** What finds tools, told with what it is for: the tools that it finds are run by the one named `runs`. */
export function findToolsFor(services: readonly Purpose[], runs: string): ListedTool {
  const installed = services
    .slice(0, mostServices)
    .map(({ name, purpose }) => `- ${name}: ${oneLine(purpose, longestPurpose)}`);
  const rest = services.length - installed.length;
  return {
    name: findTools.name,
    title: findTools.title,
    description: [
      `${finds}; then ${runs}.`,
      'Installed:',
      ...installed,
      ...(rest > 0 ? [`- and ${rest} more`] : []),
    ].join('\n'),
    inputSchema: plainInput(inputSchemaOf(findTools)) as ListedTool['inputSchema'],
    annotations: { title: findTools.title, readOnlyHint: true, openWorldHint: false },
  };
}

const callTool: ListedTool = {
  name: callToolName,
  title: 'Call Tool',
  description: 'Run a tool that find_tools found. Its answer is that of the tool.',
  inputSchema: {
    type: 'object',
    properties: {
      name: { type: 'string', description: 'As find_tools answered it.' },
      arguments: {
        type: 'object',
        description: "As the tool's inputSchema says.",
        // Said, so that a model which is held to the schema may write any.
        additionalProperties: true,
      },
    },
    required: ['name'],
    additionalProperties: false,
  },
  annotations: { title: 'Call Tool', readOnlyHint: false, destructiveHint: true, openWorldHint: true },
};

/** The whole list of a client that searches. */
export const searchTools = (services: readonly Purpose[]): readonly ListedTool[] => [
  findToolsFor(services, `run one with ${callToolName}`),
  callTool,
];

function oneLine(text: string, length: number): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= length ? line : `${line.slice(0, length - 1).trimEnd()}…`;
}
