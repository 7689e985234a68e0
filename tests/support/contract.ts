/** Tries every tool of a service as a careless, a hostile and a heavy client would, and says what a client could not live with. */
import { setTimeout as sleep } from 'node:timers/promises';

import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { z } from 'zod';

import { createToken } from '#runtime/access/tokens.ts';
import { inputSchemaOf } from '#runtime/account/execute.ts';
import type { Contract } from '#runtime/testing.ts';
import { parseServiceSettings } from '#runtime/process/settings.ts';
import { toolsOf, type AnyService } from '#runtime/service.ts';
import type { AnyTool } from '#runtime/tool.ts';

import type { Rpc } from '../../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send } from './rpc.ts';
import { startThread, type OwnThread } from './own-thread.ts';
import { serve, temporaryFolder, type Served } from './serve.ts';
import { undescribedFields } from './undescribed.ts';

type Arguments = Readonly<Record<string, unknown>>;

/** Stands in all texts that others wrote. */
const foreign = 'FOREIGN-7f3a';
/** About 20,000 tokens; clients cut or refuse what is longer. */
const mostAnswerLength = 100_000;

/** What the service owes, whatever is called. */
export function complaintsOfDefinitions(service: AnyService, contract: Contract, list: unknown): string[] {
  const { listTokens } = contract;
  const tools = offeredBy(service, contract);
  const tokens = encode(JSON.stringify(list)).length;
  const { canary } = service;
  const canaryTool = tools.find(({ name }) => name === canary?.tool);
  return [
    ...(tokens > listTokens ? [`its list of tools costs ${tokens} tokens, and may cost ${listTokens}`] : []),
    ...(service.check ? [] : ['it has no check']),
    ...(canaryTool?.effect === 'read' ? [] : ['it has no canary that reads']),
    ...tools.flatMap(({ name, effect, hints }) =>
      hints.readOnly === (effect === 'read') &&
      (effect === 'write' || hints.destructive === (effect === 'destroy'))
        ? []
        : [`${name}: its hints do not agree with its effect, ${effect}`],
    ),
    ...tools.flatMap((tool) => [
      ...undescribedFields(z.toJSONSchema(tool.input, { io: 'input' })).map(
        (field) => `${tool.name}: the argument ${field} is not described`,
      ),
      ...undescribedFields(z.toJSONSchema(tool.output, { io: 'output' })).map(
        (field) => `${tool.name}: the output ${field} is not described`,
      ),
    ]),
  ];
}

/** The tools with the settings of the trial. */
export function offeredBy(service: AnyService, { settings }: Contract): readonly AnyTool<unknown>[] {
  return toolsOf(service, parseServiceSettings(service.name, service.settings, settings?.('/') ?? {}));
}

interface Trial extends AsyncDisposable {
  readonly served: Served;
  /** What each tool accepts. */
  readonly valid: Readonly<Record<string, Arguments>>;
  readonly others: Readonly<Record<string, readonly Arguments[]>>;
}

async function begin(
  contract: Contract,
  start: (settings?: Readonly<Record<string, string>>) => Promise<Served>,
): Promise<Trial> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(temporaryFolder()).path;
  const served = stack.use(await start(contract.settings?.(folder)));
  const call = async (tool: string, args: Arguments) => {
    const answer = await callTool(served, tool, args);
    if (answer.result?.['structuredContent'] && !answer.result['isError']) {
      return answer.result['structuredContent'] as Record<string, unknown>;
    }
    throw new Error(`${tool} failed: ${JSON.stringify(answer.result?.['content'] ?? answer.error)}`);
  };
  const valid = await contract.prepare({ folder, foreign, call });
  const owned = stack.move();
  const others = contract.others?.(foreign) ?? {};
  return { served, valid, others, [Symbol.asyncDispose]: async () => owned.disposeAsync() };
}

/** What each tool owes its callers, found by calling it: those that change something in a trial of their own. */
export async function complaintsOfTools(service: AnyService, contract: Contract): Promise<string[]> {
  const start = async (settings?: Readonly<Record<string, string>>) => serve(service, settings);
  await using reading = await begin(contract, start);
  const complaints: string[] = [];
  for (const tool of offeredBy(service, contract)) {
    if (tool.effect === 'read') {
      complaints.push(...(await complaintsOfTool(reading, tool)));
    } else {
      await using changing = await begin(contract, start);
      complaints.push(...(await complaintsOfTool(changing, tool)));
    }
  }
  return complaints;
}

