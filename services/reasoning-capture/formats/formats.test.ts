import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { trial, type Answer } from '../store.fixture.ts';

const { call, start, ...rest } = trial();
afterAll(async () => rest[Symbol.asyncDispose]());

const uid = '0af7651916cd43dd8448eb211c80319c';
const at = { nowMs: Date.parse('2026-01-15T10:00:00Z') };
const steps = [
  { type: 'plan', content: 'Look at the <log>; then "the" disk.\n# not a heading\n1. not a list' },
  {
    type: 'decision',
    question: 'Which one is full?',
    options: [{ label: 'disk | one', score: 0.75 }, { label: 'disk [two]' }],
    chosen: 'disk | one',
    reasoning: 'It *says* so.',
    confidence: 0.5,
    ts: '2026-01-15T10:00:01.500250Z',
    duration_ms: 250,
  },
  {
    type: 'inference',
    premises: ['It is full.', 'It is old.'],
    conclusion: 'It has to go.',
    confidence: 1,
    parent_seq: 1,
  },
  { type: 'reflection', reflection: 'Was that too soon?', about_seq: 3 },
  {
    type: 'analysis',
    content: 'hidden thought',
    provenance: 'provider_thinking',
    opaque: [
      { kind: 'signature', data: 'EqQBCg==\u00e4\ud83d\ude00' },
      { kind: 'blob', data: '//79AAE=', encoding: 'base64' },
    ],
    attrs: { tries: 2, nested: { of: ['any', 'kind'] } },
  },
  {
    type: 'analysis',
    content: '',
    provenance: 'redacted',
    opaque: [{ kind: 'redacted_thinking', data: 'EmwKAhgB' }],
  },
];

beforeAll(async () => {
  await start(
    {
      chain_id: uid,
      model: 'model-1',
      provider: 'a-provider',
      version: '2026-01',
      effort: 'high',
      prompt_hash: 'ab12',
      agent: 'an agent',
      goal: 'Find what is full.',
    },
    at,
  );
  await call('capture_batch', { batch_id: 'golden', chain_id: uid, steps }, at);
  const outcome = {
    name: 'solved',
    value: 0.5,
    label: 'partly',
    explanation: 'One of two.',
    source: 'human',
  };
  await call('end_chain', { chain_id: uid, outcome }, { nowMs: at.nowMs + 5_000 });
});

const exported = async (args: object): Promise<string> => (await call('export_reasoning', args))['content'];

test.each([
  ['chain.jsonl', { format: 'jsonl' }],
  ['chain.otlp.json', { format: 'otlp', content: true }],
  ['without-content.otlp.json', { format: 'otlp' }],
  ['chain.mmd', { format: 'mermaid' }],
  ['chain.dot', { format: 'dot' }],
  ['chain.md', { format: 'markdown' }],
  ['without-content.md', { format: 'markdown', content: false }],
])('%s is written as it was', async (name, args) => {
  const content = await exported({ chain_id: uid, ...args });
  await expect(content).toMatchFileSnapshot(`golden/${name}.golden`);
});

test('nothing that was said is in an export without content', async () => {
  for (const format of ['jsonl', 'otlp', 'markdown', 'mermaid', 'dot']) {
    const content = await exported({ chain_id: uid, format, content: false });
    for (const said of ['hidden', 'EqQBCg', 'Which', 'disk', 'Find what', 'One of two', 'too soon'])
      expect(content, format).not.toContain(said);
  }
});

const contentsOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test('lines come back by capture_batch, every byte of them', async () => {
  const mine = { caller: 'importer' };
  const lines = contentsOf(await exported({ chain_id: uid }));
  await start({ chain_id: uid }, mine);
  const batch = { batch_id: 'again', steps_jsonl: lines.map((line) => JSON.stringify(line)).join('\n') };
  expect(await call('capture_batch', batch, mine)).toMatchObject({ accepted: 6, rejected: [] });
  const { content } = await call('export_reasoning', { chain_id: uid }, mine);
  expect(contentsOf(content)).toEqual(lines);
});

test('a trace comes back by import_trace, every byte of it, and once', async () => {
  const mine = { caller: 'tracer' };
  const trace = await exported({ chain_id: uid, format: 'otlp', content: true });
  expect(await call('import_trace', { content: trace }, mine)).toMatchObject({
    chains: [{ chain_id: uid, steps: 6 }],
    accepted: 6,
    rejected: [],
  });
  expect(await call('import_trace', { content: trace }, mine)).toMatchObject({ accepted: 0, duplicates: 6 });
  const there = await call('export_reasoning', { chain_id: uid }, mine);
  expect(contentsOf(there['content'])).toEqual(contentsOf(await exported({ chain_id: uid })));
  const [before, after] = await Promise.all([
    call('get_reasoning_chain', { chain_id: uid }),
    call('get_reasoning_chain', { chain_id: uid }, mine),
  ]);
  const { evaluations, chain } = before;
  expect(after['chain']).toEqual({ ...chain, origin: 'import' });
  // Judgements are not doubled by a trace that comes again.
  expect(after['evaluations']).toEqual(evaluations);
});

