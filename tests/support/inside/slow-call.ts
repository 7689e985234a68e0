/** slow-call.ts PORT TOKEN MS: a tool call whose last byte comes after so many ms. Prints what came of it, and whether its process was stopping then. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const [port = '', token = '', ms = ''] = process.argv.slice(2);
const call = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'read_graph', arguments: {} },
});

const before = (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as { pid: number };
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
await sleep(Number(ms));
const after = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(50) }).then(
  async (response) => (await response.json()) as { pid: number },
  () => undefined,
);
asked.end(call.slice(-1));
process.stdout.write(
  `${JSON.stringify({ outcome: await outcome, wasStopping: after?.pid !== before.pid })}\n`,
);
