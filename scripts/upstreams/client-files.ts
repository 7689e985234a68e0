/** The servers that a client of this user has, from its settings, as entries of `upstreams.json`. */
import { dirname, isAbsolute, join, resolve } from 'node:path';

import { parse as parseToml } from 'smol-toml';

import { entryOf } from '#config/catalogue.ts';
import { ConfigError } from '#runtime/errors.ts';

import { parseUpstreams, type UpstreamEntry } from '../../gateway/foreign/upstreams-file.ts';
import { commentedJson } from '../client-settings.ts';
import { withoutSecrets, type Secrets } from './secrets.ts';

export interface ClientFile {
  readonly title: string;
  /** From the user's home, or from the current folder. */
  readonly places: readonly { readonly home?: string; readonly project?: string }[];
  /** What the servers stand under. */
  readonly key: string;
  /** Each project has such a part of its own, too. */
  readonly hasProjects?: true;
  /** How it writes variables. */
  readonly variables: RegExp;
}

const braces = /\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g;
const withEnv = /\$\{(?:env|input):([\w.-]+)\}/g;
const bare = /\$\{?([A-Za-z_]\w*)\}?/g;
const none = /(?!)/g;

export const clientFiles: Readonly<Record<string, ClientFile>> = {
  'claude-code': {
    title: 'Claude Code',
    places: [{ home: '.claude.json' }, { project: '.mcp.json' }],
    key: 'mcpServers',
    hasProjects: true,
    variables: braces,
  },
  'claude-desktop': {
    title: 'Claude Desktop',
    places: [
      { home: '.config/Claude/claude_desktop_config.json' },
      { home: 'Library/Application Support/Claude/claude_desktop_config.json' },
    ],
    key: 'mcpServers',
    variables: none,
  },
  vscode: {
    title: 'VS Code',
    places: [{ project: '.vscode/mcp.json' }, { home: '.config/Code/User/mcp.json' }],
    key: 'servers',
    variables: withEnv,
  },
  cursor: {
    title: 'Cursor',
    places: [{ home: '.cursor/mcp.json' }, { project: '.cursor/mcp.json' }],
    key: 'mcpServers',
    variables: withEnv,
  },
  codex: {
    title: 'Codex',
    places: [{ home: '.codex/config.toml' }, { project: '.codex/config.toml' }],
    key: 'mcp_servers',
    variables: none,
  },
  gemini: {
    title: 'Gemini CLI',
    places: [{ home: '.gemini/settings.json' }, { project: '.gemini/settings.json' }],
    key: 'mcpServers',
    variables: bare,
  },
  zed: {
    title: 'Zed',
    places: [{ home: '.config/zed/settings.json' }, { project: '.zed/settings.json' }],
    key: 'context_servers',
    variables: none,
  },
  windsurf: {
    title: 'Windsurf',
    places: [{ home: '.codeium/windsurf/mcp_config.json' }],
    key: 'mcpServers',
    variables: withEnv,
  },
};

export interface Found {
  readonly name: string;
  readonly entry: UpstreamEntry;
  /** Values that go into a file of their own. */
  readonly secrets: Secrets;
  /** What the operator should know. */
  readonly notes: readonly string[];
}

export interface Skipped {
  readonly name: string;
  readonly reason: string;
}

export interface Surroundings {
  readonly home: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Addresses of this fleet, which is not mounted into itself. */
  readonly isOurs: (url: string) => boolean;
}

/** @throws ConfigError for a file that cannot be read as settings. */
export function serversIn(
  client: ClientFile,
  file: string,
  text: string,
  surroundings: Surroundings,
): readonly (Found | Skipped)[] {
  const settings = settingsIn(file, text);
  const { key } = client;
  const projects =
    client.hasProjects && isObject(settings) && isObject(settings['projects']) ? settings['projects'] : {};
  const parts = [settings, ...Object.values(projects)].flatMap((part) =>
    isObject(part) && part[key] !== undefined ? [part[key]] : [],
  );
  if (!parts.every(isObject)) throw new ConfigError(`${file}: "${key}" is no object. Mend it there.`);
  const taken = new Map<string, string>();
  return parts.flatMap(Object.entries).flatMap(([given, raw]): (Found | Skipped)[] => {
    const name = upstreamName(given);
    const [before, now] = [taken.get(name), JSON.stringify(raw)];
    if (before === now) return [];
    if (before !== undefined) return [{ name: given, reason: `another one is called ${name}, too` }];
    taken.set(name, now);
    if (!isObject(raw)) return [{ name: given, reason: 'it is no object' }];
    try {
      const one = found(name, raw, { client, file, surroundings });
      parseUpstreams(JSON.stringify({ upstreams: { [name]: one.entry } }), file);
      return [one];
    } catch (error) {
      if (error instanceof ConfigError) return [{ name: given, reason: error.message }];
      throw error;
    }
  });
}

function settingsIn(file: string, text: string): unknown {
  if (file.endsWith('.toml')) {
    try {
      return parseToml(text);
    } catch (error) {
      throw new ConfigError(`${file} is no TOML: ${(error as Error).message.split('\n')[0]}`, {
        cause: error,
      });
    }
  }
  return commentedJson(text, file);
}

