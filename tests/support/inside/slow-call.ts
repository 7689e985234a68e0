/**
 * slow-call.ts PORT TOKEN FILE: a tool call that is under way when FILE is there, and whose last byte comes when its process
 * takes no new connections any more. Prints what came of it.
 */
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const [port = '', token = '', file = ''] = process.argv.slice(2);
/** The process lets calls finish for 10 s. */
const patienceMs = 30_000;
const call = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'read_graph', arguments: {} },
});

async function pid(): Promise<number | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(500),
    });
    return ((await response.json()) as { pid: number }).pid;
  } catch {
    return undefined;
  }
}

const before = await pid();
const asked = request({
  host: '127.0.0.1',
  port,
  path: '/mcp',
  method: 'POST',
  agent: false,
  headers: {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'content-length': Buffer.byteLength(call),
  },
});
const outcome = new Promise<string>((done) => {
  asked.on('response', (response) => {
    let answer = '';
    response.on('data', (chunk: Buffer) => (answer += chunk.toString('utf8')));
    response.on('end', () => done(answer.includes('"structuredContent"') ? 'answered' : answer));
  });
  asked.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
});
asked.write(call.slice(0, -1));
await pid(); // by now the process has read what came before
writeFileSync(file, '');
const endMs = Date.now() + patienceMs;
while (Date.now() < endMs && (await pid()) === before) await sleep(20);
asked.end(call.slice(-1));
process.stdout.write(`${await outcome}\n`);
