import { gzipSync } from 'node:zlib';

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';

import { OtlpError } from '#runtime/otlp/wire.ts';

import { provenances } from '../steps/step.ts';
import { digestOf } from './documents.ts';
import { spansInJson, spansInProtobuf } from './spans.ts';
import { asProtobuf, jsonOf, someSpans, traceId, type Sent } from './spans.fixture.ts';
import { chainsOf } from './traces.ts';

const uid = 'ab'.repeat(16);
/** Bytes that no encoder would make by chance. */
const signature = 'ErUBCkYIARgCIkD+/w==\u00e9\u2028\ud83d\ude00 x';

/** What is in a message, as it would be stored. */
const saidIn = (message: unknown) => {
  const [chain] = digestOf(JSON.stringify(message), uid, {}).chains;
  return {
    facts: chain?.facts,
    steps: chain?.steps.map(({ content, prov, opaque = [], subtype }) => ({
      content,
      prov: provenances[prov],
      ...(subtype !== undefined && { subtype }),
      ...(opaque.length > 0 && {
        opaque: opaque.map(({ kind, data }) => [kind, Buffer.from(data).toString('utf8')]),
      }),
    })),
  };
};

describe('messages', () => {
  test("Anthropic's thinking comes with its signature", () => {
    const content = [
      { type: 'thinking', thinking: 'Let me see.', signature },
      { type: 'redacted_thinking', data: 'EmwKAhgB' },
      { type: 'text', text: 'It is 4.' },
      { type: 'tool_use', id: 'toolu_1', name: 'add', input: { a: 2 } },
    ];
    const expected = [
      { content: 'Let me see.', prov: 'provider_thinking', opaque: [['signature', signature]] },
      { content: '', prov: 'redacted', opaque: [['redacted_thinking', 'EmwKAhgB']] },
      { content: 'It is 4.', prov: 'self_report' },
      { content: 'add({"a":2})', prov: 'tool_event', subtype: 'action' },
    ];
    expect(saidIn({ type: 'message', role: 'assistant', model: 'claude', content })).toEqual({
      facts: { model: 'claude', provider: 'anthropic' },
      steps: expected,
    });
    expect(
      saidIn([
        { role: 'user', content: 'What?' },
        { role: 'assistant', content },
      ]).steps,
    ).toEqual(expected);
    expect(saidIn({ messages: [{ role: 'assistant', content }] }).steps).toEqual(expected);
  });

  test("OpenAI's reasoning items come with their encrypted content", () => {
    const output = [
      {
        type: 'reasoning',
        id: 'rs_1',
        encrypted_content: signature,
        summary: [
          { type: 'summary_text', text: 'First.' },
          { type: 'summary_text', text: 'Second.' },
        ],
      },
      { type: 'reasoning', id: 'rs_2', encrypted_content: 'gAAA', summary: [] },
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'In full.' }], summary: [] },
      { type: 'function_call', call_id: 'c', name: 'add', arguments: '{"a":2}' },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'It is 4.' }] },
    ];
    expect(saidIn({ object: 'response', model: 'gpt', output })).toEqual({
      facts: { model: 'gpt', provider: 'openai' },
      steps: [
        { content: 'First.', prov: 'provider_summary', opaque: [['encrypted_content', signature]] },
        { content: 'Second.', prov: 'provider_summary' },
        { content: '', prov: 'redacted', opaque: [['encrypted_content', 'gAAA']] },
        { content: 'In full.', prov: 'provider_thinking' },
        { content: 'add({"a":2})', prov: 'tool_event', subtype: 'action' },
        { content: 'It is 4.', prov: 'self_report' },
      ],
    });
  });

  test.each(['thoughtSignature', 'thought_signature'])("Gemini's parts come with their %s", (name) => {
    const parts = [
      { text: 'Thinking.', thought: true },
      { functionCall: { name: 'add', args: { a: 2 } }, [name]: signature },
      { text: 'It is 4.', [name]: 'c2ln' },
    ];
    expect(saidIn({ modelVersion: 'gemini', candidates: [{ content: { role: 'model', parts } }] })).toEqual({
      facts: { model: 'gemini', provider: 'google' },
      steps: [
        { content: 'Thinking.', prov: 'provider_thinking' },
        {
          content: 'add({"a":2})',
          prov: 'tool_event',
          subtype: 'action',
          opaque: [['thought_signature', signature]],
        },
        { content: 'It is 4.', prov: 'self_report', opaque: [['thought_signature', 'c2ln']] },
      ],
    });
  });

  test.each([
    ['no JSON', '{'],
    ['a number', '5'],
    ['nothing that a model said', '{"role":"user","content":"x"}'],
    ['an empty list', '[]'],
    ['lists in lists', '['.repeat(100_000)],
    [
      'half a character in a signature',
      '{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"\\ud800"}]}',
    ],
    [
      'half a character in a text',
      '{"role":"assistant","content":[{"type":"thinking","thinking":"\\ud800"}]}',
    ],
    ['a trace that is none', '{"resourceSpans":5}'],
  ])('%s is refused', (_, content) => {
    expect(() => digestOf(content, uid, {})).toThrow(
      expect.objectContaining({ code: 'invalid_input' }) as Error,
    );
  });

  test('a text that is too long is refused, and not cut', () => {
    const message = { role: 'assistant', content: 'x'.repeat(70_000) };
    expect(() => digestOf(JSON.stringify(message), uid, {})).toThrow(
      expect.objectContaining({ code: 'too_large' }) as Error,
    );
  });
});

