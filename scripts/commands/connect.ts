/** `flotilla connect CLIENT`: the configuration that a client wants, in its own words. */
import { resolve } from 'node:path';

import { catalogue, isService } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import { firstTokenFile } from '#runtime/access/tokens.ts';

import { urlOf } from '../environment.ts';

interface Server {
  /** What the client calls it. */
  readonly name: string;
  readonly url: string;
}

interface ClientPrinter {
  readonly title: string;
  /** Where the text goes, and what else is to know. */
  readonly where: string;
  print(servers: readonly Server[]): string;
}

const variable = 'FLOTILLA_TOKEN';

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
    where:
      'Run these once; or put the JSON of "flotilla connect claude-code-json" into .mcp.json of a project.',
    print: (servers) =>
      servers
        .map(
          ({ name, url }) =>
            `claude mcp add --transport http --scope user ${name} ${url} --header "Authorization: Bearer $${variable}"`,
        )
        .join('\n'),
  },
  'claude-code-json': {
    title: 'Claude Code, a project',
    where: '.mcp.json in the project',
    print: (servers) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          type: 'http',
          url,
          headers: { Authorization: `Bearer \${${variable}}` },
        })),
      }),
  },
  vscode: {
    title: 'VS Code',
    where: ".vscode/mcp.json in the project, or the user's mcp.json; VS Code asks for the token once",
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
    print: (servers) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          url,
          headers: { Authorization: `Bearer \${env:${variable}}` },
        })),
      }),
  },
  codex: {
    title: 'Codex',
    where: '~/.codex/config.toml',
    print: (servers) =>
      servers
        .map(({ name, url }) => `[mcp_servers.${name}]\nurl = "${url}"\nbearer_token_env_var = "${variable}"`)
        .join('\n\n'),
  },
  gemini: {
    title: 'Gemini CLI',
    where: '~/.gemini/settings.json, or .gemini/settings.json in the project',
    print: (servers) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          httpUrl: url,
          headers: { Authorization: `Bearer $${variable}` },
          timeout: 30_000,
        })),
      }),
  },
  zed: {
    title: 'Zed',
    where: 'settings.json; Zed expands no variables: put the token in place of FLOTILLA_TOKEN',
    print: (servers) =>
      json({
        context_servers: byName(servers, ({ url }) => ({
          url,
          headers: { Authorization: `Bearer ${variable}` },
        })),
      }),
  },
  windsurf: {
    title: 'Windsurf',
    where: '~/.codeium/windsurf/mcp_config.json',
    print: (servers) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          serverUrl: url,
          headers: { Authorization: `Bearer \${env:${variable}}` },
        })),
      }),
  },
};

/** One entry for each service, named so that it stands out among others. */
export function serversOf(host: HostSettings): readonly Server[] {
  return catalogue
    .filter(isService)
    .map((entry) => ({ name: `flotilla-${entry.name}`, url: `${urlOf(entry, host)}/mcp` }));
}

export function connect(client: string | undefined, environment: Environment): void {
  const printer = client === undefined ? undefined : clients[client];
  if (!printer) {
    const known = Object.keys(clients).join(', ');
    throw new UsageError(
      client === undefined ? `Name a client: ${known}.` : `There is no ${client}. There are: ${known}.`,
    );
  }
  const host = parseHostSettings(environment);
  const text = printer.print(serversOf(host));
  // A client that asks for the token itself gets it pasted; the others read it from the environment they start in.
  const secret = `$(cat ${firstTokenFile(resolve(host.FLOTILLA_DATA))})`;
  if (text.includes(variable)) process.stderr.write(`# First: export ${variable}="${secret}"\n`);
  else
    process.stderr.write(
      `# The token, when it is asked for: cat ${firstTokenFile(resolve(host.FLOTILLA_DATA))}\n`,
    );
  process.stderr.write(`# ${printer.title}: ${printer.where}\n`);
  process.stdout.write(`${text}\n`);
}