test('large numbers, and what else a chain holds, come back from a trace', async () => {
  const mine = { caller: 'counter' };
  const scores = [1e308, -1e21, 1e19, 2 ** 53 + 2, 2 ** 53 - 1, 1e-320, 0.1];
  const chain = await start({ model: 'counting', attrs: { tries: 2, nested: { of: ['any', 'kind'] } } }, at);
  await call('capture_decision_point', {
    chain_id: chain,
    question: 'How much?',
    options: scores.map((score) => ({ label: String(score), score })),
    chosen: '0.1',
  });
  for (const [number, value] of scores.entries()) {
    const judged = number === 0 ? chain : await start({ model: 'counting' }, at);
    await call('end_chain', { chain_id: judged, outcome: { value } });
    const trace = await exported({ chain_id: judged, format: 'otlp', content: true });
    await call('import_trace', { content: trace }, mine);
    const before = await call('get_reasoning_chain', { chain_id: judged });
    const after = await call('get_reasoning_chain', { chain_id: judged }, mine);
    expect(after).toEqual({ ...before, chain: { ...before['chain'], origin: 'import' } });
    expect(after['evaluations'][0].value).toBe(value);
  }
});

test('an export in lines is taken as it is, with its header', async () => {
  const mine = { caller: 'mover' };
  await start({ chain_id: uid }, mine);
  const batch = { batch_id: 'whole', steps_jsonl: await exported({ chain_id: uid }) };
  expect(await call('capture_batch', batch, mine)).toMatchObject({ accepted: 6, rejected_count: 0 });
});

test('no line end and no control character of what was said acts in a document to read', async () => {
  const said = 'one\r- Status: completed\r\r# Title\r\ntwo\u001b[31m\u202e\u0085 &lt;b&gt;';
  const chain = await start({ model: 'reading', goal: said }, at);
  await call('capture_reasoning_step', { chain_id: chain, content: said });
  const report = await exported({ chain_id: chain, format: 'markdown' });
  const lines = report.split(/\r\n?|\n/);
  expect(lines.filter((line) => line.includes('Status: completed'))).toEqual(
    Array.from({ length: 2 }, () => String.raw`> \- Status: completed`),
  );
  for (const format of ['markdown', 'mermaid', 'dot'])
    expect(await exported({ chain_id: chain, format }), format).not.toMatch(/(?!\n)\p{Cc}|\u202e/u);
  expect(await exported({ chain_id: chain, format: 'dot' })).toContain('&amp;lt;b&amp;gt;');
});

describe('a long chain', () => {
  const length = 1_234;
  let long = '';
  beforeAll(async () => {
    long = await start({}, at);
    const given = Array.from({ length }, (_, number) => ({
      type: number % 10 === 0 ? 'decision' : 'analysis',
      content: `step ${number}`,
    }));
    await call('capture_batch', { batch_id: 'long', chain_id: long, steps: given });
  });

  test.each(['mermaid', 'dot'])('is drawn in parts (%s)', async (format) => {
    const content = await exported({ chain_id: long, format });
    const nodes = content.split('\n').filter((line) => /^ {2}p\d+ ?\[/.test(line));
    expect(nodes.length).toBeGreaterThan(100);
    expect(nodes.length).toBeLessThanOrEqual(200);
    expect(nodes[0]).toContain('1 to 7: 6 analysis, 1 decision');
    expect(content).not.toContain('step 5');
  });

  test.each(['jsonl', 'otlp', 'markdown'])('is written in parts that are all of it (%s)', async (format) => {
    const parts: string[] = [];
    const documents: object[] = [];
    let [cursor, count]: [string | undefined, number] = [undefined, 0];
    do {
      const args = { chain_id: long, format, content: true, max_bytes: 20_000 };
      const page: Answer = await call('export_reasoning', { ...args, cursor });
      parts.push(page['content']);
      count += page['steps'];
      cursor = page['next_cursor'];
      if (format === 'otlp') documents.push(JSON.parse(page['content']) as object);
    } while (cursor !== undefined);
    expect(parts.length).toBeGreaterThan(2);
    for (const document of documents) expect(document).toHaveProperty('resourceSpans');
    expect(count).toBe(length);
    for (const number of [0, 617, length - 1])
      expect(parts.join('')).toMatch(new RegExp(`step ${number}\\b`));
  });

  test('all chains that fit are written one after the other, and each once', async () => {
    const seen = new Map<string, number>();
    let cursor: string | undefined;
    do {
      const page: Answer = await call('export_reasoning', {
        model: 'a-model',
        max_bytes: 30_000,
        cursor,
      });
      for (const line of String(page['content']).trim().split('\n')) {
        const { chain_id: id } = JSON.parse(line) as { chain_id?: string };
        if (id) seen.set(id, (seen.get(id) ?? 0) + 1);
      }
      cursor = page['next_cursor'];
    } while (cursor !== undefined);
    expect(seen).toEqual(new Map([[long, length]]));
  });
});

test('a diagram is of one chain', async () => {
  await expect(call('export_reasoning', { format: 'dot' })).rejects.toMatchObject({ code: 'invalid_input' });
});
