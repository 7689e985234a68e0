import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';

import capture from '../services/reasoning-capture/service.ts';
import thinking from '../services/sequential-thinking/service.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { callTool, codeOf, rpc } from '../tests/support/rpc.ts';
import type { Served } from '../tests/support/serve.ts';
import { chainOf, stepOf } from './thoughts.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field
type Answer = Readonly<Record<string, any>>;

let fronted: Fronted;
let gateway: Served;
beforeAll(async () => {
  fronted = await serveBehind([thinking, capture]);
  ({ gateway } = fronted);
});
afterAll(async () => fronted[Symbol.asyncDispose]());

async function tokenOf(name: string, ...scope: string[]): Promise<string> {
  const token = await createToken(gateway.dataRoot, { name, scope, expiresAt: null });
  await vi.waitFor(async () =>
    expect((await rpc(gateway, 'tools/list', {}, { token })).result).toBeDefined(),
  );
  return token;
}

/** @returns the session. */
async function think(token: string, thought: string, number: number, more: object = {}): Promise<string> {
  const args = { thought, thoughtNumber: number, totalThoughts: 9, nextThoughtNeeded: true, ...more };
  const answer = await callTool(gateway, 'sequentialthinking', args, { token });
  expect(codeOf(answer)).toBeUndefined();
  return answer.result?.['structuredContent'].session_id as string;
}

async function chain(session: string, token: string): Promise<Answer> {
  const served = fronted.direct['reasoning-capture'] as Served;
  const args = { chain_id: chainOf(session), limit: 500 };
  const { result } = await callTool(served, 'get_reasoning_chain', args, { token });
  return result?.['structuredContent'] as Answer;
}

const soon = { timeout: 30_000, interval: 200 };
const hasSteps = async (session: string, token: string, count: number) =>
  vi.waitFor(async () => expect((await chain(session, token))['steps']).toHaveLength(count), soon);

const observed = async (): Promise<Answer> =>
  ((await (await fetch(`${gateway.url}/health`)).json()) as Answer)['observed'].thoughts as Answer;

test('a thought as a step says whose word it is, and where it comes from', () => {
  const thought = {
    position: 4,
    thoughtNumber: 3,
    totalThoughts: 5,
    nextThoughtNeeded: true,
    isRevision: true,
    thought: 'No.',
    at: '2026-11-29T12:00:00.000Z',
  };

  expect(stepOf(thought)).toEqual({
    seq: 4,
    type: 'reflection',
    content: 'No.',
    ts: '2026-11-29T12:00:00.000Z',
    provenance: 'self_report',
    attrs: {
      source: 'sequential-thinking',
      thoughtNumber: 3,
      totalThoughts: 5,
      nextThoughtNeeded: true,
      isRevision: true,
    },
  });
});

test('thoughts become a chain of their token, whole and in order, each once, across restarts', async () => {
  const token = await tokenOf('thinker', 'sequential-thinking', 'reasoning-capture');
  const long = 'Långt. '.repeat(9_000);
  const session = await think(token, 'First.', 1);
  await think(token, long, 2, { session_id: session });
  await think(token, 'No: third.', 3, { session_id: session, isRevision: true, revisesThought: 1 });
  await hasSteps(session, token, 3);

  const { steps, chain: about = {} } = await chain(session, token);
  expect(steps).toMatchObject([
    { seq: 1, type: 'analysis', provenance: 'self_report', content: 'First.' },
    { seq: 2, type: 'analysis' },
    { seq: 3, type: 'reflection', attrs: { source: 'sequential-thinking', revisesThought: 1 } },
  ]);
  expect(JSON.stringify(about)).toContain(session);
  const served = fronted.direct['reasoning-capture'] as Served;
  const exported = await callTool(
    served,
    'export_reasoning',
    { chain_id: chainOf(session), format: 'jsonl' },
    { token },
  );
  expect(JSON.stringify(exported.result)).toContain(long.slice(-2_000));

  // What is thought while the keeper is away, and after which the gateway goes, comes later.
  const restarted = fronted.restart('reasoning-capture');
  await think(token, 'Fourth.', 4, { session_id: session });
  await restarted;
  await fronted.restart('gateway');
  await hasSteps(session, token, 4);

  // Without its cursor it begins anew, and nothing comes twice.
  rmSync(join(gateway.dataRoot, 'gateway', 'thoughts.json'));
  await fronted.restart('gateway');
  await think(token, 'Fifth.', 5, { session_id: session });
  await hasSteps(session, token, 5);
  await vi.waitFor(async () => expect(await observed()).toMatchObject({ behind: 0 }), soon);
  expect(await observed()).toMatchObject({ copied: 1, refused: 0 });

  // A chain that was taken away stays so, and holds up no other.
  const deleted = await fetch(`${served.url}/admin/delete`, {
    method: 'POST',
    headers: { authorization: `Bearer ${served.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ owner: 'thinker', chain_id: chainOf(session), reason: 'test' }),
  });
  expect(deleted.status).toBe(200);
  rmSync(join(gateway.dataRoot, 'gateway', 'thoughts.json'));
  await fronted.restart('gateway');
  const next = await think(token, 'Another.', 1);
  await hasSteps(next, token, 1);
  expect((await chain(session, token))['steps']).toEqual([]);
  expect(await observed()).toMatchObject({ refused: 1 });
});

test('a token that may not write there keeps its thoughts to itself, and holds nobody up', async () => {
  const narrow = await tokenOf('narrow', 'sequential-thinking', 'reasoning-capture:read');
  const wide = await tokenOf('wide', 'sequential-thinking', 'reasoning-capture');
  const before = await observed();
  const own = await think(narrow, 'Mine.', 1);
  const other = await think(wide, 'Ours.', 1);
  await hasSteps(other, wide, 1);
  await vi.waitFor(async () => expect(await observed()).toMatchObject({ behind: 0 }), soon);

  expect(await chain(own, narrow)).toBeUndefined();
  expect((await observed())['refused']).toBe(before['refused']);
});
