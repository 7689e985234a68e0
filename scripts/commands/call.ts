/** `flotilla call SERVICE TOOL JSON`: a tool from a shell, through the same door as every client. */
import { text } from 'node:stream/consumers';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { catalogue, entryOf, isService } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ConfigError, exitCodes, UnavailableError, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/settings.ts';
import { version } from '#runtime/version.ts';

import { findToken, urlOf } from '../environment.ts';
import { table } from '../table.ts';

export async function call(
  service: string,
  tool: string | undefined,
  given: string,
  options: { readonly timeout: number },
  environment: Environment,
): Promise<void> {
  const args = await parseArguments(given);
  await using client = await connectTo(service, parseHostSettings(environment));
  if (tool === undefined) {
    const { tools } = await client.listTools();
    process.stdout.write(
      table(
        ['tool', 'for'],
        tools.map(({ name, description = '' }) => [name, firstSentence(description)]),
      ),
    );
    return;
  }
  const result = await client.callTool(
    { name: tool, arguments: args },
    {
      timeout: options.timeout * 1000,
      onprogress: ({ progress, total, message }) => {
        process.stderr.write(
          `${progress}${total === undefined ? '' : ` of ${total}`}${message === undefined ? '' : ` ${message}`}\n`,
        );
      },
    },
  );
  const said = result.content
    .map((block) => (block.type === 'text' ? block.text : JSON.stringify(block)))
    .join('\n');
  if (result.isError) {
    process.stderr.write(`${said}\n`);
    process.exitCode = exitCodes.failed;
  } else {
    process.stdout.write(
      `${result.structuredContent === undefined ? said : JSON.stringify(result.structuredContent, null, 2)}\n`,
    );
  }
}

function firstSentence(text: string): string {
  return /^.*?[.:](?=\s|$)/s.exec(text)?.[0] ?? text;
}

async function parseArguments(given: string): Promise<Record<string, unknown>> {
  const source = given === '-' ? await text(process.stdin) : given;
  try {
    const value: unknown = JSON.parse(source);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new UsageError(`The arguments must be a JSON object, such as '{"query":"tea"}'.`);
}

/** A client of a running service. @throws UnavailableError when nothing answers, ConfigError when the token is refused. */
export async function connectTo(service: string, host: HostSettings): Promise<Client & AsyncDisposable> {
  const entry = entryOf(service);
  if (!entry || !isService(entry)) {
    const services = catalogue.filter(isService).map(({ name }) => name);
    throw new UsageError(`There is no service ${service}. There are: ${services.join(', ')}.`);
  }
  const client = new Client({ name: 'flotilla', version }, { versionNegotiation: { mode: 'auto' } });
  const headers = { authorization: `Bearer ${findToken(host)}` };
  const transport = new StreamableHTTPClientTransport(new URL(`${urlOf(entry, host)}/mcp`), {
    requestInit: { headers },
  });
  try {
    await client.connect(transport);
  } catch (error) {
    throw (await explain(service, `${urlOf(entry, host)}/mcp`, headers)) ?? error;
  }
  return Object.assign(client, { [Symbol.asyncDispose]: async () => client.close() });
}

/** Why a client could not connect, in words that help; `undefined` when the reason is none of the usual ones. */
async function explain(
  service: string,
  url: string,
  headers: Record<string, string>,
): Promise<Error | undefined> {
  try {
    const { status } = await fetch(url, { headers });
    return status === 401
      ? new ConfigError(
          `${service} refuses the token: it is unknown, revoked or expired. See: npx flotilla token list`,
        )
      : undefined;
  } catch (cause) {
    return new UnavailableError(`${service} does not answer on ${url}. Start the fleet: npx flotilla start`, {
      cause,
    });
  }
}