async function complaintsOfTool({ served, valid, others }: Trial, tool: AnyTool<unknown>): Promise<string[]> {
  const args = valid[tool.name];
  if (!args) return [`${tool.name} has no arguments in contract.fixture.ts`];
  const complaints: string[] = [];
  const complain = (what: string) => complaints.push(`${tool.name}: ${what}`);

  const call = async (given: Arguments) => callTool(served, tool.name, given);
  const refuses = async (what: string, given: Arguments, named: string) => {
    const answer = await call(given);
    const code = codeOf(answer) ?? 'ok';
    if (code !== 'invalid_input') complain(`${what} is answered with ${code}`);
    else if (!textOf(answer).includes(named)) complain(`${what} is refused without naming it`);
  };
  await refuses('an unknown argument', { ...args, a_misspelt_argument: 1 }, 'a_misspelt_argument');
  const schema = inputSchemaOf(tool) as {
    readonly properties?: Readonly<Record<string, Field>>;
    readonly required?: readonly string[];
  };
  for (const name of schema.required ?? []) {
    const { [name]: _left, ...rest } = args;
    await refuses(`a missing ${name}`, rest, name);
  }
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    for (const wrong of wrongFor(field)) {
      await refuses(`${name} of ${JSON.stringify(wrong).slice(0, 40)}`, { ...args, [name]: wrong }, name);
    }
    // Half of a surrogate pair: no store gives it back as it came. Where it is only looked for, nothing may be found.
    const code = codeOf(await call({ ...args, [name]: 'half \ud800 pair' })) ?? 'ok';
    if (code === 'internal' || (code === 'ok' && tool.effect !== 'read')) {
      complain(`${name} of half a character is answered with ${code}`);
    }
  }

  for (const given of [args, ...(others[tool.name] ?? [])]) {
    // Twice: what exists already is a conflict, or fine, and no bug.
    for (const time of ['first', 'second']) {
      const answer = await call(given);
      const code = codeOf(answer);
      if (answer.error) complain(`the ${time} call is an error of the protocol: ${answer.error.message}`);
      if (code === 'internal' || (code !== undefined && time === 'first')) {
        complain(`the ${time} call is answered with ${code}: ${textOf(answer)}`);
      }
      if (code === undefined) complaints.push(...complaintsOfAnswer(tool, given, answer));
    }
  }
  return complaints;
}

interface Field {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Field[];
}

/** Values that cannot be meant. */
function wrongFor(field: Field): unknown[] {
  const types = (field.anyOf ?? [field]).flatMap(({ type }) => type ?? []);
  const takes = (type: string) => types.includes(type);
  if (types.length === 0) return [];
  return [
    ...(takes('object') ? [] : [{ wrong: true }]),
    ...(takes('array') ? [] : [['\0']]),
    ...(takes('string') ? [] : ['\ud800']),
    ...(takes('number') || takes('integer') ? [] : [7.5]),
  ];
}

function complaintsOfAnswer(tool: AnyTool<unknown>, args: Arguments, answer: Rpc): string[] {
  const said = JSON.stringify(answer.result?.['content']);
  const isForeign = said.includes(foreign) && !JSON.stringify(args).includes(foreign);
  return [
    ...(said.length > mostAnswerLength
      ? [`${tool.name}: its answer has ${said.length} characters, and may have ${mostAnswerLength}`]
      : []),
    ...(isForeign && !tool.untrusted
      ? [`${tool.name}: gives back text of others, and does not say that it is untrusted`]
      : []),
  ];
}

/** Of the tools that are called with all that they may be given. */
export async function complaintsOfLargest(service: AnyService, contract: Contract): Promise<string[]> {
  await using thread = startThread(service);
  const complaints: string[] = [];
  for (const [name, args] of largestCalls(contract)) {
    const attempt = async () => {
      await using trial = await begin(contract, thread.serve);
      const complaint = await complaintOfLargest(thread, trial, name, args);
      return complaint;
    };
    // What others compute on this machine can make one turn long; one that is too long is so again.
    const complaint = (await attempt()) && (await attempt());
    if (complaint) complaints.push(`${name}: ${complaint}`);
  }
  return complaints;
}

/** The same where the caller keeps all that it may, in one trial: filling it takes seconds. */
export async function complaintsOfLargestWhenFull(
  service: AnyService,
  contract: Contract,
): Promise<string[]> {
  await using thread = startThread(service);
  await using trial = await begin(contract, thread.serve);
  const { fill } = contract;
  if (!fill) return ['it cannot be filled'];
  let code: string | undefined;
  for (let number = 0; code === undefined; number += 1) {
    const { tool, args } = fill(number);
    code = codeOf(await callTool(trial.served, tool, args));
  }
  if (code !== 'too_large') return [`it is not filled: ${code}`];
  const complaints: string[] = [];
  for (const [name, args] of largestCalls(contract)) {
    const attempt = async () => complaintOfLargest(thread, trial, name, args);
    const complaint = (await attempt()) && (await attempt());
    if (complaint) complaints.push(`${name}: ${complaint}`);
  }
  return complaints;
}