const digested = (spans: readonly Sent[]) => chainsOf(spansInJson(jsonOf(spans)));

describe('traces', () => {
  test('protobuf and JSON give the same', () => {
    expect(spansInProtobuf(asProtobuf(someSpans))).toEqual(spansInJson(jsonOf(someSpans)));
    expect(spansInProtobuf(new Uint8Array())).toEqual([]);
    expect(spansInJson('{}')).toEqual([]);
  });

  test('attributes of generative AI become a chain', () => {
    const { chains, ignored, refused } = digested(someSpans);
    expect({ ignored, refused }).toEqual({ ignored: 1, refused: {} });
    expect(chains).toMatchObject([
      {
        uid: traceId,
        facts: { model: 'a-model', agent: 'planner', provider: 'anthropic' },
        status: 'completed',
        startedUs: 1_795_924_800_000_000,
        endedUs: 1_795_924_809_000_000,
        steps: [
          { content: 'Let me think.', prov: 1, span: '00f067aa0ba902b7', opaque: [{ kind: 'signature' }] },
          { content: 'The answer.', prov: 0, span: '00f067aa0ba902b7', parentSpan: '00f067aa0ba902b1' },
          { content: 'search({"q":"x"}) → found', prov: 3, subtype: 'action' },
        ],
        evaluations: [
          { name: 'relevance', value: 0.75, label: 'good', from: '00f067aa0ba902b7', isOfSpan: true },
        ],
      },
    ]);
  });

  test('attributes of OpenInference become steps, with what only the provider reads', () => {
    const prefix = 'llm.output_messages.0.message';
    const part = (at: number) => `${prefix}.contents.${at}.message_content`;
    const { chains } = digested([
      {
        name: 'llm',
        attributes: {
          'openinference.span.kind': 'LLM',
          'llm.model_name': 'a-model',
          [`${prefix}.role`]: 'assistant',
          [`${part(0)}.type`]: 'reasoning',
          [`${part(0)}.text`]: 'Hm.',
          [`${part(0)}.signature`]: signature,
          [`${part(1)}.type`]: 'reasoning',
          [`${part(1)}.data`]: 'opaque data',
          [`${part(2)}.type`]: 'text',
          [`${part(2)}.text`]: 'Four.',
          [`${prefix}.tool_calls.0.tool_call.function.name`]: 'add',
          [`${prefix}.tool_calls.0.tool_call.function.arguments`]: '{"a":2}',
          [`${prefix}.tool_calls.0.tool_call.reasoning_signature`]: 'sig2',
        },
      },
      {
        name: 'chat',
        spanId: '00f067aa0ba902b9',
        attributes: {
          'openinference.span.kind': 'LLM',
          [`${prefix}.content`]: 'Plain.',
          [`${prefix}.role`]: 'assistant',
        },
      },
    ]);
    expect(
      chains[0]?.steps.map(({ content, prov, opaque = [] }) => [
        content,
        provenances[prov],
        ...opaque.map(({ kind, data }) => `${kind} ${Buffer.from(data).toString()}`),
      ]),
    ).toEqual([
      ['Hm.', 'provider_thinking', `signature ${signature}`],
      ['', 'redacted', 'redacted_thinking opaque data'],
      ['Four.', 'self_report'],
      ['add({"a":2})', 'tool_event', 'reasoning_signature sig2'],
      ['Plain.', 'self_report'],
    ]);
  });

  test("spans that are each other's parents are all there", () => {
    const said = {
      'gen_ai.output.messages': '[{"role":"assistant","parts":[{"type":"text","content":"x"}]}]',
    };
    const { chains } = digested([
      { name: 'a', spanId: '00000000000000a1', parentSpanId: '00000000000000a2', attributes: said },
      { name: 'b', spanId: '00000000000000a2', parentSpanId: '00000000000000a1', attributes: said },
      { name: 'self', spanId: '00000000000000a3', parentSpanId: '00000000000000a3', attributes: said },
    ]);
    expect(chains[0]?.steps).toHaveLength(3);
  });

  test('a span without ids, and a step that is none, are counted', () => {
    const output = (part: string) => ({
      'gen_ai.output.messages': `[{"role":"assistant","parts":[${part}]}]`,
    });
    const { chains, refused } = digested([
      {
        name: 'half',
        spanId: '00000000000000b1',
        attributes: output('{"type":"reasoning","content":"x","signature":"\\ud800"}'),
      },
      { name: 'none', traceId: '', attributes: {} },
      { name: 'zeros', traceId: '0'.repeat(32), attributes: {} },
      { name: 'bad', attributes: { 'reasoning.step.type': 'guess' } },
      {
        name: 'nan',
        spanId: '00000000000000a3',
        attributes: { 'reasoning.step.type': 'analysis', 'reasoning.step.confidence': 7 },
      },
    ]);
    expect(refused).toEqual({ no_ids: 2, type: 1, confidence: 1, opaque: 1 });
    expect(chains[0]?.steps).toEqual([]);
  });

  test('a request that is cut off anywhere, or has a wrong byte anywhere, is read or refused', () => {
    const whole = asProtobuf(someSpans);
    const outcomeOf = (bytes: Uint8Array) => {
      try {
        return chainsOf(spansInProtobuf(bytes)).chains.length >= 0;
      } catch (error) {
        return error instanceof OtlpError;
      }
    };
    for (let at = 1; at < whole.length; at += 1) {
      expect(outcomeOf(whole.subarray(0, at))).toBe(true);
      const changed = Uint8Array.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      expect(outcomeOf(changed)).toBe(true);
    }
    expect(() => spansInProtobuf(whole.subarray(0, 50))).toThrow(OtlpError);
  });

  test('a message that says it is longer than it is, is refused', () => {
    const lying = new BinaryWriter().tag(1, WireType.LengthDelimited).uint32(1_000_000).finish();
    expect(() => spansInProtobuf(lying)).toThrow(OtlpError);
    expect(() => spansInProtobuf(gzipSync(asProtobuf(someSpans)))).toThrow(OtlpError);
  });

  test('values that are nested too deep are refused', () => {
    let json: unknown = { stringValue: 'deep' };
    for (let depth = 0; depth < 100; depth += 1) json = { arrayValue: { values: [json] } };
    const text = JSON.stringify({
      resourceSpans: [{ scopeSpans: [{ spans: [{ attributes: [{ key: 'x', value: json }] }] }] }],
    });
    expect(() => spansInJson(text)).toThrow(OtlpError);
  });
});
