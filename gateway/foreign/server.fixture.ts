/**
 * A foreign server of the older era over stdio, which does whatever a file says: what real ones do when they go wrong. The
 * file is read anew with each request; when its lists change, the client is told.
 */
import { spawn } from 'node:child_process';
import { readFileSync, watchFile } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Behaviour {
  readonly tools?: readonly object[];
  readonly prompts?: readonly object[];
  readonly resources?: readonly object[];
  readonly instructions?: string;
  /** A page leads to the next one for ever, or to itself. */
  readonly pages?: 'endless' | 'circle';
  /** Asked for the newer era, it ends, or says nothing. */
  readonly discover?: 'ends' | 'silent';
  /** Calls are not answered, nor anything else from then on. */
  readonly calls?: 'hang' | 'huge' | 'die' | 'error' | 'ask';
  /** A call is answered with this, be it an answer or not. */
  readonly answer?: object;
  /** Starts a child that outlives it, and stays when it is told to end. */
  readonly hasChild?: boolean;
  readonly ignoresEnd?: boolean;
}

const file = process.argv[2] ?? '';
const behaviour = () => JSON.parse(readFileSync(file, 'utf8')) as Behaviour;
const say = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);

let isStuck = false;
/** The call in which it asked back. */
let asking: number | undefined;
const subscribed = new Set<string>();
process.stdout.write('Welcome to the fixture, which talks where it should not.\n');
process.stderr.write(`started with ${process.env['FIXTURE_KEY'] ?? 'no key'}\n`);
const { hasChild, ignoresEnd } = behaviour();
if (hasChild) {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  process.stderr.write(`child ${child.pid}\n`);
}
if (ignoresEnd) {
  process.on('SIGTERM', () => {});
  setInterval(() => {}, 1_000);
}
watchFile(file, { interval: 50, persistent: false }, () => {
  for (const uri of subscribed) say({ method: 'notifications/resources/updated', params: { uri } });
  for (const list of ['tools', 'prompts', 'resources']) say({ method: `notifications/${list}/list_changed` });
});

createInterface({ input: process.stdin }).on('line', (line) => {
  const {
    id,
    method,
    params = {},
  } = JSON.parse(line) as {
    readonly id?: number;
    readonly method: string;
    readonly params?: Readonly<Record<string, unknown>>;
  };
  if (asking !== undefined && String(id) === 'question') {
    say({ id: asking, result: { content: [{ type: 'text', text: line }] } });
    asking = undefined;
    return;
  }
  if (id === undefined || isStuck) return;
  const now = behaviour();
  const answer = (result: object) => say({ id, result });
  const list = (key: 'tools' | 'prompts' | 'resources') => {
    const page = Number(params['cursor'] ?? 0);
    const next = { endless: String(page + 1), circle: '1' };
    const items = page === 0 ? (now[key] ?? []) : [];
    answer({ [key]: items, ...(now.pages && { nextCursor: next[now.pages] }) });
  };
  if (method === 'server/discover') {
    if (now.discover === 'ends') process.exit(3);
    if (now.discover !== 'silent') say({ id, error: { code: -32_601, message: 'Method not found' } });
  } else if (method === 'initialize') {
    const listChanged = { listChanged: true };
    answer({
      protocolVersion: '2025-06-18',
      capabilities: {
        tools: listChanged,
        prompts: listChanged,
        resources: { ...listChanged, subscribe: true },
      },
      serverInfo: { name: 'fixture', version: '1' },
      ...(now.instructions !== undefined && { instructions: now.instructions }),
    });
  } else if (method === 'tools/list') list('tools');
  else if (method === 'prompts/list') list('prompts');
  else if (method === 'resources/list') list('resources');
  else if (method === 'prompts/get') answer({ messages: [], description: String(params['name']) });
  else if (method === 'tools/call') {
    if (now.answer) say({ id, ...now.answer });
    else if (now.calls === 'hang') isStuck = true;
    else if (now.calls === 'ask') {
      asking = id;
      const requestedSchema = { type: 'object', properties: {} };
      say({ id: 'question', method: 'elicitation/create', params: { message: 'Who?', requestedSchema } });
    } else if (now.calls === 'die') process.exit(7);
    else if (now.calls === 'huge') process.stdout.write('x'.repeat(20 * 1024 * 1024));
    else if (now.calls === 'error')
      say({ id, error: { code: -32_050, message: 'key sk-very-secret', data: 5 } });
    else
      answer({
        content: [
          { type: 'text', text: JSON.stringify(params), _meta: { 'flotilla/x': 1, 'com.example/y': 2 } },
        ],
        _meta: { 'dev.flotilla/outcome': 'ok', 'io.modelcontextprotocol/serverInfo': {}, 'com.example/z': 3 },
      });
  } else if (method === 'resources/subscribe') {
    subscribed.add(String(params['uri']));
    answer({});
  } else if (method === 'ping') answer({});
  else say({ id, error: { code: -32_601, message: 'Method not found' } });
});
