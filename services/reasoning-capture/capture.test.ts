import { afterAll, describe, expect, test, vi } from 'vitest';

import { quotaOf } from '#runtime/quotas.ts';

import { maxContentLength, maxStepsPerBatch } from './limits.ts';
import { types } from './steps/step.ts';
import { trial } from './store.fixture.ts';

const { store, call, start, ...rest } = trial();
afterAll(async () => rest[Symbol.asyncDispose]());

const eve = { caller: 'eve' };
const nobody = 'f'.repeat(32);
let batches = 0;
const batchId = () => `batch ${(batches += 1)}`;
const steps = async (chain: string) =>
  (await call('get_reasoning_chain', { chain_id: chain, limit: 500 }))['steps'];

describe('a step at a time', () => {
  test('each type keeps what belongs to it', async () => {
    const chain = await start({ goal: 'to know', attrs: { run: 7 } });
    const given = { chain_id: chain };
    await call('capture_reasoning_step', { ...given, content: 'Look.', type: 'plan' });
    await call('capture_decision_point', {
      ...given,
      question: 'Which?',
      options: [{ label: 'this', score: 0.9 }, { label: 'that' }],
      chosen: 'this',
      reasoning: 'It is near.',
      confidence: 0.8,
    });
    await call('capture_inference', {
      ...given,
      premises: ['It rains.'],
      conclusion: 'It is wet.',
      confidence: 1,
    });
    const last = await call('capture_reflection', { ...given, reflection: 'Was it near?', about_seq: 2 });
    expect(last).toEqual({ chain_id: chain, seq: 4, durable: true });
    const ended = await call('end_chain', {
      ...given,
      status: 'failed',
      outcome: { value: 0, label: 'wrong', source: 'human' },
    });
    expect(ended).toEqual({ chain_id: chain, steps: 4, durable: true });

    const read = await call('get_reasoning_chain', given);

    expect(read).toMatchObject({
      chain: {
        chain_id: chain,
        model: 'a-model',
        goal: 'to know',
        status: 'failed',
        attrs: { run: 7 },
        types: { analysis: 1, decision: 1, inference: 1, reflection: 1 },
      },
      evaluations: [{ name: 'outcome', value: 0, label: 'wrong', source: 'human' }],
      steps: [
        { seq: 1, type: 'analysis', subtype: 'plan', content: 'Look.', provenance: 'self_report' },
        {
          seq: 2,
          type: 'decision',
          content: 'Which?',
          options: [{ label: 'this', score: 0.9 }, { label: 'that' }],
          chosen: 'this',
          reasoning: 'It is near.',
          confidence: 0.8,
        },
        { seq: 3, type: 'inference', content: 'It is wet.', premises: ['It rains.'], confidence: 1 },
        { seq: 4, type: 'reflection', content: 'Was it near?', parent_seq: 2 },
      ],
    });
  });

  test.each([
    ['a chain that is not there', { chain_id: nobody }, 'not_found'],
    ['a confidence that is no number', { confidence: Number.NaN }, 'invalid_input'],
    ['a confidence above 1', { confidence: 1.01 }, 'invalid_input'],
    ['a confidence below 0', { confidence: -0.01 }, 'invalid_input'],
    ['a type that there is not', { type: 'guess' }, 'invalid_input'],
    ['half a character', { content: 'half \ud800' }, 'invalid_input'],
    ['a NUL', { content: 'a\0b' }, 'invalid_input'],
    ['what is too long', { content: 'x'.repeat(maxContentLength + 1) }, 'invalid_input'],
    ['a parent that comes later', { parent_seq: 9 }, 'conflict'],
    ['itself as parent', { seq: 2, parent_seq: 2 }, 'invalid_input'],
    ['a number that another step has', { seq: 1, content: 'other' }, 'conflict'],
    ['attributes that are too long', { attrs: { x: 'x'.repeat(20_000) } }, 'invalid_input'],
  ])('is refused with %s, and nothing is stored', async (_, wrong, code) => {
    const chain = await start();
    await call('capture_reasoning_step', { chain_id: chain, content: 'first' });

    await expect(
      call('capture_reasoning_step', { chain_id: chain, content: 'second', ...wrong }),
    ).rejects.toMatchObject({ code });

    expect(await steps(chain)).toHaveLength(1);
  });

  test('a choice of what was no option is refused', async () => {
    const chain = await start();
    const given = { chain_id: chain, question: 'Which?', options: [{ label: 'this' }], chosen: 'that' };
    await expect(call('capture_decision_point', given)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('sent again with its number it is there once', async () => {
    const chain = await start();
    const given = { chain_id: chain, content: 'once', seq: 1 };
    expect(await call('capture_reasoning_step', given)).not.toHaveProperty('duplicate');
    expect(await call('capture_reasoning_step', given)).toMatchObject({ seq: 1, duplicate: true });
    expect(await steps(chain)).toHaveLength(1);
  });

  test('a chain that has ended takes no more, and ends once', async () => {
    const chain = await start();
    await call('end_chain', { chain_id: chain });
    const late = call('capture_reasoning_step', { chain_id: chain, content: 'late' });
    await expect(late).rejects.toMatchObject({ code: 'conflict' });
    await expect(call('end_chain', { chain_id: chain })).rejects.toMatchObject({ code: 'conflict' });
  });

  test('a chain belongs to its token alone', async () => {
    const chain = await start();
    for (const [tool, args] of [
      ['get_reasoning_chain', { chain_id: chain }],
      ['capture_reasoning_step', { chain_id: chain, content: 'x' }],
      ['end_chain', { chain_id: chain }],
      ['export_reasoning', { chain_id: chain }],
      ['start_chain', { model: 'm', parent_chain: chain }],
    ] as const) {
      await expect(call(tool, args, eve), tool).rejects.toMatchObject({ code: 'not_found' });
    }
    expect(await call('list_chains', {}, eve)).toEqual({ chains: [] });
    // Two may use the same trace id.
    expect(await start({ chain_id: chain }, eve)).toBe(chain);
    await expect(start({ chain_id: chain }, eve)).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('a batch', () => {
  const objects = [
    { type: 'analysis', content: 'one', ts: 1_700_000_000_000.25, duration_ms: 1.5, confidence: 0.5 },
    {
      type: 'decision',
      question: 'Which?',
      options: ['a', { label: 'b', score: 2 }],
      chosen: 'b',
      parent_seq: 1,
    },
    {
      type: 'action',
      content: 'act',
      provenance: 'tool_event',
      opaque: [{ kind: 'signature', data: 'c2ln==' }],
    },
  ];

  test.each([
    ['objects', { steps: objects }],
    ['a list that came as text', { steps: JSON.stringify(objects) }],
    ['lines', { steps_jsonl: `${objects.map((one) => JSON.stringify(one)).join('\n')}\n` }],
  ])('of %s is stored, read back, and known again', async (_, form) => {
    const chain = await start();
    const batch = { batch_id: batchId(), chain_id: chain, ...form };
    const answer = { rejected: [], rejected_count: 0, durable: true };

    expect(await call('capture_batch', batch)).toEqual({ accepted: 3, duplicates: 0, ...answer });
    expect(await call('capture_batch', batch)).toEqual({ accepted: 0, duplicates: 3, ...answer });

    expect(await steps(chain)).toEqual([
      {
        seq: 1,
        type: 'analysis',
        content: 'one',
        ts: '2023-11-14T22:13:20.000250Z',
        duration_ms: 1.5,
        confidence: 0.5,
        provenance: 'self_report',
      },
      expect.objectContaining({
        type: 'decision',
        content: 'Which?',
        options: [{ label: 'a' }, { label: 'b', score: 2 }],
        chosen: 'b',
        parent_seq: 1,
      }),
      expect.objectContaining({
        type: 'analysis',
        subtype: 'action',
        provenance: 'tool_event',
        opaque: [{ kind: 'signature', bytes: 6 }],
      }),
    ]);
  });

  test('of rows, in one form or mixed with objects, goes to several chains', async () => {
    const [a, b] = [await start(), await start()];
    const at = '2026-01-15T10:00:00Z';
    const rows = [
      [a, null, 'analysis', at, null, 0.25, 'in a'],
      [b, 7, 'inference', null, null, null, 'in b'],
      [a, null, 'reflection', null, 1, null, 'in a again'],
    ];
    expect(await call('capture_batch', { batch_id: batchId(), rows })).toMatchObject({ accepted: 3 });
    expect(await steps(a)).toMatchObject([
      { seq: 1, ts: '2026-01-15T10:00:00.000Z', confidence: 0.25 },
      { seq: 2, parent_seq: 1 },
    ]);
    expect(await steps(b)).toMatchObject([{ seq: 7, type: 'inference' }]);
  });

  test('of any shape of rows is what was sent: whole blocks, gaps, and the rest of a block', async () => {
    const chain = await start();
    const sent = Array.from({ length: 450 }, (_, at) => ({
      type: at % 3 === 0 && at > 150 ? 'inference' : 'analysis',
      content: `step ${at}`,
      ...(at > 250 && { seq: at + 10, duration_ms: at }),
      ...(at > 120 && at < 140 && { confidence: at / 1_000 }),
    }));
    expect(await call('capture_batch', { batch_id: batchId(), chain_id: chain, steps: sent })).toMatchObject({
      accepted: 450,
    });
    const stored = [...store.reads.steps(store.reads.chain('test', chain))].flat();
    expect(stored.map(({ content }) => content)).toEqual(sent.map(({ content }) => content));
    expect(stored.map(({ type }) => types[type])).toEqual(sent.map(({ type }) => type));
    expect(stored.map(({ confidence }) => confidence ?? undefined)).toEqual(
      sent.map(({ confidence }) => confidence),
    );
    expect(stored.map(({ seq }) => seq)).toEqual(sent.map(({ seq }, at) => seq ?? at + 1));
  });

  test('refuses a faulty step alone, with its place and reason', async () => {
    const chain = await start();
    const ended = await start();
    await call('end_chain', { chain_id: ended });
    const good = { type: 'analysis', content: 'good' };
    const faulty: readonly (readonly [unknown, string])[] = [
      [{ ...good, type: 'guess' }, 'type: must be one of'],
      [{ ...good, confidence: 2 }, 'confidence: must be from 0 to 1'],
      [{ ...good, confidence: '0.5' }, 'confidence'],
      [{ ...good, content: 'half \udc00' }, 'content: must be well-formed Unicode'],
      [{ ...good, content: 5 }, 'content'],
      [{ type: 'analysis' }, 'content: missing'],
      [{ content: 'x' }, 'type: missing'],
      [{ ...good, colour: 'red' }, 'unknown field "colour"'],
      [{ ...good, chain_id: 'short' }, 'chain_id: must be 32 hex digits'],
      [{ ...good, chain_id: nobody }, 'there is no such chain'],
      [{ ...good, chain_id: ended }, 'the chain has ended'],
      [{ ...good, parent_seq: 500 }, 'parent_seq: must be the seq of an earlier step'],
      [{ ...good, seq: 5, parent_seq: 5 }, 'parent_seq'],
      [{ ...good, seq: 0 }, 'seq'],
      [{ ...good, seq: 1.5 }, 'seq'],
      [{ ...good, ts: 'soon' }, 'ts'],
      [{ ...good, ts: -1 }, 'ts'],
      [{ ...good, ts: '2026-02-30T10:00:00Z' }, 'ts'],
      [{ ...good, ts: '2026-02-20T10:00:00' }, 'ts'],
      [{ ...good, duration_ms: -1 }, 'duration_ms'],
      [{ ...good, provenance: 'rumour' }, 'provenance'],
      [{ ...good, options: 'a' }, 'options'],
      [{ ...good, options: [{ label: 'a' }], chosen: 'b' }, 'chosen'],
      [{ ...good, premises: [1] }, 'premises'],
      [{ ...good, attrs: [] }, 'attrs'],
      [{ ...good, opaque: [{ kind: 'k', data: '\ud800' }] }, 'half a character'],
      [{ ...good, opaque: [{ kind: 'k', data: '!', encoding: 'base64' }] }, 'base64'],
      [['too', 'short'], '7 values'],
      ['text', 'must be an object'],
      [null, 'must be an object'],
    ];
    const given = faulty.flatMap(([step]) => [step, good]);

    const answer = await call('capture_batch', { batch_id: batchId(), chain_id: chain, steps: given });

    expect(answer).toMatchObject({ accepted: faulty.length, duplicates: 0, rejected_count: faulty.length });
    expect(answer['rejected']).toEqual(
      faulty.map(([, reason], at) => ({ index: at * 2, reason: expect.stringContaining(reason) as string })),
    );
    expect(await steps(chain)).toHaveLength(faulty.length);
  });

  test('is refused whole when it is none, and nothing is stored', async () => {
    const chain = await start();
    const step = { type: 'analysis', content: 'x' };
    for (const [wrong, code] of [
      [{}, 'invalid_input'],
      [{ steps: [] }, 'invalid_input'],
      [{ steps: 'x' }, 'invalid_input'],
      [{ steps: { 0: step } }, 'invalid_input'],
      [{ rows: 5 }, 'invalid_input'],
      [{ steps: [step], rows: [] }, 'invalid_input'],
      [{ steps_jsonl: '\n \n' }, 'invalid_input'],
      [{ steps: [step], batch_id: '' }, 'invalid_input'],
      [{ steps: Array.from({ length: maxStepsPerBatch + 1 }, () => step) }, 'too_large'],
    ] as const) {
      const given = { batch_id: batchId(), chain_id: chain, ...wrong };
      await expect(call('capture_batch', given), JSON.stringify(wrong).slice(0, 50)).rejects.toMatchObject({
        code,
      });
    }
    expect(await steps(chain)).toEqual([]);
  });

  test('a line that is no JSON is refused alone', async () => {
    const chain = await start();
    const lines = ['{"type":"analysis","content":"x"}', '{"type":', '["not", "enough"]'].join('\n');
    const answer = await call('capture_batch', { batch_id: batchId(), chain_id: chain, steps_jsonl: lines });
    expect(answer).toMatchObject({ accepted: 1, rejected: [{ index: 1 }, { index: 2 }] });
  });

  test('an id that was used for other steps is a conflict; another token may use it', async () => {
    const [chain, hers] = [await start(), await start({}, eve)];
    const batch_id = batchId();
    const one = { batch_id, chain_id: chain, steps: [{ type: 'analysis', content: 'one' }] };
    await call('capture_batch', one);
    for (const steps of [
      [{ type: 'analysis', content: 'two' }],
      [{ type: 'analysis', content: 'one', confidence: 0.1 }],
      [
        { type: 'analysis', content: 'one' },
        { type: 'guess', content: 'x' },
      ],
    ]) {
      await expect(call('capture_batch', { ...one, steps })).rejects.toMatchObject({ code: 'conflict' });
    }
    expect(await call('capture_batch', { ...one, chain_id: hers }, eve)).toMatchObject({ accepted: 1 });
    expect(await steps(chain)).toHaveLength(1);
  });

  test('steps with numbers that are there are duplicates, and others conflicts', async () => {
    const chain = await start();
    const numbered = (seqs: readonly number[], content = 'x') =>
      seqs.map((seq) => ({ seq, type: 'analysis', content: `${content} ${seq}` }));
    await call('capture_batch', { batch_id: batchId(), chain_id: chain, steps: numbered([1, 2, 5]) });
    const again = {
      batch_id: batchId(),
      chain_id: chain,
      steps: [...numbered([1, 2, 5, 6]), ...numbered([3, 4])],
    };
    expect(await call('capture_batch', again)).toMatchObject({
      accepted: 1,
      duplicates: 3,
      rejected: [{ index: 4 }, { index: 5 }],
    });
    const other = { batch_id: batchId(), chain_id: chain, steps: numbered([2], 'y') };
    expect(await call('capture_batch', other)).toMatchObject({ accepted: 0, rejected_count: 1 });
    const toGap = {
      ...other,
      batch_id: batchId(),
      steps: [{ type: 'analysis', content: 'z', parent_seq: 4 }],
    };
    expect(await call('capture_batch', toGap)).toMatchObject({
      rejected: [{ index: 0, reason: 'parent_seq: the chain has no step 4' }],
    });
  });

  test('many at the same time, of several tokens, are each stored once', async () => {
    const names = ['ada', 'bob', 'cy'];
    const chains = await Promise.all(names.map(async (caller) => start({}, { caller })));
    const sent = names.flatMap((caller, who) =>
      Array.from({ length: 20 }, async (_, number) => {
        const batch = {
          batch_id: `${number % 10}`,
          chain_id: chains[who],
          steps: [{ type: 'analysis', content: `${caller} ${number % 10}` }],
        };
        return call('capture_batch', batch, { caller });
      }),
    );
    const answers = await Promise.all(sent);
    expect(answers.reduce((sum, { accepted }) => sum + Number(accepted), 0)).toBe(30);
    for (const [who, caller] of names.entries()) {
      const { steps: stored } = await call('get_reasoning_chain', { chain_id: chains[who] }, { caller });
      expect(stored.map(({ content }: { content: string }) => content).toSorted()).toEqual(
        Array.from({ length: 10 }, (_, number) => `${caller} ${number}`),
      );
    }
  });
});

test('a token that keeps as much as it may is refused, and the others are not', async () => {
  await using small = trial({ quota: quotaOf(1, 5) });
  const chain = await small.start();
  const batch = (number: number) => ({
    batch_id: `${number}`,
    chain_id: chain,
    steps: Array.from({ length: 3 }, () => ({ type: 'analysis', content: 'x' })),
  });
  expect(await small.call('capture_batch', batch(1))).toMatchObject({ accepted: 3 });
  await expect(small.call('capture_batch', batch(2))).rejects.toMatchObject({ code: 'too_large' });
  await small.call('capture_reasoning_step', { chain_id: chain, content: 'x' });
  await expect(small.call('capture_reasoning_step', { chain_id: chain, content: 'x' })).rejects.toMatchObject(
    {
      code: 'too_large',
    },
  );
  await expect(small.start()).rejects.toMatchObject({ code: 'too_large' });
  expect(await small.start({}, eve)).toMatch(/^[0-9a-f]{32}$/);
  expect(small.store.kept().holdings).toEqual([
    { owner: 'test', items: 5, bytes: 300 + 4 * 101 },
    { owner: 'eve', items: 1, bytes: 300 },
  ]);
});

test('words are found in what was stated, of the own token alone', async () => {
  const chain = await start({ model: 'searched' });
  await call('capture_decision_point', {
    chain_id: chain,
    question: 'Which Überprüfung?',
    options: [{ label: 'zeppelin' }, { label: 'glider' }],
    chosen: 'glider',
  });
  await call('capture_reasoning_step', { chain_id: chain, content: 'the zeppelin is slow' });
  const hits = async (query: string, more = {}) =>
    (await call('search_reasoning', { query, ...more }))['steps'].map(({ seq }: { seq: number }) => seq);
  await vi.waitFor(async () => expect(await hits('zeppelin')).toEqual([2, 1]));
  expect(await hits('uberprufung')).toEqual([1]);
  expect(await hits('"is slow"')).toEqual([2]);
  expect(await hits('"slow is"')).toEqual([]);
  expect(await hits('zepp*')).toEqual([2, 1]);
  expect(await hits('zeppelin -slow')).toEqual([1]);
  expect(await hits('zeppelin', { type: 'decision' })).toEqual([1]);
  expect(await hits('zeppelin', { chain_id: nobody })).toEqual([]);
  expect(await call('search_reasoning', { query: 'zeppelin' }, eve)).toEqual({ steps: [] });
  const page = await call('search_reasoning', { query: 'zeppelin', limit: 1 });
  expect(page).toMatchObject({ truncated: true, steps: [{ seq: 2, chain_id: chain, model: 'searched' }] });
  const next = await call('search_reasoning', { query: 'zeppelin', limit: 1, cursor: page['next_cursor'] });
  expect(next['steps']).toMatchObject([{ seq: 1, excerpt: expect.stringContaining('zeppelin') as string }]);
  for (const query of ['***', '-only', '"'])
    await expect(call('search_reasoning', { query })).rejects.toMatchObject({ code: 'invalid_input' });
  for (const query of ['a AND (b', 'text:x OR NEAR(', "x' --", '"zeppelin', '{text} : x^2'])
    expect(await call('search_reasoning', { query }), query).toHaveProperty('steps');
});

test('chains are listed by what they are, in pages', async () => {
  const mine = { caller: 'lister' };
  const whole = await start({ agent: 'planner' }, mine);
  const part = await start({ agent: 'worker', parent_chain: whole }, mine);
  await call('end_chain', { chain_id: part }, mine);
  const listed = async (args: object) =>
    (await call('list_chains', args, mine))['chains'].map(({ chain_id: id }: { chain_id: string }) => id);
  expect(await listed({})).toEqual([part, whole]);
  expect(await listed({ agent: 'planner' })).toEqual([whole]);
  expect(await listed({ status: 'completed' })).toEqual([part]);
  expect(await listed({ parent_chain: whole })).toEqual([part]);
  expect(await listed({ since: '2190-01-01' })).toEqual([]);
  const page = await call('list_chains', { limit: 1 }, mine);
  expect(page).toMatchObject({ truncated: true });
  expect(await listed({ limit: 1, cursor: page['next_cursor'] })).toEqual([whole]);
  expect(await call('get_reasoning_chain', { chain_id: whole }, mine)).toMatchObject({ parts: [part] });
});

test('two chains are compared step by step', async () => {
  const decide = (question: string, chosen: string, confidence?: number) => ({
    type: 'decision',
    content: question,
    options: ['yes', 'no'],
    chosen,
    confidence,
  });
  const [a, b] = [await start(), await start()];
  const same = { type: 'analysis', content: 'the same' };
  for (const [chain, given] of [
    [a, [same, decide('Go?', 'yes', 0.9), decide('Stay?', 'no')]],
    [b, [same, decide('Go?', 'no', 0.5), decide(' stay? ', 'no'), same]],
  ] as const) {
    await call('capture_batch', { batch_id: batchId(), chain_id: chain, steps: given });
  }
  expect(await call('compare_chains', { a, b })).toEqual({
    a: {
      model: 'a-model',
      steps: 3,
      share: { analysis: 0.333, decision: 0.667, inference: 0, reflection: 0 },
      mean_confidence: 0.9,
      stated_confidences: 1,
    },
    b: {
      model: 'a-model',
      steps: 4,
      share: { analysis: 0.5, decision: 0.5, inference: 0, reflection: 0 },
      mean_confidence: 0.5,
      stated_confidences: 1,
    },
    same_steps: 2,
    divergence: {
      position: 3,
      a: { type: 'decision', content: 'Stay?' },
      b: { type: 'decision', content: ' stay? ' },
    },
    decisions_shared: 2,
    decisions_changed: [{ question: 'Go?', a: 'yes', b: 'no' }],
    decisions_changed_count: 1,
  });
  expect(await call('compare_chains', { a, b: a })).not.toHaveProperty('divergence');
});

test('counts tell what was stored, sent again, and refused', () => {
  expect(store.counts).toMatchObject({ refused: 0 });
  for (const name of ['accepted', 'duplicates', 'rejected', 'commits'] as const)
    expect(store.counts[name], name).toBeGreaterThan(0);
  expect(store.waiting()).toEqual({ calls: 0, bytes: 0 });
});

describe('what one token sends at once', () => {
  /** Who was answered, in order. */
  async function orderOf(asked: readonly (readonly [string, () => Promise<unknown>])[]) {
    const answered: string[] = [];
    await Promise.all(asked.map(async ([name, ask]) => ask().then(() => answered.push(name))));
    return answered;
  }
  const search = async (overrides = {}) => call('search_reasoning', { query: 'nothing' }, overrides);

  test('as traces does not keep the search of another waiting', async () => {
    const attribute = '{"key":"a","value":{"stringValue":"b"}}';
    const span = `{"attributes":[${Array.from({ length: 10 }, () => attribute).join()}]}`;
    const spans = `{"resourceSpans":[{"scopeSpans":[{"spans":[${Array.from({ length: 15_000 }, () => span).join()}]}]}]}`;
    const body = { isJson: true, isPacked: false, body: Buffer.from(spans) };
    const trace = async () => store.otlp({ ...eve, nowMs: 0 }, body);
    expect(
      await orderOf([
        ['trace', trace],
        ['search', search],
      ]),
    ).toEqual(['search', 'trace']);
  });

  test('as searches waits behind the search of another', async () => {
    const many = Array.from({ length: 8 }, () => ['eve', async () => search(eve)] as const);
    expect((await orderOf([...many, ['other', search]])).indexOf('other')).toBeLessThan(3);
  });
});
