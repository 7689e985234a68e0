import { expect, test } from 'vitest';

import { clientFiles, serversIn, upstreamName } from './client-files.ts';

const surroundings = {
  home: '/home/u',
  environment: { GITHUB_TOKEN: 'set', HOME: '/home/u' },
  isOurs: (url: string) => url.includes('127.0.0.1:43'),
};

/** What a client has, and what comes of it. */
const cases: Record<string, [string, string, unknown]> = {
  'claude-code': [
    '/home/u/.claude.json',
    `{
      "numStartups": 5,
      "mcpServers": {
        "GitHub": { "type": "http", "url": "https://api.example/mcp", "headers": { "Authorization": "Bearer \${GITHUB_TOKEN}" } },
        "notes": { "type": "stdio", "command": "npx", "args": ["-y", "notes", "--dir", "\${NOTES_DIR:-/srv/notes}"], "env": { "NOTES_KEY": "abc", "LITERAL": "\${" } }
      },
      "projects": { "/srv/a": { "mcpServers": { "mine": { "command": "./server.js" }, "notes": { "command": "other" } } } }
    }`,
    [
      {
        name: 'github',
        entry: { url: 'https://api.example/mcp', headers: { Authorization: 'Bearer ${GITHUB_TOKEN}' } },
        secrets: {},
        notes: [],
      },
      {
        name: 'notes',
        entry: {
          command: 'npx',
          args: ['-y', 'notes', '--dir', '/srv/notes'],
          env: { NOTES_KEY: '${NOTES_NOTES_KEY}', LITERAL: '$${' },
        },
        secrets: { NOTES_NOTES_KEY: 'abc' },
        notes: [],
      },
      { name: 'mine', entry: { command: '/home/u/server.js' }, secrets: {}, notes: [] },
      { name: 'notes', reason: 'another one is called notes, too' },
    ],
  ],
  'claude-desktop': [
    '/home/u/.config/Claude/claude_desktop_config.json',
    `{ "mcpServers": { "files": { "command": "npx", "args": ["-y", "files", "/home/u/Documents"] }, "none": {}, "odd": { "command": "x", "env": { "A B": "1" } } } }`,
    [
      {
        name: 'files',
        entry: { command: 'npx', args: ['-y', 'files', '/home/u/Documents'] },
        secrets: {},
        notes: [],
      },
      { name: 'none', reason: 'it has neither a command nor an address' },
      { name: 'odd', reason: expect.stringContaining('upstreams.odd.env') },
    ],
  ],
  vscode: [
    '/srv/p/.vscode/mcp.json',
    `{ // comments are usual here
      "servers": {
        "web": { "type": "sse", "url": "https://web.example/sse", "headers": { "X-Key": "\${input:web-key}" } },
        "local": { "type": "stdio", "command": "node", "args": ["\${workspaceFolder}/x.js"], "envFile": ".env", "cwd": "sub" },
      },
      "inputs": [{ "id": "web-key", "type": "promptString" }]
    }`,
    [
      {
        name: 'web',
        entry: { url: 'https://web.example/sse', type: 'sse', headers: { 'X-Key': '${web_key}' } },
        secrets: {},
        notes: ['web_key has to be given a value'],
      },
      {
        name: 'local',
        entry: { command: 'node', args: ['/srv/p/x.js'], cwd: '/srv/p/sub' },
        secrets: {},
        notes: ['"envFile" is not taken over: put its variables into "env"'],
      },
    ],
  ],
  cursor: [
    '/home/u/.cursor/mcp.json',
    `{ "mcpServers": {
      "api": { "url": "https://api.example/mcp?api_key=s3cretvalue", "headers": { "X-Team": "blue", "Authorization": "Bearer \${env:GITHUB_TOKEN}" } },
      "off": { "command": "x", "args": ["--api-key", "k-1", "--token=t-2", "sk-abcdefghijklmnopqrstuvwx"], "disabled": true },
      "flotilla-memory": { "url": "http://127.0.0.1:4321/mcp" }
    } }`,
    [
      {
        name: 'api',
        entry: {
          url: 'https://api.example/mcp?api_key=${API_API_KEY}',
          headers: { 'X-Team': 'blue', Authorization: 'Bearer ${GITHUB_TOKEN}' },
        },
        secrets: { API_API_KEY: 's3cretvalue' },
        notes: [],
      },
      {
        name: 'off',
        entry: {
          command: 'x',
          args: ['--api-key', '${OFF_API_KEY}', '--token=${OFF_TOKEN}', '${OFF_ARG_3}'],
          enabled: false,
        },
        secrets: { OFF_API_KEY: 'k-1', OFF_TOKEN: 't-2', OFF_ARG_3: 'sk-abcdefghijklmnopqrstuvwx' },
        notes: [],
      },
      { name: 'flotilla-memory', reason: 'it is of this fleet' },
    ],
  ],
  codex: [
    '/home/u/.codex/config.toml',
    `model = "x"
[mcp_servers.docs]
url = "https://docs.example/mcp"
bearer_token_env_var = "DOCS_TOKEN"
tool_timeout_sec = 90
http_headers = { "X-Client" = "codex" }
env_http_headers = { "X-Auth" = "DOCS_AUTH" }
[mcp_servers.local]
command = "node"
args = ["x.ts"]
env = { A = "1" }
env_vars = ["B"]
`,
    [
      {
        name: 'docs',
        entry: {
          url: 'https://docs.example/mcp',
          headers: { 'X-Client': 'codex', 'X-Auth': '${DOCS_AUTH}', Authorization: 'Bearer ${DOCS_TOKEN}' },
          timeoutMs: 90_000,
        },
        secrets: {},
        notes: [],
      },
      {
        name: 'local',
        entry: { command: 'node', args: ['x.ts'], env: { A: '1', B: '${B}' } },
        secrets: {},
        notes: [],
      },
    ],
  ],
  gemini: [
    '/home/u/.gemini/settings.json',
    `{ "mcpServers": {
      "new": { "httpUrl": "https://n.example/mcp", "timeout": 30000, "headers": { "Authorization": "Bearer literal-value" } },
      "old": { "url": "https://o.example/sse" },
      "run": { "command": "x", "env": { "K": "$GITHUB_TOKEN" } }
    } }`,
    [
      {
        name: 'new',
        entry: {
          url: 'https://n.example/mcp',
          headers: { Authorization: '${NEW_AUTHORIZATION}' },
          timeoutMs: 30_000,
        },
        secrets: { NEW_AUTHORIZATION: 'Bearer literal-value' },
        notes: [],
      },
      { name: 'old', entry: { url: 'https://o.example/sse', type: 'sse' }, secrets: {}, notes: [] },
      { name: 'run', entry: { command: 'x', env: { K: '${GITHUB_TOKEN}' } }, secrets: {}, notes: [] },
    ],
  ],
  zed: [
    '/home/u/.config/zed/settings.json',
    `{ "theme": "One", "context_servers": {
      "older": { "command": { "path": "node", "args": ["a.js"], "env": { "X": "y" } }, "settings": {} },
      "newer": { "source": "custom", "command": "~/bin/server", "args": [] }
    } }`,
    [
      { name: 'older', entry: { command: 'node', args: ['a.js'], env: { X: 'y' } }, secrets: {}, notes: [] },
      { name: 'newer', entry: { command: '/home/u/bin/server' }, secrets: {}, notes: [] },
    ],
  ],
  windsurf: [
    '/home/u/.codeium/windsurf/mcp_config.json',
    `{ "mcpServers": { "far": { "serverUrl": "https://f.example/mcp", "headers": { "Authorization": "Bearer \${env:FAR_KEY}" } } } }`,
    [
      {
        name: 'far',
        entry: { url: 'https://f.example/mcp', headers: { Authorization: 'Bearer ${FAR_KEY}' } },
        secrets: {},
        notes: ['FAR_KEY has to be given a value'],
      },
    ],
  ],
};

