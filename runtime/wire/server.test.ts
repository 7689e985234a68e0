import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';

import { expect, test, vi } from 'vitest';

import { takeTurn } from '../turns.ts';
import { Connections } from './connections.ts';
import { defaultLimits, listen } from './server.ts';

test('those who come while a server is busy with others are let in, and get their turn', async () => {
  using connections = new Connections(defaultLimits);
  const busyMs = 5;
  const server = await listen(
    (request, response) => {
      request.resume().on('end', () => {
        takeTurn('crowd', () => {
          const endMs = performance.now() + busyMs;
          while (performance.now() < endMs);
          response.end();
        });
      });
    },
    { port: 0 },
    'test',
    defaultLimits,
    connections,
  );
  const answers = { early: 0, late: 0 };
  let over = false;
  let clients = 0;
  /** Asks again as soon as it has its answer. */
  const client = (when: keyof typeof answers, whenAnswered: () => void) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () => {
      if (over) {
        clients -= 1;
        agent.destroy();
        return;
      }
      get({ host: '127.0.0.1', port: server.port, agent }, (response) => {
        response.resume().on('end', () => {
          answers[when] += 1;
          whenAnswered();
          ask();
        });
      });
    };
    clients += 1;
    ask();
  };
  const crowd = 40;
  for (let n = 0; n < crowd; n++) client('early', () => {});
  await vi.waitFor(() => expect(answers.early).toBeGreaterThan(2 * crowd));

  const before = answers.early;
  let served = 0;
  for (let n = 0; n < crowd; n++) {
    let isFirst = true;
    client('late', () => {
      if (isFirst) served += 1;
      isFirst = false;
    });
  }
  await vi.waitFor(() => expect(served).toBe(crowd));

  // Let in at one in a turn, with all of the crowd served between: half of its square.
  expect(answers.early - before).toBeLessThan((crowd * crowd) / 4);
  over = true;
  await vi.waitFor(() => expect(clients).toBe(0));
  await server.drain(async () => {});
});

test('many who come at once are let in before the next work', async () => {
  using connections = new Connections(defaultLimits);
  const server = await listen(
    (_request, response) => response.end(),
    { port: 0 },
    'test',
    defaultLimits,
    connections,
  );
  let left = 400;
  for (let work = left; work > 0; work -= 1) {
    takeTurn('crowd', () => {
      for (const endMs = performance.now() + 3; performance.now() < endMs;);
      left -= 1;
    });
  }
  const before = left;
  const sockets = Array.from({ length: 100 }, () => connect(server.port, '127.0.0.1').on('error', () => {}));
  await vi.waitFor(() => expect(connections.count).toBe(sockets.length), { timeout: 30_000, interval: 1 });
  const done = before - left;

  for (const socket of sockets) socket.destroy();
  await vi.waitFor(() => expect(left).toBe(0), { timeout: 30_000 });
  await server.drain(async () => {});
  // Let in one after each, a hundred would have been done.
  expect(done).toBeLessThan(50);
});
