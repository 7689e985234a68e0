/**
 * What a step may do: what the agent's own scope allows, and no more than whoever wants it could do without the agent. Otherwise a token
 * that may write in the orchestrator alone could run code through an agent.
 */
import { allProcesses } from '#config/catalogue.ts';
import { mayUse } from '#runtime/access/choice.ts';
import { allowedEffect } from '#runtime/access/scope.ts';
import type { TokenRecord } from '#runtime/access/tokens.ts';
import { effects } from '#runtime/tool.ts';

import { TaskFailure } from './failure.ts';
import { CallFailure, type Gateway, type ToolInfo } from './gateway.ts';
import { knownToolMs } from './limits.ts';
import { wordsOf } from './steps.ts';

/** Who calls tools for others. */
export interface Deputy {
  readonly agent: string;
  readonly gateway: Gateway;
  readonly tokens: () => readonly TokenRecord[];
  readonly now: () => number;
}

/** What a step may be, beside what may be called at all. @throws TaskFailure that says what is missing, and who could give it. */
export async function requireStep(
  tool: string,
  wantedBy: string,
  deputy: Deputy,
  signal: AbortSignal,
): Promise<ToolInfo> {
  const { service, effect } = await knownTool(tool, deputy, signal);
  if (service === 'orchestrator' && effect !== 'read')
    throw forbidden(
      `Steps may read the orchestrator, and not change it: ${tool} is no step. Make tasks beside this one, with depends_on.`,
    );
  // Some agents may call tools that could, for the working trees of tasks.
  if (effect === 'destroy')
    throw forbidden(
      `${tool} may destroy something, and no step does. Let a person do it, or another worker.`,
    );
  if (tool === makesSession)
    throw forbidden(
      `A session of Python that a step makes is the agent's, and so open to all whose steps it does; and no step closes it. Run code without one, and hand on values by references.`,
    );
  return requireMay(tool, wantedBy, deputy, signal);
}

const makesSession = 'create_python_session';

/** @throws TaskFailure that says what is missing, and who could give it. */
export async function requireMay(
  tool: string,
  wantedBy: string,
  deputy: Deputy,
  signal: AbortSignal,
): Promise<ToolInfo> {
  const info = await knownTool(tool, deputy, signal);
  const { service, effect } = info;
  const tokens = deputy.tokens();
  const nowMs = deputy.now();
  const token = tokens.find(({ name }) => name === wantedBy);
  if (!token || (token.expiresAt !== null && Date.parse(token.expiresAt) <= nowMs))
    throw forbidden(
      `The token ${wantedBy}, for which ${tool} would be called, is gone or expired. Make the task again with one that is good.`,
    );
  if (allProcesses.some(({ name }) => name === wantedBy))
    throw forbidden(
      `${wantedBy} is a process of the fleet, and agents call nothing for those. Make the task with a token of a person or client.`,
    );
  const allowed = allowedEffect(token.scope, service);
  if (!allowed || effects.indexOf(allowed) < effects.indexOf(effect))
    throw forbidden(
      `The token ${wantedBy}, for which ${tool} would be called, lacks the scope ${service}:${effect}. Make the task with a token that has it.`,
    );
  // Which tools are core is not told here, so a token with that choice is refused.
  if (!mayUse(token, { service, names: [tool], isCore: false }))
    throw forbidden(
      `The token ${wantedBy}, for which ${tool} would be called, has a choice of tools that does not name it. Make the task with a token that does.`,
    );
  const asksAPerson = token.confirm === 'writes' ? effect !== 'read' : effect === 'destroy';
  if ((token.confirm ?? 'off') !== 'off' && asksAPerson)
    throw forbidden(
      `A person has to agree to what the token ${wantedBy} changes, and nobody can be asked about ${tool} here. Make the task with another token.`,
    );
  return info;
}

/** What tools are, by their names; asked for again after a while, as services come and go. */
const knownTools = new WeakMap<Gateway, Map<string, { readonly info: ToolInfo; readonly atMs: number }>>();

async function knownTool(
  name: string,
  { agent, gateway, now }: Deputy,
  signal: AbortSignal,
): Promise<ToolInfo> {
  const known = knownTools.getOrInsertComputed(gateway, () => new Map());
  const found = known.get(name);
  if (found && now() - found.atMs < knownToolMs) return found.info;
  try {
    const info = await gateway.tool(name, signal);
    known.set(name, { info, atMs: now() });
    return info;
  } catch (error) {
    if (error instanceof CallFailure) throw notForAgent(agent, name, error);
    throw error;
  }
}

const forbidden = (words: string) => new TaskFailure('forbidden', `${words} Nothing was done.`);

/** A tool that is not there for this agent: why, and which agent has it. */
function notForAgent(agent: string, tool: string, error: CallFailure): TaskFailure {
  if (error.code !== 'not_found')
    return new TaskFailure(error.code, `${tool}: ${wordsOf(error)}`, { retryable: error.isPassing });
  const [, service, effect] = /needs the scope ([a-z-]+):(\w+)/.exec(error.hint ?? '') ?? [];
  if (service === undefined)
    return new TaskFailure(
      'unknown_tool',
      `There is no tool "${tool.slice(0, 100)}" here. See that its name is right, and that its service runs: flotilla status. Nothing was done.`,
    );
  const others = allProcesses
    .filter(({ tier, asks }) => tier === 'agent' && reaches(asks ?? [], service, effect ?? 'destroy'))
    .map(({ name }) => name.replace('agent-', ''));
  const remedy =
    others.length > 0
      ? `Give the task to ${others.join(' or ')} by "requires", or leave the step out.`
      : 'No agent has it: give the task to a worker of your own, or leave the step out.';
  return new TaskFailure(
    'forbidden',
    `${agent} may not call ${tool}: it lacks the scope ${service}:${effect}. ${remedy} Nothing was done.`,
  );
}

function reaches(scope: readonly string[], service: string, effect: string): boolean {
  const allowed = allowedEffect(scope, service);
  return allowed !== undefined && effects.indexOf(allowed) >= effects.findIndex((one) => one === effect);
}
