/** The short way and the long way give the same answers: requests that are valid, slightly wrong or hostile, sent both ways. */
import { Agent } from 'node:http';

import { expect, test } from 'vitest';

import {
  comparable,
  deliver,
  generate,
  randomFrom,
  service,
  type Answer,
} from './support/hostile-requests.ts';
import { serve, type Served } from './support/serve.ts';
import { isWhole } from './support/trials.ts';

const requests = isWhole ? 100_000 : 4_000;
const clients = 16;

async function counted(served: Served): Promise<Record<string, number>> {
  const text = await (await fetch(`${served.url}/metrics`)).text();
  const lines = text.matchAll(/flotilla_plain_calls_total\{way="(\w+)"[^}]*\} (\d+)/g);
  return Object.fromEntries([...lines].map(([, way = '', count]) => [way, Number(count)]));
}

test(`${requests} generated requests get the same answer on the short way and on the long one`, async () => {
  await using short = await serve(service, { FLOTILLA_LOG_LEVEL: 'error' }, 0, { writeLog: () => {} });
  await using long = await serve(service, {}, 0, { hotPath: false, writeLog: () => {} });
  const random = randomFrom(Number(process.env['SEED'] ?? 20_261_120));
  const statuses = new Map<number, number>();
  const agents = [short, long].map(() => new Agent({ keepAlive: true, maxSockets: clients }));
  let left = requests;

  const client = async () => {
    while (left > 0) {
      left -= 1;
      const sent = generate(random, 'TOKEN');
      const [a, b] = await Promise.all(
        [short, long].map(async (served, index) => {
          const headers = Object.fromEntries(
            Object.entries(sent.headers).map(([name, value]) => [name, value.replace('TOKEN', served.token)]),
          );
          return deliver(served, agents[index] as Agent, { ...sent, headers });
        }),
      );
      expect(comparable(a as Answer), JSON.stringify(sent)).toEqual(comparable(b as Answer));
      statuses.set(a?.status ?? 0, (statuses.get(a?.status ?? 0) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  for (const agent of agents) agent.destroy();

  const ways = await counted(short);
  expect(ways['short']).toBeGreaterThan(requests / 3);
  expect(ways['long']).toBeGreaterThan(requests / 10);
  expect(await counted(long)).toEqual({ short: 0, long: 0 });
  for (const status of [200, 400, 401, 403, 404, 405, 415])
    expect(statuses.get(status) ?? 0, String(status)).toBeGreaterThan(0);
});
