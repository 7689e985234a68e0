/**
 * A program beside the trial of health, so that neither side measures the other: `times SECONDS PORT...` asks `/health` of the ports in turn and
 * says how long each took; `calls SECONDS PAUSE_MS TOKEN PORT TOOL ARGUMENTS...` calls tools, two clients of each, and says how often; `bare` is a server that does nothing.
 */
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { callTool } from '../support/rpc.ts';

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** On a connection of its own, as a probe comes. */
async function timed(port: number): Promise<number> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/health', agent: false }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAtMs);
        else reject(new Error(`/health answers ${response.statusCode}`));
      });
    }).on('error', reject);
  });
}

async function times(seconds: number, ports: readonly number[]): Promise<void> {
  const taken = ports.map((): number[] => []);
  const pending = new Set<Promise<void>>();
  const endMs = performance.now() + seconds * 1_000;
  for (let turn = 0; performance.now() < endMs; turn++) {
    const index = turn % ports.length;
    const one = timed(ports[index] ?? 0)
      .then((ms) => void taken[index]?.push(ms))
      .finally(() => pending.delete(one));
    pending.add(one);
    // oxlint-disable-next-line no-await-in-loop -- some two hundred a second
    await sleep(5);
  }
  await Promise.all(pending);
  say(taken);
}

async function calls(
  seconds: number,
  pauseMs: number,
  token: string,
  rest: readonly string[],
): Promise<void> {
  const endMs = performance.now() + seconds * 1_000;
  let count = 0;
  const client = async (port: string, tool: string, args: string) => {
    while (performance.now() < endMs) {
      // oxlint-disable-next-line no-await-in-loop -- one client
      await callTool(
        { url: `http://127.0.0.1:${port}`, token },
        tool,
        JSON.parse(args) as object as Record<string, unknown>,
      );
      count += 1;
      // oxlint-disable-next-line no-await-in-loop -- likewise
      if (pauseMs > 0) await sleep(pauseMs);
    }
  };
  const clients: Promise<void>[] = [];
  for (let at = 0; at + 2 < rest.length; at += 3) {
    const [port = '', tool = '', args = ''] = rest.slice(at);
    clients.push(client(port, tool, args), client(port, tool, args));
  }
  await Promise.all(clients);
  say(count);
}

function bare(): void {
  const server = createServer((_request, response) => response.end('{}'));
  server.listen(0, '127.0.0.1', () => say((server.address() as AddressInfo).port));
  process.on('disconnect', () => process.exit());
}

const [what, seconds = '', ...rest] = process.argv.slice(2);
if (what === 'bare') bare();
else if (what === 'times') await times(Number(seconds), rest.map(Number));
else await calls(Number(seconds), Number(rest[0]), rest[1] ?? '', rest.slice(2));
