/** The gateway answers as the service behind it does, whatever comes; and nobody gets what another asked for. */
import { Agent } from 'node:http';

import { expect, test } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import { serveBehind } from './support/fronted.ts';
import {
  comparable,
  deliver,
  generate,
  randomFrom,
  service,
  type Answer,
  type Sent,
} from './support/hostile-requests.ts';
import { callTool, rpc } from './support/rpc.ts';
import type { Served } from './support/serve.ts';
import { isWhole } from './support/trials.ts';

const requests = isWhole ? 100_000 : 2_000;
const clients = 16;
const seed = Number(process.env['SEED'] ?? 20_261_129);

/** What the gateway says of itself is its own; of these requests only the status is compared. */
const isOfItself = ({ body }: Sent) => /"method":"(?:tools\/list|server\/discover|ping)"/.test(body);

test(`${requests} generated requests get the same answer through the gateway as beside it`, async () => {
  await using fronted = await serveBehind([service], { surroundings: { writeLog: () => {} } });
  const { gateway } = fronted;
  const direct = fronted.direct['hot'] as Served;
  const random = randomFrom(seed);
  const statuses = new Map<number, number>();
  const agents = [gateway, direct].map(() => new Agent({ keepAlive: true, maxSockets: clients }));
  // It has been seen: what is asked before is answered later.
  await rpc(gateway, 'tools/list');
  let left = requests;

  const client = async () => {
    while (left > 0) {
      left -= 1;
      const sent = generate(random, gateway.token);
      const [through, beside] = (await Promise.all(
        [gateway, direct].map(async (served, index) => deliver(served, agents[index] as Agent, sent)),
      )) as [Answer, Answer];
      const shown = isOfItself(sent) ? ({ status }: Answer) => status : comparable;
      expect(shown(through), `seed ${seed}: ${JSON.stringify(sent)}`).toEqual(shown(beside));
      expect(through.status, JSON.stringify(sent)).toBeLessThan(500);
      statuses.set(through.status, (statuses.get(through.status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  for (const agent of agents) agent.destroy();

  expect(statuses.get(200)).toBeGreaterThan(requests / 4);
  expect(statuses.get(400)).toBeGreaterThan(requests / 50);
});

test('two clients side by side get their own answers, each of its own words', async () => {
  await using fronted = await serveBehind([service], { surroundings: { writeLog: () => {} } });
  const { gateway } = fronted;
  const other = await createToken(gateway.dataRoot, { name: 'other', scope: ['*'], expiresAt: null });
  await rpc(gateway, 'tools/list', {}, { token: other });

  const ask = async (token: string, nonce: string) => {
    const era = nonce.length % 2 === 0 ? 'modern' : 'legacy';
    const { result, id } = await callTool(gateway, 'echo', { text: nonce }, { token, id: nonce, era });
    expect([result?.['structuredContent'], id]).toEqual([{ text: nonce }, nonce]);
  };
  for (let round = 0; round < 10; round += 1) {
    const asked = Array.from({ length: 50 }, async (_, at) =>
      ask(at % 2 === 0 ? gateway.token : other, `${at % 2 === 0 ? 'a' : 'bb'}${round}-${at}`),
    );
    // oxlint-disable-next-line no-await-in-loop -- one round after the other
    await Promise.all(asked);
  }
});
