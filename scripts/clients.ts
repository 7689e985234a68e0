/** The clients that the fleet can be connected to, and what each wants to be told, in its own words. */
import type { Bridge, Server } from './front-door.ts';

/** How a client gets in. */
export interface Access {
  /** The variable that holds the token; the token itself for those who expand none. */
  readonly token: string;
  /** For a client that starts its servers itself. */
  readonly bridge: Bridge & {
    /** Where the token stands; without, where the command line finds one. */
    readonly tokenFile?: string;
  };
}

export interface ClientPrinter {
  readonly title: string;
  /** Where the text goes, and what else is to know. */
  readonly where: string;
  /**
   * The file that `--write` changes, from the user's home or, where it belongs to a project, from the current folder; `undefined` where
   * only the user knows it.
   */
  readonly file: { readonly home: string } | { readonly project: string } | undefined;
  /** How the client comes by the token: from a variable that it or the shell expands, by asking, as plain text, or from a file. */
  readonly token: 'variable' | 'asked' | 'text' | 'file';
  /** What is pasted or written. */
  readonly print: (servers: readonly Server[], access: Access) => string;
  /** In place of `print`, for a shell. */
  readonly paste?: (servers: readonly Server[], access: Access) => string;
}

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
    token: 'variable',
    print: (servers, { token }) => claudeJson(servers, token),
    paste: (servers, { token }) =>
      servers
        .flatMap((server) => [
          `claude mcp remove --scope user ${server.name} > /dev/null 2>&1`,
          `claude mcp add --transport http --scope user ${server.name} ${server.url} --header 'Authorization: Bearer \${${token}}'`,
        ])
        .join('\n'),
  },
  'claude-code-json': {
    title: 'Claude Code, a project',
    where: '.mcp.json in the project',
    file: { project: '.mcp.json' },
    token: 'variable',
    print: (servers, { token }) => claudeJson(servers, token),
  },
  'claude-desktop': {
    title: 'Claude Desktop',
    where: 'claude_desktop_config.json; it starts the bridge "flotilla stdio" itself',
    file: { home: '.config/Claude/claude_desktop_config.json' },
    token: 'file',
    print: bridged,
  },
  vscode: {
    title: 'VS Code',
    where: ".vscode/mcp.json in the project, or the user's mcp.json; VS Code asks for the token once",
    file: { project: '.vscode/mcp.json' },
    token: 'asked',
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
    token: 'variable',
    print: (servers, { token }) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          url,
          headers: { Authorization: `Bearer \${env:${token}}` },
        })),
      }),
  },
  codex: {
    title: 'Codex',
    where: '~/.codex/config.toml',
    file: { home: '.codex/config.toml' },
    token: 'variable',
    print: (servers, { token }) =>
      servers
        .map(
          (server) =>
            `[mcp_servers.${server.name}]\nurl = "${server.url}"\nbearer_token_env_var = "${token}"`,
        )
        .join('\n\n'),
  },
  gemini: {
    title: 'Gemini CLI',
    where: '~/.gemini/settings.json, or .gemini/settings.json in the project',
    file: { home: '.gemini/settings.json' },
    token: 'variable',
    print: (servers, { token }) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          httpUrl: url,
          headers: { Authorization: `Bearer $${token}` },
          timeout: 30_000,
        })),
      }),
  },
  zed: {
    title: 'Zed',
    where: 'settings.json',
    file: { home: '.config/zed/settings.json' },
    token: 'text',
    print: (servers, { token }) =>
      json({
        context_servers: byName(servers, ({ url }) => ({
          url,
          headers: { Authorization: `Bearer ${token}` },
        })),
      }),
  },
  windsurf: {
    title: 'Windsurf',
    where: '~/.codeium/windsurf/mcp_config.json',
    file: { home: '.codeium/windsurf/mcp_config.json' },
    token: 'variable',
    print: (servers, { token }) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          serverUrl: url,
          headers: { Authorization: `Bearer \${env:${token}}` },
        })),
      }),
  },
  json: {
    title: 'Any client that takes JSON',
    where: 'its settings; most have their servers under "mcpServers"',
    file: undefined,
    token: 'text',
    print: (servers, { token }) =>
      json({
        mcpServers: byName(servers, ({ url }) => ({
          type: 'http',
          url,
          headers: { Authorization: `Bearer ${token}` },
        })),
      }),
  },
  'json-stdio': {
    title: 'Any client that starts its servers itself',
    where: 'its settings; most have their servers under "mcpServers"',
    file: undefined,
    token: 'file',
    print: bridged,
  },
};

function claudeJson(servers: readonly Server[], token: string): string {
  return json({
    mcpServers: byName(servers, ({ url }) => ({
      type: 'http',
      url,
      headers: { Authorization: `Bearer \${${token}}` },
    })),
  });
}

function bridged(servers: readonly Server[], { bridge: { command, env, tokenFile } }: Access): string {
  return json({
    mcpServers: byName(servers, ({ service, tools }) => ({
      command,
      args: [
        'stdio',
        ...(service === undefined ? [] : [service]),
        ...(tools === undefined ? [] : ['--tools', tools]),
        ...(tokenFile === undefined ? [] : ['--token-file', tokenFile]),
      ],
      env,
    })),
  });
}
