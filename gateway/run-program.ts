/** The tool that runs a program in the python service, whose code calls tools of the fleet, and answers what it prints. */
import { z } from 'zod';

import { mayUse } from '#runtime/access/choice.ts';
import { allowedEffect, covers } from '#runtime/access/scope.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { untrustedMeta } from '#runtime/account/calls.ts';
import { cancelled, ToolError, type ErrorCode } from '#runtime/errors.ts';
import { inputSchemaOf } from '#runtime/account/execute.ts';
import { Lane } from '#runtime/lanes.ts';
import { defineTool, Reply, type ContentBlock } from '#runtime/tool.ts';
import { RpcError } from '#runtime/service.ts';
import { plainInput } from '#runtime/wire/plain-schema.ts';

import { converse, type Done, type Wanted } from './program-line.ts';
import { FailedWork } from './own-tool.ts';
import { asUnavailable } from './lists.ts';
import { callToolName, findToolsFor, type Purpose } from './search.ts';
import type { ListedTool } from './surface.ts';
import type { Upstream } from './upstream.ts';

export const pythonName = 'python';
export const runProgramName = 'run_program';

const defaultTimeoutMs = 30_000;
const mostTimeoutMs = 600_000;
const longestCode = 200_000;
const mostCalls = 500;
/** Who goes on after so many more has not heard. */
const mostRefused = 50;
/** Of what one call answers; larger ones are read in parts. */
const mostAnswerBytes = 4_000_000;
/** Each takes an interpreter; a token's calls of python itself have places of their own. */
const width = { perCaller: 4, inAll: 16, waiting: 64 };

/** What a program needs of the gateway. */
export interface Around {
  readonly python: Upstream | undefined;
  readonly authorization: () => string;
  readonly lane: Lane;
  /** Makes a call as if the caller had made it itself. @throws RpcError */
  readonly call: (
    name: string,
    args: Readonly<Record<string, unknown>>,
    sizeBytes: number,
    signal: AbortSignal,
  ) => Promise<Readonly<Record<string, unknown>>>;
}

export const programLane = () => new Lane(width);

/** Why no program can be run now. */
export const noPython = 'this fleet has no python service';

export function mayRun(caller: Pick<Caller, 'scope' | 'tools'>): boolean {
  const tool = { service: pythonName, names: [runProgramName], isCore: true };
  return mayUse(caller, tool) && covers(allowedEffect(caller.scope, pythonName), runProgram.effect);
}

export const runProgram = defineTool({
  name: runProgramName,
  title: 'Run Program',
  description: `Run a Python program that calls tools, and get what it prints: many steps are one call, and what tools answer in between costs no tokens.

Each tool is a function: rows = fleet.read_query(database="/a.db", query="SELECT 1")["rows"]. find_tools shows their arguments, and the dict or text that they return. One that fails raises ToolError, with code, message and hint. Up to 8 threads may call at a time.

Print only what you need: at most 16,000 bytes. The code runs in a sandbox without network and without files of the host: read and write these by tools. Nothing is kept for the next program.`,
  effect: 'write',
  hints: { readOnly: false, destructive: true, idempotent: false, openWorld: true },
  untrusted: 'as-is',
  input: z.object({
    code: z
      .string()
      .min(1)
      .max(longestCode)
      .refine((code) => code.isWellFormed(), 'must be well-formed Unicode')
      .describe('Python code; fleet and ToolError need no import.'),
    timeout_ms: z
      .int()
      .min(100)
      .max(mostTimeoutMs)
      .default(defaultTimeoutMs)
      .describe('The program is stopped after this time; waiting for tools does not count.'),
  }),
  // It answers with what is printed alone.
  output: z.object({}),

  async handler({ code, timeout_ms: timeoutMs }, around: Around, call) {
    const { python, authorization, lane } = around;
    if (!python)
      throw new ToolError('unavailable', `No program can be run: ${noPython}.`, {
        hint: 'The operator starts it: flotilla start. Clients that do without ask for ?tools=search.',
      });
    let calls = 0;
    const answer = async (wanted: Wanted, signal: AbortSignal) => {
      calls += 1;
      call.progress(calls, undefined, `Calls ${wanted.name}`);
      return answerOf(wanted, calls, around, signal);
    };
    const run = async () => converse(python, authorization, { code, timeoutMs }, call.signal, answer);
    const done = await lane.run(call, run).catch((error: unknown) => {
      throw call.signal.aborted ? cancelled() : error;
    });
    const content = contentOf(done);
    if (done.status === 'success') return new Reply({}, { content, meta: untrustedMeta });
    throw new FailedWork(failureCode(done), `The program failed: ${reasonIn(done)}`, content);
  },
});

