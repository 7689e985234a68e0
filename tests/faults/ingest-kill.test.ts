/** Steps of reasoning that were acknowledged, in batches and one by one, are stored once, whenever the process is killed. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { openToRead } from '#runtime/database.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { callTool } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';
import { startProcess } from './service-process.ts';
import type { Target } from './writers.ts';
import { isWhole } from '../support/trials.ts';

const trials = isWhole ? 50 : 2;
const batchSenders = 3;
const singleSenders = 3;
const stepsPerBatch = 1_000;

/** What a sender sends: its texts are in no other. */
interface Sending {
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly texts: readonly string[];
  isAcknowledged: boolean;
}

async function startChain(target: Target): Promise<string> {
  const { result } = await callTool(target, 'start_chain', { model: 'trial' });
  return String(result?.['structuredContent'].chain_id);
}

async function send(target: Target, sending: Sending): Promise<void> {
  const { result } = await callTool(target, sending.tool, sending.args);
  const answer = result?.['structuredContent'] as Record<string, unknown> | undefined;
  if (result?.['isError'] || answer?.['durable'] !== true) throw new Error(JSON.stringify(result));
  const { accepted = 1, duplicates = 0 } = answer as { accepted?: number; duplicates?: number };
  expect(accepted + duplicates).toBe(sending.texts.length);
  sending.isAcknowledged = true;
}

/** Sends until the process is gone, and notes in `sent` what it sends. */
async function ingest(target: Target, name: string, chain_id: string, sent: Sending[]): Promise<void> {
  for (let count = 1; ; count += 1) {
    const isBatch = name.startsWith('batch');
    const texts = Array.from({ length: isBatch ? stepsPerBatch : 1 }, (_, at) => `${name} ${count} ${at}`);
    const sending: Sending = isBatch
      ? {
          tool: 'capture_batch',
          args: {
            batch_id: `${name} ${count}`,
            chain_id,
            steps: texts.map((content) => ({ type: 'analysis', content })),
          },
          texts,
          isAcknowledged: false,
        }
      : {
          tool: 'capture_reasoning_step',
          args: { chain_id, seq: count, content: texts[0] },
          texts,
          isAcknowledged: false,
        };
    sent.push(sending);
    try {
      await send(target, sending);
    } catch {
      return;
    }
  }
}

/** How often each text is stored. */
function storedIn(dataRoot: string): ReadonlyMap<string, number> {
  using database = openToRead(join(dataRoot, 'reasoning-capture', 'reasoning.db'));
  const rows = database.prepare<[], string>('SELECT content FROM step').pluck().all();
  const counts = new Map<string, number>();
  for (const text of rows) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

test(
  `${trials} times kill -9 during ingest: what was acknowledged is stored once, and what is sent again is not stored twice`,
  { timeout: 60_000 + trials * 20_000 },
  async () => {
    using folder = temporaryFolder();
    const dataRoot = join(folder.path, 'data');
    const portOffset = await freePortOffset();
    let [acknowledged, unanswered, wrong] = [0, 0, 0];
    for (let trial = 1; trial <= trials; trial += 1) {
      const all: Sending[] = [];
      {
        await using running = await startProcess('reasoning-capture', { dataRoot, portOffset });
        const names = [
          ...Array.from({ length: batchSenders }, (_, at) => `batch ${trial} ${at}`),
          ...Array.from({ length: singleSenders }, (_, at) => `single ${trial} ${at}`),
        ];
        const chains = await Promise.all(names.map(async () => startChain(running.target)));
        const senders = names.map(async (name, at) => ingest(running.target, name, chains[at] ?? '', all));
        await vi.waitFor(
          () => expect(all.filter(({ isAcknowledged }) => isAcknowledged).length).toBeGreaterThan(10),
          { timeout: 60_000, interval: 20 },
        );
        await sleep(Math.random() * 350);
        await running.kill();
        await Promise.all(senders);
      }
      const before = storedIn(dataRoot);
      for (const { texts, isAcknowledged } of all) {
        // All of a batch or nothing; never twice.
        const counts = new Set(texts.map((text) => before.get(text) ?? 0));
        const [count = 0] = counts;
        if (counts.size !== 1 || count > 1 || (isAcknowledged && count !== 1)) wrong += 1;
      }
      {
        await using again = await startProcess('reasoning-capture', { dataRoot, portOffset });
        for (const sending of all) {
          if (sending.isAcknowledged) acknowledged += sending.texts.length;
          else unanswered += 1;
        }
        // As clients do that heard no answer; and one that did not trust it.
        const repeated = [...all.filter(({ isAcknowledged }) => !isAcknowledged), ...all.slice(0, 1)];
        for (const sending of repeated) await send(again.target, sending);
        expect(await again.stop()).toBe(0);
      }
      const after = storedIn(dataRoot);
      for (const { texts } of all) if (texts.some((text) => after.get(text) !== 1)) wrong += 1;
      expect(wrong, `trial ${trial}`).toBe(0);
    }
    process.stdout.write(
      `reasoning-capture: ${trials} kills, ${acknowledged} steps acknowledged, ${unanswered} calls without an answer sent again, ${wrong} lost or stored twice\n`,
    );
  },
);
