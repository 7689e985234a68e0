/**
 * kept-connections.ts PORT TOKEN CLIENTS FILE: so many clients call a tool of the memory service, each over and over on a
 * connection that it keeps, with short pauses, until FILE is there. Makes FILE.many after 100 calls. Prints
 * { sent, answered, failures: { CODE: count }, connections }.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const [port = '', token = '', clients = '', file = ''] = process.argv.slice(2);
/** Some 400 calls a second by 20 clients: a restart takes half a second, and what is lost by it shows; more would only slow it. */
const longestPauseMs = 100;
const longestWaitMs = 20_000;
const call = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'list_memories', arguments: { limit: 1 } },
});

const outcome = { sent: 0, answered: 0, failures: {} as Record<string, number>, connections: 0 };

async function ask(agent: Agent): Promise<void> {
  outcome.sent += 1;
  if (outcome.sent === 101) writeFileSync(`${file}.many`, '');
  const failure = await new Promise<string | undefined>((done) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path: '/mcp',
        method: 'POST',
        agent,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
      },
      (response) => {
        response.on('end', () =>
          done(response.statusCode === 200 ? undefined : `status ${response.statusCode}`),
        );
        response.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
        response.resume();
      },
    );
    asked.on('socket', () => {
      if (!asked.reusedSocket) outcome.connections += 1;
    });
    asked.setTimeout(longestWaitMs, () => asked.destroy(new Error('no answer')));
    asked.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    asked.end(call);
  });
  if (failure === undefined) outcome.answered += 1;
  else outcome.failures[failure] = (outcome.failures[failure] ?? 0) + 1;
}

await Promise.all(
  Array.from({ length: Number(clients) }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!existsSync(file)) {
      await ask(agent);
      await sleep(Math.random() * longestPauseMs);
    }
    agent.destroy();
  }),
);
process.stdout.write(`${JSON.stringify(outcome)}\n`);