/** The whole list of a client that writes programs. @param trouble why none can be run now */
export function codeTools(services: readonly Purpose[], trouble: string | undefined): readonly ListedTool[] {
  const { name, title, description } = runProgram;
  const inputSchema = plainInput(inputSchemaOf(runProgram)) as ListedTool['inputSchema'];
  const annotations = { title, readOnlyHint: false, destructiveHint: true, openWorldHint: true };
  const listed = { name, title, description, inputSchema, annotations };
  return [
    findToolsFor(services, `call them as functions in ${name}`),
    trouble === undefined ? listed : (asUnavailable(listed, pythonName, trouble) as ListedTool),
  ];
}

/** What came of a call, as the code gets it. */
async function answerOf(
  { name, arguments: args }: Wanted,
  count: number,
  { call }: Around,
  signal: AbortSignal,
): Promise<string> {
  if (count > mostCalls + mostRefused)
    throw new ToolError(
      'too_large',
      `The program was ended: it went on to call after its ${mostCalls} calls.`,
    );
  if (count > mostCalls)
    return refuse('too_large', `A program makes at most ${mostCalls} calls, and this one has made them.`);
  if (name === runProgramName || name === callToolName)
    return refuse('invalid_input', `A program cannot call ${name}.`, 'Call the tools themselves.');
  if (typeof args !== 'object' || args === null || Array.isArray(args))
    return refuse('invalid_input', `The arguments of ${name} are no object.`);
  try {
    const argumentBytes = Buffer.byteLength(JSON.stringify(args));
    const result = await call(name, args as Record<string, unknown>, argumentBytes, signal);
    const answer = JSON.stringify(toldOf(result));
    const sizeBytes = Buffer.byteLength(answer);
    if (sizeBytes <= mostAnswerBytes) return answer;
    return refuse(
      'too_large',
      `${name} was done, and its answer has ${sizeBytes} bytes, of at most ${mostAnswerBytes}.`,
      'Ask for less at once.',
    );
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    const isUnknown = error.code === invalidParams && /^Tool .* not found$/.test(error.message);
    if (isUnknown)
      return refuse('not_found', error.message, 'find_tools shows the functions that there are.');
    return refuse(error.code === invalidParams ? 'invalid_input' : 'unavailable', error.message);
  }
}

const refuse = (code: ErrorCode, message: string, hint?: string): string =>
  JSON.stringify({ error: { code, message, hint } });

const invalidParams = -32_602;

interface ToolResult {
  readonly content?: readonly ContentBlock[];
  readonly structuredContent?: unknown;
  readonly isError?: boolean;
  readonly _meta?: {
    readonly 'dev.flotilla/error'?: {
      readonly code: string;
      readonly message: string;
      readonly hint?: string;
      readonly retryAfterMs?: number;
    };
  };
}

function toldOf({ content = [], structuredContent, isError, _meta: meta }: ToolResult): object {
  const texts = content.flatMap(({ type, text }) =>
    type === 'text' && typeof text === 'string' ? [text] : [],
  );
  if (isError) {
    const { code = 'unavailable', message = texts.join('\n'), ...more } = meta?.['dev.flotilla/error'] ?? {};
    return { error: { code, message, ...more } };
  }
  if (structuredContent !== undefined) return { value: structuredContent };
  return { value: texts.length === content.length ? texts.join('\n') : content };
}

function failureCode({ isLate, limits }: Done) {
  if (isLate) return 'timeout';
  return limits.length > 0 ? 'too_large' : 'invalid_input';
}

/** The line of a traceback that names the error: what follows it may be advice. What stopped a program stands last. */
function reasonIn({ error = '', isLate, limits }: Done): string {
  const lines = error.trimEnd().split('\n');
  const named = lines.findLastIndex((line) => /^\s/.test(line)) + 1;
  const line = isLate || limits.length > 0 ? lines.at(-1) : lines[named];
  return (line ?? '').slice(0, 300) || 'it does not tell why.';
}

/** What it printed; what the last line is worth where it printed nothing, as at a prompt; and what went wrong. */
function contentOf({ output, value, error, isCut, notes, images }: Done): readonly ContentBlock[] {
  const parts = [output, output === '' ? value : undefined, error?.trimEnd()];
  if (isCut) parts.push('What it printed is cut: print less.');
  const said = [...parts, ...notes].filter((part) => part !== undefined && part !== '');
  const text = said.length === 0 ? 'The program has ended, and printed nothing.' : said.join('\n');
  const shown = images.map((data) => ({ type: 'image', mimeType: 'image/png', data }));
  return [{ type: 'text', text }, ...shown];
}
