/** `flotilla connect CLIENT`: the configuration that a client wants, in its own words; or written where the client reads it. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { catalogue, isService } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { absentProcesses, tokenPlace, urlOf } from '../environment.ts';
import { didYouMean } from '../nearest.ts';
import { ownCommand } from '../own-command.ts';

export interface Server {
  /** What the client calls it. */
  readonly name: string;
  readonly url: string;
}

export interface ClientPrinter {
  readonly title: string;
  /** Where the text goes, and what else is to know. */
  readonly where: string;
  /** The file that `--write` changes, from the user's home or, where it belongs to a project, from the current folder. */
  readonly file: { readonly home: string } | { readonly project: string };
  /** Whether the text names a variable that the client or the shell expands; the token itself goes into the file otherwise. */
  readonly expands: boolean;
  /** What is pasted or written. */
  print(servers: readonly Server[], variable: string): string;
  /** In place of `print`, for a shell. */
  paste?(servers: readonly Server[], variable: string): string;
}

/** What the printed configurations name; a written one has a token, and so a variable, of its own. */
const variable = 'FLOTILLA_TOKEN';

/** A word for a shell that holds whatever stands in it. */
export const shellWord = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

function byName<Entry>(servers: readonly Server[], entry: (server: Server) => Entry): Record<string, Entry> {
  return Object.fromEntries(servers.map((server) => [server.name, entry(server)]));
}

/** Facts about the clients: docs/decisions/0005-client-configurations.md. */
export const clients: Readonly<Record<string, ClientPrinter>> = {
  'claude-code': {
    title: 'Claude Code',
    where: 'for every project of yours; for one project alone there is "connect claude-code-json"',
    file: { home: '.claude.json' },
    expands: true,
    print: (servers, name) => claudeJson(servers, name),
    paste: (servers, name) =>
      servers
        .flatMap((server) => [
          `claude mcp remove --scope user ${server.name} > /dev/null 2>&1`,
          `claude mcp add --transport http --scope user ${server.name} ${server.url} --header 'Authorization: Bearer \${${name}}'`,
        ])
        .join('\n'),
  },
  'claude-code-json': {
    title: 'Claude Code, a project',
    where: '.mcp.json in the project',
    file: { project: '.mcp.json' },
    expands: true,
    print: (servers, name) => claudeJson(servers, name),
  },
  vscode: {
    title: 'VS Code',
    where: ".vscode/mcp.json in the project, or the user's mcp.json; VS Code asks for the token once",
    file: { project: '.vscode/mcp.json' },
    expands: true,
    print: (servers) =>
      json({
        servers: byName(servers, ({ url }) => ({
          type: 'http',
          url,
          headers: { Authorization: 'Bearer ${input:flotilla}' },
        })),
        inputs: [{ id: 'flotilla', type: 'promptString', description: 'Flotilla token', password: true }],
      }),
  },
  cursor: {
    title: 'Cursor',
    where: '~/.cursor/mcp.json, or .cursor/mcp.json in the project',
    file: { home: '.cursor/mcp.json' },
    expands: true,
    print: (servers, name) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          url,
          headers: { Authorization: `Bearer \${env:${name}}` },
        })),
      }),
  },
  codex: {
    title: 'Codex',
    where: '~/.codex/config.toml',
    file: { home: '.codex/config.toml' },
    expands: true,
    print: (servers, name) =>
      servers
        .map(
          (server) => `[mcp_servers.${server.name}]\nurl = "${server.url}"\nbearer_token_env_var = "${name}"`,
        )
        .join('\n\n'),
  },
  gemini: {
    title: 'Gemini CLI',
    where: '~/.gemini/settings.json, or .gemini/settings.json in the project',
    file: { home: '.gemini/settings.json' },
    expands: true,
    print: (servers, name) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          httpUrl: url,
          headers: { Authorization: `Bearer $${name}` },
          timeout: 30_000,
        })),
      }),
  },
  zed: {
    title: 'Zed',
    where: 'settings.json; Zed expands no variables: put the token in place of FLOTILLA_TOKEN',
    file: { home: '.config/zed/settings.json' },
    expands: false,
    print: (servers, name) =>
      json({
        context_servers: byName(servers, ({ url }) => ({
          url,
          headers: { Authorization: `Bearer ${name}` },
        })),
      }),
  },
  windsurf: {
    title: 'Windsurf',
    where: '~/.codeium/windsurf/mcp_config.json',
    file: { home: '.codeium/windsurf/mcp_config.json' },
    expands: true,
    print: (servers, name) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          serverUrl: url,
          headers: { Authorization: `Bearer \${env:${name}}` },
        })),
      }),
  },
};

function claudeJson(servers: readonly Server[], name: string): string {
  return json({
    mcpServers: byName(servers, ({ url }) => ({
      type: 'http',
      url,
      headers: { Authorization: `Bearer \${${name}}` },
    })),
  });
}

/** One entry for each service that was started, named so that it stands out among others. */
export function serversOf(host: HostSettings, absent: readonly string[] = []): readonly Server[] {
  return catalogue
    .filter((entry) => isService(entry) && !absent.includes(entry.name))
    .map((entry) => ({ name: `flotilla-${entry.name}`, url: `${urlOf(entry, host)}/mcp` }));
}

export async function connect(
  client: string | undefined,
  options: { readonly write?: boolean; readonly file?: string },
  environment: Environment,
): Promise<void> {
  const known = Object.keys(clients);
  if (client === undefined) throw new UsageError(`Name a client: ${known.join(', ')}.`);
  const printer = clients[client];
  if (!printer) {
    throw new UsageError(
      `There is no ${client}.${didYouMean(client, known)} There are: ${known.join(', ')}.`,
    );
  }
  const host = parseHostSettings(environment);
  const servers = serversOf(host, await absentProcesses(host));
  if (options.write) {
    const { home, project } = { home: undefined, project: undefined, ...printer.file };
    const file = resolve(options.file ?? (home === undefined ? (project ?? '') : join(homedir(), home)));
    const { writeConnection } = await import('../client-config.ts');
    await writeConnection({ client, printer, file, servers }, host);
    return;
  }
  const place = tokenPlace(host);
  const text = printer.paste?.(servers, variable) ?? printer.print(servers, variable);
  say(`# ${printer.title}: ${printer.where}`);
  if (!printer.expands || !text.includes(variable)) {
    const when = printer.expands ? ', when it is asked for' : '';
    say(`# The token${when}: ${place ? `cat ${shellWord(place)}` : `the value of ${variable}`}`);
  } else if (place) {
    const exportLine = `export ${variable}="$(cat ${shellWord(place)})"`;
    // What is pasted into a shell works at once; the line for good is for the client's later starts.
    if (printer.paste) process.stdout.write(`${exportLine}\n`);
    else say(`# First: ${exportLine}`);
    say(`# For every shell to come: echo ${shellWord(exportLine)} >> ~/.profile`);
  }
  say(
    `# Or let it be written, with a token of its own, and tried: ${ownCommand()} connect ${client} --write`,
  );
  process.stdout.write(`${text}\n`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
