/** Real interpreters for tests, with small limits, and what most tests begin with. */
import { ToolError } from '#runtime/errors.ts';
import type { Limits } from '#runtime/launcher.ts';
import { quotaOf } from '#runtime/quotas.ts';
import { executeTool } from '#runtime/account/execute.ts';
import { testCall } from '#runtime/testing.ts';
import type { Call, Reply } from '#runtime/tool.ts';

import { openPython, type Choices, type Python } from './python.ts';
import { allTools } from './service.ts';
import { openStore } from './store.ts';

const hard = (most: number) => ({ most, policy: 'hard' as const });

const limits: Limits = {
  memoryBytes: hard(200_000_000),
  cpuSeconds: { most: 20, policy: 'soft' },
  processes: hard(40),
  outputBytes: { most: 100_000, policy: 'warn' },
  diskBytes: hard(20_000_000),
};

export function openForTest(
  choices: Partial<Choices> = {},
  file = ':memory:',
  quota = quotaOf(50, 20),
): Python {
  return openPython(openStore(file, quota), {
    level: 'sandbox',
    limits,
    interpreter: undefined,
    programs: 20,
    totalBytes: 1_500_000_000,
    idleMs: 3_600_000,
    ...choices,
  });
}

interface Told {
  /** What is structured. */
  readonly value: Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- what tools answer is looked at field by field
  readonly text: string;
  readonly images: readonly Buffer[];
}

/** Calls a tool as the runtime does. @throws ToolError. */
export async function told(
  python: Python,
  name: string,
  args: object,
  call: Partial<Call> = {},
): Promise<Told> {
  const tool = allTools.find((one) => one.name === name);
  if (!tool) throw new Error(`There is no tool ${name}.`);
  const reply = (await executeTool(
    tool,
    args,
    python,
    testCall({ nowMs: Date.now(), ...call }),
  )) as Reply<object>;
  const content = reply.content ?? [];
  return {
    value: reply.value as Told['value'],
    text: (content[0]?.['text'] ?? '') as string,
    images: content
      .filter(({ type }) => type === 'image')
      .map(({ data }) => Buffer.from(String(data), 'base64')),
  };
}

/** The value of the last expression of a run. @throws Error with the traceback when it fails. */
export async function valueOf(python: Python, code: string, args: object = {}): Promise<unknown> {
  const { value } = await told(python, 'run_python_code', { python_code: code, ...args });
  if (value['status'] !== 'success') throw new Error(String(value['error']));
  return value['return_value'] === undefined ? undefined : JSON.parse(String(value['return_value']));
}

export async function newSession(python: Python, call: Partial<Call> = {}): Promise<string> {
  return String((await told(python, 'create_python_session', {}, call)).value['session_id']);
}

/** The code of the error that a call ends with. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (error instanceof ToolError) return error.code;
    throw error;
  }
}
