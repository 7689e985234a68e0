/** Suite `programs`: tasks of several steps by calls of tools, and by programs that call them, in tokens and round trips. */
import { mkdirSync, mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { firstTokenFile } from '#runtime/access/tokens.ts';
import type { Steps } from '#runtime/turns.ts';

import { openTokenizers } from '../../services/context/tokens/tokenizer.ts';
import { freePortOffset } from '../ports.ts';
import { serveCommand } from '../serve-command.ts';
import { ServerChild } from './child.ts';
import { answerIn, headersOf, messageOf } from './message.ts';
import { seedTasks, servicesOfTasks, tasks, type Json, type Task } from './program-tasks.ts';
import type { BenchContext, Section } from './section.ts';

interface Gateway {
  readonly url: string;
  readonly token: string;
}

/** What a client is shown: all tools, those that find and call, or those that find and run programs. */
type Way = 'everything' | 'search' | 'code';

/** What one way of doing a task takes of a model's context: what it writes, and what it reads, after the list of tools. */
export interface Taken {
  readonly answer: string;
  readonly calls: number;
  readonly roundTrips: number;
  readonly tokens: number;
}

/** Counts as o200k_base does. */
export type Count = (text: string) => number;

export async function openCount(): Promise<Count> {
  const tokenizer = await openTokenizers()('o200k_base');
  return (text) => done(tokenizer.count(text));
}

function done<Value>(steps: Steps<Value>): Value {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

async function request(
  { url, token }: Gateway,
  method: string,
  params: Json,
  way: Way = 'everything',
): Promise<Json> {
  const message = messageOf(method, params);
  const response = await fetch(`${url}/mcp${way === 'everything' ? '' : `?tools=${way}`}`, {
    method: 'POST',
    headers: headersOf({ token }, message),
    body: JSON.stringify(message),
  });
  const { result, error } = await answerIn(response);
  if (!result || result['isError'] === true)
    throw new Error(`${method} ${String(params['name'])}: ${JSON.stringify(error ?? result)}`);
  return result;
}

/** Makes the calls of one way, and counts what they take. */
class Conversation {
  readonly #gateway: Gateway;
  readonly #count: Count;
  readonly #way: Way;
  calls = 0;
  roundTrips = 0;
  tokens = 0;

  constructor(gateway: Gateway, count: Count, way: Way) {
    this.#gateway = gateway;
    this.#count = count;
    this.#way = way;
  }

  /** Calls that do not wait for each other. @returns their results */
  async turn(calls: readonly (readonly [tool: string, args: Json])[]): Promise<readonly Json[]> {
    this.roundTrips += 1;
    return Promise.all(
      calls.map(async ([name, args]) => {
        this.calls += 1;
        const result = await request(this.#gateway, 'tools/call', { name, arguments: args }, this.#way);
        const text = (result['content'] as Json[]).map((block) => String(block['text'] ?? '')).join('\n');
        this.tokens += this.#count(JSON.stringify({ name, arguments: args })) + this.#count(text);
        return result;
      }),
    );
  }
}

/** With the tools found first where not all are listed, as a program's are. */
export async function byCalls(
  task: Task,
  gateway: Gateway,
  folder: string,
  count: Count,
  way: 'everything' | 'search',
): Promise<Taken> {
  const said = new Conversation(gateway, count, way);
  if (way === 'search') await said.turn(task.questions.map((question) => ['find_tools', { question }]));
  const answer = await task.plain(async (...calls) => {
    const named = calls.map(([name, args]) =>
      way === 'search' ? (['call_tool', { name, arguments: args }] as const) : ([name, args] as const),
    );
    return (await said.turn(named)).map(({ structuredContent }) => structuredContent as Json);
  }, folder);
  const { calls, roundTrips, tokens } = said;
  return { answer, calls, roundTrips, tokens };
}

export async function byProgram(task: Task, gateway: Gateway, folder: string, count: Count): Promise<Taken> {
  const said = new Conversation(gateway, count, 'code');
  await said.turn(task.questions.map((question) => ['find_tools', { question }]));
  const [result] = await said.turn([['run_program', { code: task.program(folder).trimStart() }]]);
  const [block] = (result?.['content'] ?? []) as Json[];
  const answer = String(block?.['text']);
  const { calls, roundTrips, tokens } = said;
  return { answer, calls, roundTrips, tokens };
}

/** What a model reads of the list. */
export async function listTokens(gateway: Gateway, count: Count, way: Way): Promise<number> {
  const { tools } = await request(gateway, 'tools/list', {}, way);
  return (tools as Json[]).reduce(
    (sum, { name, description, inputSchema }) =>
      sum + count(JSON.stringify({ name, description, inputSchema } as Json)),
    0,
  );
}

export const seed = async (gateway: Gateway, folder: string): Promise<void> =>
  seedTasks(folder, async (name, args) => {
    const { structuredContent } = await request(gateway, 'tools/call', { name, arguments: args });
    return structuredContent as Json;
  });

export async function programs({ progress }: BenchContext): Promise<readonly Section[]> {
  using parent = mkdtempDisposableSync(join(tmpdir(), 'flotilla-programs-'));
  const [folder, data] = ['files', 'data'].map((name) => join(parent.path, name)) as [string, string];
  for (const path of [folder, data]) mkdirSync(path);
  const settings = {
    FLOTILLA_DATA: data,
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
    FLOTILLA_ROOTS: folder,
    FLOTILLA_GATEWAY_EXPECT: servicesOfTasks.join(','),
  };
  await using stack = new AsyncDisposableStack();
  let url = '';
  for (const name of [...servicesOfTasks, 'gateway']) {
    const logFile = join(parent.path, `${name}.log`);
    const child = stack.use(new ServerChild(serveCommand(name), { settings, logFile }));
    // oxlint-disable-next-line no-await-in-loop -- the first makes the folder, the last finds the others there
    url = await child.listening();
  }
  const gateway = { url, token: readFileSync(firstTokenFile(data), 'utf8').trim() };
  progress('programs: seeding');
  await seed(gateway, folder);
  const count = await openCount();
  const ways = ['everything', 'search', 'code'] as const;
  const lists = await Promise.all(ways.map(async (way) => listTokens(gateway, count, way)));
  const faults: string[] = [];
  const totals = ways.map(() => ({ roundTrips: 0, tokens: 0 }));
  const rows: (string | number)[][] = [];
  for (const task of tasks) {
    progress(`programs: ${task.title}`);
    /* oxlint-disable no-await-in-loop -- one after the other: a report is written by each */
    const taken = [
      await byCalls(task, gateway, folder, count, 'everything'),
      await byCalls(task, gateway, folder, count, 'search'),
      await byProgram(task, gateway, folder, count),
    ];
    /* oxlint-enable no-await-in-loop */
    if (new Set(taken.map(({ answer }) => answer)).size > 1) faults.push(`${task.title}: the answers differ`);
    for (const [at, one] of taken.entries()) {
      const total = totals[at];
      if (!total) continue;
      total.roundTrips += one.roundTrips;
      total.tokens += one.tokens;
    }
    rows.push([
      task.title,
      ...taken.map(({ roundTrips }) => roundTrips),
      ...taken.map(({ tokens }) => tokens),
    ]);
  }
  rows.push(['all five', ...totals.map((one) => one.roundTrips), ...totals.map(({ tokens }) => tokens)]);
  rows.push([
    'with the list of tools',
    '',
    '',
    '',
    ...totals.map(({ tokens }, at) => tokens + (lists[at] ?? 0)),
  ]);
  return [
    {
      title: 'Programs',
      method:
        `Each task on ${servicesOfTasks.length} services through the gateway: by calls of listed tools, by calls of tools that are found first, and by one program ` +
        `whose functions are found first. Tokens of o200k_base: each call as it is written (name and arguments, or the program) and the text of its answer, once; calls that do not ` +
        `wait for each other are one round trip. What a model computes from answers by itself counts nothing. The answers of the three ways are compared. Lists: ` +
        `${ways.map((way, at) => `${way} ${lists[at]}`).join(', ')} tokens.`,
      columns: [
        { name: 'task' },
        ...['calls', 'search', 'code'].map((name) => ({ name: `${name}: round trips` })),
        ...['calls', 'search', 'code'].map((name) => ({ name: `${name}: tokens` })),
      ],
      rows,
      faults,
    },
  ];
}