test('every client that is known has its case', () => {
  expect(Object.keys(cases).toSorted()).toEqual(Object.keys(clientFiles).toSorted());
});

test.each(Object.entries(cases))('the servers of %s are taken over', (client, [file, text, expected]) => {
  const shape = clientFiles[client];
  if (!shape) throw new Error(`no ${client}`);

  const found = serversIn(shape, file, text, surroundings);

  expect(found).toEqual(expected);
});

test.each([
  ['cursor', 'a.json', '{"mcpServers": {', /a\.json, line 1: .*Mend it there/],
  ['cursor', 'a.json', '{"mcpServers": []}', /"mcpServers" is no object/],
  ['codex', 'a.toml', '[mcp_servers', /a\.toml is no TOML/],
])('settings of %s that cannot be read are refused', (client, file, text, message) => {
  expect(() => serversIn(clientFiles[client]!, file, text, surroundings)).toThrow(message); // oxlint-disable-line typescript/no-non-null-assertion -- the table names them
});

test.each([
  ['GitHub Copilot!', 'github-copilot'],
  ['@scope/name', 'scope-name'],
  ['7zip', 'zip'],
  ['Memory', 'other-memory'],
  ['日本', 'server'],
  ['x'.repeat(40), 'x'.repeat(31)],
])('%s is called %s', (given, name) => {
  expect(upstreamName(given)).toBe(name);
});