/** As `upstreams.json` takes it: names of the fleet are the fleet's. */
export function upstreamName(given: string): string {
  const name = given
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '');
  const short = name.slice(0, 31).replace(/-$/, '') || 'server';
  return entryOf(short) ? `other-${short}` : short;
}

type Raw = Readonly<Record<string, unknown>>;
type From = { readonly client: ClientFile; readonly file: string; readonly surroundings: Surroundings };

function found(name: string, raw: Raw, from: From): Found {
  const { surroundings, file, client } = from;
  const notes: string[] = [];
  const text = (value: string) => translated(value, from, notes);
  const texts = (value: unknown) =>
    Object.fromEntries(
      Object.entries(isObject(value) ? value : {}).map(([key, one]) => [key, text(String(one))]),
    );
  const url = [raw['httpUrl'], raw['serverUrl'], raw['url']].find((one) => typeof one === 'string');
  const isOff = raw['disabled'] === true || raw['enabled'] === false;
  const more = { ...(isOff && { enabled: false }), ...timeoutOf(raw) };

  if (url !== undefined) {
    if (surroundings.isOurs(url)) throw new ConfigError('it is of this fleet');
    // Gemini CLI speaks the older way to "url"; elsewhere the type says so.
    const isOlder =
      raw['type'] === 'sse' || (client === clientFiles['gemini'] && raw['httpUrl'] === undefined);
    const variable = raw['bearer_token_env_var'];
    const named = isObject(raw['env_http_headers']) ? raw['env_http_headers'] : {};
    const headers = {
      ...texts(raw['headers'] ?? raw['http_headers']),
      ...Object.fromEntries(Object.entries(named).map(([key, one]) => [key, `\${${String(one)}}`])),
      ...(typeof variable === 'string' && { Authorization: `Bearer \${${variable}}` }),
    };
    if (raw['headersHelper'] !== undefined)
      notes.push('"headersHelper" is not taken over: name its headers yourself');
    if (raw['oauth'] !== undefined || raw['auth'] !== undefined)
      notes.push('it signs in with OAuth, which the gateway does not: give it a token in "headers"');
    const entry = {
      url: text(url),
      ...(isOlder && { type: 'sse' as const }),
      ...(Object.keys(headers).length > 0 && { headers }),
      ...more,
    };
    return { name, notes, ...withoutSecrets(name, entry) };
  }

  // An older form of Zed has the command as an object.
  const nested = isObject(raw['command']) ? raw['command'] : undefined;
  const command = nested ? nested['path'] : raw['command'];
  if (typeof command !== 'string') throw new ConfigError('it has neither a command nor an address');
  if (raw['envFile'] !== undefined) notes.push('"envFile" is not taken over: put its variables into "env"');
  const args = ((nested ?? raw)['args'] ?? []) as unknown;
  const folder = dirname(file).replace(/\/\.(?:vscode|cursor|codex|gemini|zed)$/, '');
  const env = texts((nested ?? raw)['env']);
  for (const variable of listOf(raw['env_vars'])) env[variable] = `\${${variable}}`;
  const program = text(command);
  const cwd = typeof raw['cwd'] === 'string' ? text(raw['cwd']) : undefined;
  const entry = {
    command: program.includes('/') && !isAbsolute(program) ? resolve(cwd ?? folder, program) : program,
    ...(listOf(args).length > 0 && { args: listOf(args).map(text) }),
    ...(Object.keys(env).length > 0 && { env }),
    ...(cwd !== undefined && { cwd: resolve(folder, cwd) }),
    ...more,
  };
  return { name, notes, ...withoutSecrets(name, entry) };
}

/** Variables as we write them; those of the client's own, such as its open folder, have no meaning here. */
function translated(value: string, { client, surroundings, file }: From, notes: string[]): string {
  const { home, environment } = surroundings;
  const own = value
    .replaceAll('${userHome}', home)
    .replaceAll(/^~(?=\/|$)/g, home)
    .replaceAll('${workspaceFolder}', dirname(dirname(file)));
  // Ours are written back at the end: what else looks like one is meant as it stands.
  const kept: string[] = [];
  const held = own.replaceAll(client.variables, (_whole, name: string, ...[more]: unknown[]) => {
    const variable = name.replaceAll(/[.-]/g, '_');
    if (environment[variable] === undefined) {
      // What stands in its place otherwise, where the client has such a form.
      if (typeof more === 'string') return more;
      notes.push(`${variable} has to be given a value`);
    }
    kept.push(`\${${variable}}`);
    return `\0${kept.length - 1}\0`;
  });
  return held
    .replaceAll('${', () => '$${')
    .replaceAll(/\0(\d+)\0/g, (_whole, index: string) => kept[Number(index)] ?? '');
}

function timeoutOf(raw: Raw): { readonly timeoutMs?: number } {
  const seconds = raw['tool_timeout_sec'];
  const ms = typeof seconds === 'number' ? seconds * 1_000 : raw['timeout'];
  return typeof ms === 'number' && ms >= 1_000 && ms <= 3_600_000 ? { timeoutMs: Math.round(ms) } : {};
}

const isObject = (value: unknown): value is Raw =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** Where the files of a client may lie. */
export const placesOf = ({ places }: ClientFile, home: string, project: string): readonly string[] =>
  places.map((place) =>
    place.home === undefined ? join(project, place.project ?? '') : join(home, place.home),
  );
