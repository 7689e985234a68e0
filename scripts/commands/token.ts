/** `flotilla token`: works on the list of tokens itself, so that it needs no running fleet. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { UsageError } from '#runtime/errors.ts';
import { openDataRoot } from '#runtime/data/data-folder.ts';
import { parseChoice } from '#runtime/access/choice.ts';
import { confirms, type Confirm } from '#runtime/access/confirm.ts';
import { parseScope } from '#runtime/access/scope.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import { parseRate } from '#runtime/access/rate.ts';
import { createToken, readTokens, resultTokens, revokeToken } from '#runtime/access/tokens.ts';

import { readUpstreams, upstreamsName } from '../../gateway/foreign/upstreams-file.ts';
import { requireData } from '../reach.ts';
import { table } from '../table.ts';

export async function create(
  name: string,
  options: {
    readonly allow: string;
    readonly expires?: string;
    readonly tools?: string;
    readonly rate?: string;
    readonly resultTokens?: string;
    readonly confirm?: string;
  },
  environment: Environment,
): Promise<void> {
  const root = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  // A grant may name a server of others, which only who may reach the data folder sees.
  if (existsSync(root)) requireData(root);
  const upstreams = readUpstreams(join(root, upstreamsName)).map((upstream) => upstream.name);
  const scope = parseScope(options.allow, upstreams);
  const expiresAt = options.expires === undefined ? null : parseExpiry(options.expires, Date.now());
  const tools = options.tools === undefined ? undefined : parseChoice(options.tools);
  const { rate } = options;
  if (rate !== undefined) parseRate(rate);
  const mostTokens = options.resultTokens === undefined ? undefined : parseTokens(options.resultTokens);
  const confirm = options.confirm === undefined ? undefined : parseConfirm(options.confirm);
  const dataRoot = openDataRoot(parseHostSettings(environment));
  requireData(dataRoot);
  const secret = await createToken(dataRoot, {
    name,
    scope,
    expiresAt,
    tools,
    rate,
    resultTokens: mostTokens,
    confirm,
  });
  process.stdout.write(`${secret}\n`);
  const until = expiresAt ? `until ${expiresAt.toISOString()}` : 'until it is revoked';
  const limits = [
    ...(tools ? [`tools: ${tools.join(', ')}`] : []),
    ...(rate ? [`${rate} through the gateway`] : []),
    ...(mostTokens === undefined
      ? []
      : [`${mostTokens === 0 ? 'any number of' : mostTokens} tokens in an answer`]),
    ...(confirm ? [`a person agrees to: ${confirm}`] : []),
  ].map((limit) => `; ${limit}`);
  process.stderr.write(`This is shown once. Scope: ${scope.join(', ')}${limits.join('')}; good ${until}.\n`);
}

export function list(environment: Environment): void {
  const tokens = readTokens(existingDataRoot(environment));
  const rows = tokens.map(
    ({ name, scope, tools, rate, resultTokens: most, confirm, createdAt, expiresAt }) => [
      name,
      scope.join(','),
      tools?.join(',') ?? 'all',
      createdAt.slice(0, 10),
      expiresAt === null
        ? 'never'
        : `${expiresAt.slice(0, 16)}Z${Date.parse(expiresAt) < Date.now() ? ' (expired)' : ''}`,
      rate ?? '',
      most === undefined ? '' : String(most),
      confirm ?? '',
    ],
  );
  process.stdout.write(
    rows.length === 0
      ? 'There are no tokens yet.\n'
      : table(['name', 'scope', 'tools', 'created', 'expires', 'rate', 'result tokens', 'confirm'], rows),
  );
}

export async function revoke(name: string, environment: Environment): Promise<void> {
  await revokeToken(existingDataRoot(environment), name);
  process.stdout.write(`${name} is revoked: every process refuses it within a second.\n`);
}

function existingDataRoot(environment: Environment): string {
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  requireData(dataRoot);
  return dataRoot;
}

function parseTokens(text: string): number {
  const tokens = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN;
  const { least, most } = resultTokens;
  if (tokens === 0 || (tokens >= least && tokens <= most)) return tokens;
  throw new UsageError(
    `"${text}" is no size of an answer: write tokens from ${least} to ${most}, or 0 for any.`,
  );
}

function parseConfirm(text: string): Confirm {
  const confirm = confirms.find((one) => one === text);
  if (confirm) return confirm;
  throw new UsageError(`"${text}" does not say what a person agrees to: write ${confirms.join(', ')}.`);
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `30d`, `12h`, `45m` from now, or a date. @throws UsageError for anything else, and for what has passed. */
export function parseExpiry(text: string, nowMs: number): Date {
  const relative = /^(\d{1,6})([mhd])$/.exec(text);
  const atMs = relative
    ? nowMs + Number(relative[1]) * unitMs[relative[2] as keyof typeof unitMs]
    : Date.parse(text);
  if (Number.isNaN(atMs))
    throw new UsageError(`"${text}" is no time: write a date such as 2027-01-31, or 45m, 12h, 30d from now.`);
  if (atMs <= nowMs) throw new UsageError(`"${text}" has passed already.`);
  return new Date(atMs);
}
