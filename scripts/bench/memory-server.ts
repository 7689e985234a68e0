/** The memory service as the fleet runs it, with a data folder and a port of its own. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { firstTokenFile } from '#runtime/access/tokens.ts';

import { freePortOffset } from '../ports.ts';
import { serveCommand } from '../serve-command.ts';
import { serverCpu, ServerChild } from './child.ts';
import { ask, toolCall } from './requests.ts';

export interface MemoryServer {
  readonly server: ServerChild;
  readonly url: string;
  readonly token: string;
  /** What finds it: its data folder and port. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Whoever starts it ends it: `await using` its `server`. */
export async function startMemory(folder: string): Promise<MemoryServer> {
  mkdirSync(folder, { recursive: true });
  const settings = { FLOTILLA_DATA: folder, FLOTILLA_PORT_OFFSET: String(await freePortOffset()) };
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    new ServerChild(serveCommand('memory'), {
      settings,
      cpu: serverCpu,
      logFile: join(folder, 'memory.log'),
    }),
  );
  const url = await server.listening();
  const token = readFileSync(firstTokenFile(folder), 'utf8').trim();
  stack.move();
  return { server, url, token, settings };
}

const subjects = [
  'The staging database',
  'Our gateway',
  'The invoice run',
  'A customer in Lisbon',
  'The old cluster',
];
const events = [
  'moved to another port',
  'was slow on Monday',
  'needs a new certificate',
  'asked for an export',
];

/** A short text; the same number gives the same one. */
export function noteOf(number: number): string {
  return `${subjects[number % subjects.length]} ${events[number % events.length]}, note ${number}.`;
}

const perCall = 100;

export async function fillMemory({ url, token }: MemoryServer, memories: number): Promise<void> {
  for (let first = 0; first < memories; first += perCall) {
    const messages = Array.from({ length: Math.min(perCall, memories - first) }, (_, index) => ({
      role: 'user',
      content: noteOf(first + index),
    }));
    const { result } = await ask(url, toolCall(token, 'add_memory', { messages }));
    if (result?.['isError'] === true) throw new Error(JSON.stringify(result));
  }
}

/** Questions of which each finds something. */
export const searches = [
  { query: 'which port has the staging database', limit: 5 },
  { query: 'certificate of the gateway', limit: 5 },
  { query: 'Lisbon export', limit: 5 },
  { query: 'what was slow on Monday', limit: 5 },
] as const;
