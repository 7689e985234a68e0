import { maxPageBytes } from '#runtime/page.ts';
import type { Workload } from '#runtime/workload.ts';

const chains = 20;
const stepsPerChain = 500;

const words = ['disk', 'log', 'cache', 'plan', 'retry', 'worker', 'order', 'index', 'token', 'limit'];

const contentOf = (number: number) =>
  `${number}: the ${words[number % 10]} was looked at before the ${words[(number * 7) % 10]}, `.padEnd(
    200,
    'because of what was said ',
  );

/** Its state is the id of a chain. */
export const workload: Workload<string> = {
  isOwned: true,
  async seed({ call }) {
    let last = '';
    for (let chain = 0; chain < chains; chain += 1) {
      const { chain_id: id } = await call('start_chain', { model: `model-${chain % 3}`, agent: 'bench' });
      last = String(id);
      const steps = Array.from({ length: stepsPerChain }, (_, at) => ({
        type: at % 5 === 0 ? 'decision' : 'analysis',
        content: contentOf(chain * stepsPerChain + at),
        ...(at % 5 === 0 && { options: [{ label: 'yes' }, { label: 'no' }], chosen: 'yes', confidence: 0.7 }),
      }));
      await call('capture_batch', { batch_id: `seed ${chain}`, chain_id: last, steps });
    }
    return last;
  },
  calls: [
    {
      title: 'get_reasoning_chain, 20 steps',
      tool: 'get_reasoning_chain',
      kind: 'small-read',
      arguments: (number, chain_id) => ({ chain_id, from_seq: (number % 480) + 1, limit: 20 }),
    },
    {
      title: 'capture_reasoning_step',
      tool: 'capture_reasoning_step',
      kind: 'small-write',
      arguments: (number, chain_id) => ({ chain_id, content: contentOf(number) }),
    },
    {
      title: 'search_reasoning, 10 steps',
      tool: 'search_reasoning',
      kind: 'large',
      arguments: (number) => ({ query: `${words[number % 10]} looked`, limit: 10 }),
    },
    {
      title: 'capture_batch, 100 steps',
      tool: 'capture_batch',
      kind: 'large',
      arguments: (number, chain_id) => ({
        batch_id: `bench ${process.pid} ${number}`,
        chain_id,
        steps: Array.from({ length: 100 }, (_, at) => ({
          type: 'analysis',
          content: contentOf(number * 100 + at),
        })),
      }),
    },
    {
      title: 'export_reasoning, jsonl',
      tool: 'export_reasoning',
      kind: 'large',
      arguments: (_, chain_id) => ({ chain_id }),
    },
  ],
  heavy: [
    {
      tool: 'capture_batch',
      arguments: (number, chain_id) => ({
        batch_id: `heavy ${process.pid} ${number}`,
        chain_id,
        steps: Array.from({ length: 5_000 }, (_, at) => ({ type: 'analysis', content: contentOf(at) })),
      }),
    },
    { tool: 'export_reasoning', arguments: (_, chain_id) => ({ chain_id, max_bytes: maxPageBytes }) },
    { tool: 'search_reasoning', arguments: () => ({ query: 'the looked said', limit: 100 }) },
  ],
};
