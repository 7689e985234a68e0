import type { Workload } from '#runtime/workload.ts';

const sentence = (number: number) =>
  `Line ${number}: the staging database moved to port ${4_000 + (number % 1_000)}, and what depends on it has to follow. `;
const textOf = (lengthBytes: number, number: number) =>
  Array.from({ length: Math.ceil(lengthBytes / 110) }, (_, line) => sentence(number + line)).join('\n');

/** The handles of the outputs. */
type State = readonly unknown[];

export const workload: Workload<State> = {
  async seed({ call }) {
    const outputs: unknown[] = [];
    for (let number = 0; number < 200; number += 1) {
      const { handle } = await call('store_output', {
        content: textOf(20_000, number),
        label: `output ${number}`,
      });
      outputs.push(handle);
    }
    await call('set_budget', { budget_id: 'bench', limit: 5_000_000 });
    return outputs;
  },
  calls: [
    {
      title: 'count_tokens of 1 KB',
      tool: 'count_tokens',
      kind: 'small-read',
      arguments: (number) => ({ text: textOf(1_000, number).slice(0, 1_000) }),
    },
    {
      title: 'read_output, ten lines',
      tool: 'read_output',
      kind: 'small-read',
      arguments: (number, outputs) => ({
        handle: outputs[number % outputs.length],
        startLine: 11,
        endLine: 20,
      }),
    },
    {
      title: 'store_output of 1 KB',
      tool: 'store_output',
      kind: 'small-write',
      arguments: (number) => ({ content: `${number} ${textOf(1_000, number)}`.slice(0, 1_000) }),
    },
    {
      title: 'grep_output',
      tool: 'grep_output',
      kind: 'large',
      arguments: (number, outputs) => ({
        handle: outputs[number % outputs.length],
        pattern: `port 4${number % 10}\\d+`,
      }),
    },
    {
      title: 'compress_output of 50 KB',
      tool: 'compress_output',
      kind: 'large',
      arguments: (number) => ({ content: textOf(50_000, number), kind: 'log', token_budget: 2_000 }),
    },
    {
      title: 'rank_passages, twenty',
      tool: 'rank_passages',
      kind: 'large',
      arguments: (number) => ({
        query: 'which port has the staging database',
        passages: Array.from({ length: 20 }, (_, index) => textOf(2_000, number + index)),
      }),
    },
  ],
  heavy: [
    { tool: 'count_tokens', arguments: () => ({ text: 'ก ข ค '.repeat(200_000) }) },
    {
      tool: 'grep_output',
      arguments: (number, outputs) => ({
        handle: outputs[number % outputs.length],
        pattern: '(a|a|e|e|o|o)*b$',
      }),
    },
    { tool: 'chunk_text', arguments: () => ({ text: textOf(1_800_000, 0), chunk_tokens: 16 }) },
    {
      tool: 'dedupe',
      arguments: () => ({ texts: Array.from({ length: 900 }, (_, number) => textOf(1_500, number)) }),
    },
    {
      tool: 'rank_passages',
      arguments: () => ({ query: '思考 象', passages: ['思考する 象 '.repeat(100_000)] }),
    },
  ],
};
