/** `flotilla call SERVICE TOOL ...`: a tool from a shell, through the same door as every client. */
import { text } from 'node:stream/consumers';

import { exitCodes, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import type { Schema } from '#runtime/wire/plain-schema.ts';

import { connectTo } from '../client.ts';
import { didYouMean } from '../nearest.ts';
import { ownCommand } from '../own-command.ts';
import { table } from '../table.ts';
import { describeArguments, parseFlags } from '../tool-arguments.ts';

type Client = Awaited<ReturnType<typeof connectTo>>;
type Tool = Awaited<ReturnType<Client['listTools']>>['tools'][number];

/** `words` is what follows the service: a tool, its arguments as JSON or flags, and `--help`. */
export async function call(
  service: string,
  words: readonly string[],
  options: { readonly timeout: number },
  environment: Environment,
): Promise<void> {
  const asksHelp = words.some((word) => word === '--help' || word === '-h');
  const [name, ...given] = words.filter((word) => word !== '--help' && word !== '-h');
  const json = await jsonArguments(given);
  const timeoutMs = options.timeout * 1000;
  await using client = await connectTo(service, parseHostSettings(environment), timeoutMs);
  const { tools } = await client.listTools();
  if (name === undefined) {
    const rows = tools.map((one) => [one.name, firstSentence(one.description ?? '')]);
    process.stdout.write(table(['tool', 'for'], rows));
    process.stdout.write(`\n${ownCommand()} call ${service} TOOL --help explains one.\n`);
    return;
  }
  const tool = tools.find((one) => one.name === name);
  if (asksHelp) {
    help(service, tool ?? unknown(service, name, tools));
    return;
  }
  const args = json ?? parseFlags(given, (tool ?? unknown(service, name, tools)).inputSchema as Schema);
  const result = await answerOf(client, { name, arguments: args }, timeoutMs);
  const said = result.content
    .map((block) => (block.type === 'text' ? block.text : JSON.stringify(block)))
    .join('\n');
  if (!result.isError) {
    const { structuredContent } = result;
    process.stdout.write(
      `${structuredContent === undefined ? said : JSON.stringify(structuredContent, null, 2)}\n`,
    );
    return;
  }
  const names = tools.map((one) => one.name);
  const hint = tool
    ? `\nIts arguments: ${ownCommand()} call ${service} ${name} --help`
    : `.${didYouMean(name, names)}`;
  process.stderr.write(`${said}${hint}\n`);
  process.exitCode = exitCodes.failed;
}

async function answerOf(
  client: Client,
  request: { name: string; arguments: Record<string, unknown> },
  timeoutMs: number,
) {
  try {
    return await client.callTool(request, {
      timeout: timeoutMs,
      onprogress: ({ progress, total, message }) => {
        process.stderr.write(
          `${progress}${total === undefined ? '' : ` of ${total}`}${message === undefined ? '' : ` ${message}`}\n`,
        );
      },
    });
  } catch (error) {
    // The protocol's own refusals, such as of a tool that is none, are said to whoever called.
    if (!(error instanceof Error) || !('code' in error)) throw error;
    const content = [{ type: 'text' as const, text: error.message }];
    return { isError: true, content, structuredContent: undefined };
  }
}

function unknown(service: string, name: string, tools: readonly Tool[]): never {
  const names = tools.map((tool) => tool.name);
  throw new UsageError(
    `${service} has no tool ${name} for this token.${didYouMean(name, names)} All of them: ${ownCommand()} call ${service}`,
  );
}

function help(service: string, { name, description = '', inputSchema }: Tool): void {
  const rows = describeArguments(inputSchema as Schema);
  process.stdout.write(`${name}: ${description}\n\n`);
  process.stdout.write(
    rows.length === 0 ? 'It takes no arguments.\n' : table(['argument', 'type', '', 'for'], rows),
  );
  process.stdout.write(
    `\n${ownCommand()} call ${service} ${name} --NAME VALUE ..., or '{"NAME":VALUE}', or - to read JSON from standard input.\n`,
  );
}

function firstSentence(description: string): string {
  return /^.*?\.(?=\s|$)/s.exec(description)?.[0] ?? description;
}

/** `undefined` where arguments come as flags. @throws UsageError for what is neither. */
async function jsonArguments(given: readonly string[]): Promise<Record<string, unknown> | undefined> {
  const [first, ...more] = given;
  if (first === undefined || first.startsWith('--')) return undefined;
  const source = first === '-' ? await text(process.stdin) : first;
  try {
    const value: unknown = JSON.parse(source);
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && more.length === 0)
      return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new UsageError(
    `The arguments must be a JSON object, such as '{"query":"tea"}', or flags, such as --query tea.`,
  );
}