/** A token at its quota is told so, loses nothing by it, and takes nothing of others. */
export async function complaintsOfQuota(
  service: AnyService,
  { keep, beforeKeep, settings }: Contract,
): Promise<string[]> {
  if (!service.kept) return [];
  if (!keep) return ['it keeps things, and its contract does not say how'];
  using folder = temporaryFolder();
  const quota = `FLOTILLA_${service.name.toUpperCase().replaceAll('-', '_')}_QUOTA`;
  await using served = await serve(service, {
    ...settings?.(folder.path),
    [`${quota}_ITEMS`]: String(smallQuota),
    [`${quota}_MB`]: '1',
  });
  const other = await createToken(served.dataRoot, { name: 'other', scope: ['*'], expiresAt: null });
  while ((await send(served, 'tools/list', {}, { token: other })).status !== 200) await sleep(20);
  const keepOne = async (number: number, token = served.token) => {
    const { tool, args } = keep(number, token === other ? 'other' : 'own');
    return callTool(served, tool, args, { token });
  };
  for (const [name, token] of Object.entries({ own: served.token, other })) {
    const before = beforeKeep?.(name);
    if (before) await callTool(served, before.tool, before.args, { token }); // oxlint-disable-line no-await-in-loop -- two
  }
  const complaints: string[] = [];
  const first = codeOf(await keepOne(0, other));
  if (first !== undefined) complaints.push(`the first thing of a token is answered with ${first}`);
  const held = async () => heldOf(await metricsOf(served));
  const [others] = (await held()).filter(([token]) => token === 'other');
  let before = await held();
  let answer = await keepOne(1);
  for (let number = 2; codeOf(answer) === undefined && number <= mostKept; number += 1) {
    before = await held();
    answer = await keepOne(number);
  }
  const after = await held();
  const error = answer.result?.['_meta']?.['dev.flotilla/error'] as Record<string, string> | undefined;
  if (error?.['code'] !== 'too_large')
    complaints.push(`its quota is answered with ${error?.['code'] ?? 'ok'}`);
  else if (!/may keep/.test(error['message'] ?? '') || !error['hint'])
    complaints.push(`its quota is not told, or not what helps: ${error['message']}`);
  if (JSON.stringify(after) !== JSON.stringify(before))
    complaints.push('what was refused changed what is kept');
  if (!others || !after.some((one) => JSON.stringify(one) === JSON.stringify(others)))
    complaints.push('a token at its quota changed what another one keeps');
  const more = codeOf(await keepOne(mostKept + 1, other));
  if (more !== undefined) complaints.push(`another token is answered with ${more} then`);
  return complaints;
}

const smallQuota = 4;
const mostKept = 50;

/** What each token keeps, as the metrics tell. */
function heldOf(metrics: string): (readonly [token: string, kind: string, amount: string])[] {
  const all = metrics.matchAll(/^flotilla_kept_(items|bytes)\{[^}]*token="([^"]*)"[^}]*\} (\S+)/gm);
  return [...all]
    .map(([, kind = '', token = '', amount = '']) => [token, kind, amount] as const)
    .toSorted((one, other) => one.join(' ').localeCompare(other.join(' ')));
}

const largestCalls = ({ largest }: Contract) =>
  Object.entries(largest?.(foreign) ?? {}).flatMap(([name, args]) =>
    (Array.isArray(args) ? (args as readonly Arguments[]) : [args as Arguments]).map(
      (one) => [name, one] as const,
    ),
  );

/** No call may hold the loop longer, on a usual core: where all work takes longer, so may this. */
const mostHeldMs = 50;

async function complaintOfLargest(
  thread: OwnThread,
  { served }: Trial,
  tool: string,
  args: Arguments,
): Promise<string | undefined> {
  const paceBefore = await thread.pace();
  await rpc(served, 'tools/list');
  await thread.held();
  const code = codeOf(await callTool(served, tool, args));
  if (code === 'internal') return `its largest call is answered with ${code}`;
  // The loop is looked at every 20 ms.
  await rpc(served, 'tools/list');
  const all = await thread.held();
  const pace = Math.max(paceBefore, await thread.pace());
  const held = all
    .filter(({ lateMs, cpuMs }) => Math.min(lateMs, cpuMs) > mostHeldMs * pace)
    .map((one) => `${one.target} ${one.lateMs} ms (${one.cpuMs} of processor)`);
  if (held.length === 0) return undefined;
  return `holds the event loop: ${held.join(', ')}; work takes ${pace.toFixed(1)} times as long as usual`;
}

const metricsOf = async ({ url }: Served) => (await fetch(`${url}/metrics`)).text();

function textOf(answer: Rpc): string {
  const content = (answer.result?.['content'] ?? []) as readonly { readonly text?: string }[];
  return content.map(({ text = '' }) => text).join('\n');
}
