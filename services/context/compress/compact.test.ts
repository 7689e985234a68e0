import { expect, test } from 'vitest';

import { callOf, testStore } from '../store.fixture.ts';

interface Compacted {
  readonly messages: readonly { role: string; content: unknown }[];
  readonly tokens: number;
  readonly original_tokens: number;
  readonly changes: readonly { index: number; action: string }[];
  readonly handle?: string;
}

const long = 'Something was found out here, and then more of it. '.repeat(30);

const conversation = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: long },
  {
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: long, signature: 's' },
      { type: 'text', text: 'I look.' },
      { type: 'tool_use', id: 'call_1', name: 'read', input: { path: 'a' } },
    ],
  },
  { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'call_1', content: long }] },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'call_2', type: 'function', function: { name: 'run', arguments: '{}' } }],
  },
  { role: 'tool', tool_call_id: 'call_2', content: long },
  { role: 'assistant', content: long },
  { role: 'user', content: 'And now?' },
];

async function compacted(args: object, messages: readonly object[] = conversation) {
  using store = testStore();
  return await callOf(store)<Compacted>('compact_messages', { messages, keep_recent: 1, ...args });
}

const actions = ({ changes }: Compacted) => changes.map(({ index, action }) => `${index} ${action}`);

test('what fits stays as it is, and is not kept', async () => {
  using store = testStore();
  const call = callOf(store);

  const result = await call<Compacted>('compact_messages', { messages: conversation, token_budget: 100_000 });

  expect(result).toMatchObject({ messages: conversation, changes: [] });
  expect(result).not.toHaveProperty('handle');
  expect(store.holdings().durable.output.items).toBe(0);
});

test('thinking goes first, then results of tools, then long texts are cut, then messages are dropped', async () => {
  const { original_tokens: all } = await compacted({ token_budget: 100_000 });
  const share = async (part: number) => actions(await compacted({ token_budget: Math.floor(all * part) }));

  expect(await share(0.95)).toEqual(['2 thinking_cleared']);
  expect(await share(0.7)).toEqual(['2 thinking_cleared', '3 tool_result_cleared']);
  expect(await share(0.5)).toEqual(['2 thinking_cleared', '3 tool_result_cleared', '5 tool_result_cleared']);
  expect(await share(0.35)).toEqual([
    '1 shortened',
    '2 thinking_cleared',
    '3 tool_result_cleared',
    '5 tool_result_cleared',
  ]);
  const last = await compacted({ token_budget: 50 });
  expect(last.messages.map(({ role }) => role)).toEqual(['system', 'user', 'user']);
  expect(last.messages[1]?.content).toMatch(
    /^\[6 earlier messages left out: read_output out_[0-9a-f]{24}\]$/,
  );
});

test('a placeholder says where the original stands', async () => {
  const { messages, handle } = await compacted({ token_budget: 700 });

  expect(JSON.stringify(messages[3])).toContain(`[cleared: read_output ${handle} line 4]`);
});

test('system messages, pinned ones and the last stay whole, and results of excluded tools are not cleared', async () => {
  const budget = { token_budget: 1_200 };

  expect(actions(await compacted({ ...budget, exclude_tools: ['read'] }))).not.toContain(
    '3 tool_result_cleared',
  );
  expect(actions(await compacted({ ...budget, exclude_tools: ['run'] }))).not.toContain(
    '5 tool_result_cleared',
  );
  const pinned = await compacted({ token_budget: 1_250, pinned: [1, 3] });
  // With a result its call is pinned, too.
  expect(pinned.messages).toEqual(
    expect.arrayContaining([conversation[1], conversation[2], conversation[3]]),
  );
  const recent = await compacted({ token_budget: 900, keep_recent: 3 });
  expect(recent.messages).toEqual(expect.arrayContaining(conversation.slice(4)));
});

test('without keep_system also system messages go', async () => {
  const messages = [
    { role: 'system', content: long },
    { role: 'user', content: 'Hi.' },
  ];

  expect(actions(await compacted({ token_budget: 60, keep_system: false }, messages))).toEqual(['0 dropped']);
  await expect(compacted({ token_budget: 60 }, messages)).rejects.toMatchObject({ code: 'too_large' });
});

test('what is not known is kept as it is, also under names that objects have', async () => {
  const odd = [
    { role: 'user', content: long },
    JSON.parse(
      '{"role":"user","content":"x","__proto__":{"a":1},"constructor":"c","cache_control":{"type":"e"}}',
    ) as object,
  ];

  const { messages } = await compacted({ token_budget: 100 }, odd);

  expect(messages[1]).toMatchObject({ content: 'x', constructor: 'c', cache_control: { type: 'e' } });
});

test('a picture counts as one, not as the length of its data', async () => {
  using store = testStore();
  const image = { type: 'image', source: { type: 'base64', data: 'A'.repeat(100_000) } };

  const counted = await callOf(store)<{ tokens: number; exact: boolean }>('count_tokens', {
    messages: [{ role: 'user', content: [image] }],
  });

  expect(counted.tokens).toBe(1_600 + 4 + 1 + 3);
  expect(counted.exact).toBe(false);
});
