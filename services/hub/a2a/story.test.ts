import { describe, expect, test } from 'vitest';

import type { Delivery } from '../engine/engine.ts';
import type { Stored } from '../message.ts';
import { Message, TaskState } from './protocol.ts';
import { bodyOfMessage, cancelBody, updateOf } from './said.ts';
import { Story } from './story.ts';

const guest = 'a2a:first';

/** A story that is told message by message. */
function telling() {
  const story = new Story('task', guest, 'first');
  let seq = 0;
  const say = (
    source: string,
    type: string,
    body: unknown,
    more: { timeMs?: number; sizeBytes?: number; owner?: string; to?: string[] } = {},
  ) => {
    seq += 1;
    const {
      timeMs = seq * 1_000,
      sizeBytes = 10,
      owner = source === guest ? 'first' : 'other',
      to = source === guest ? ['worker'] : [guest],
    } = more;
    const envelope = {
      id: `m${seq}`,
      type,
      source,
      to,
      priority: 'normal',
      timeMs,
      expiresAtMs: timeMs + 1,
      correlationId: 'task',
    } as const;
    const stored: Stored = {
      seq,
      envelope,
      body: { encoding: 'json', bytes: new Uint8Array(), sizeBytes },
      owner,
      readers: [],
      receivers: [],
    };
    return story.concerns(stored) ? story.hear(stored, body) : undefined;
  };
  const ask = (text: string) => {
    const told = say(
      guest,
      'request',
      bodyOfMessage(
        Message.fromJSON({ messageId: 'x', contextId: 'context', role: 'ROLE_USER', parts: [{ text }] }),
        {},
      ),
    );
    story.reaches([delivery('pending')]);
    return told;
  };
  return { story, say, ask };
}

const delivery = (state: Delivery['state'], more: Partial<Delivery> = {}): Delivery => ({
  seq: 1,
  agent: 'worker',
  state,
  attempts: state === 'pending' ? 0 : 1,
  atMs: 5_000,
  reason: undefined,
  ...more,
});

const stateIn = ({ story }: ReturnType<typeof telling>) => TaskState[story.state];

describe('how a task stands', () => {
  test.each<[string, readonly Delivery[], string]>([
    ['nobody has taken it', [delivery('pending')], 'SUBMITTED'],
    ['somebody has', [delivery('leased')], 'WORKING'],
    ['somebody had, and gave it back', [delivery('pending', { attempts: 1 })], 'WORKING'],
    ['it was acknowledged', [delivery('acknowledged')], 'WORKING'],
    ['it is a dead letter', [delivery('dead', { reason: 'expired' })], 'FAILED'],
    ['one of two is alive', [delivery('dead'), delivery('leased', { agent: 'other' })], 'WORKING'],
    ['nothing is known', [], 'SUBMITTED'],
  ])('%s', (_what, deliveries, state) => {
    const told = telling();
    told.ask('Go');
    told.story.settle(deliveries);
    expect(stateIn(told)).toBe(`TASK_STATE_${state}`);
  });

  test('who waits for its client is not failed by a dead letter', () => {
    const told = telling();
    told.ask('Go');
    told.say('worker', 'notification', { event: 'status', state: 'input_required' });
    told.story.settle([delivery('dead')]);
    expect(stateIn(told)).toBe('TASK_STATE_INPUT_REQUIRED');
    told.ask('Here');
    told.story.settle([delivery('dead')]);
    expect(stateIn(told)).toBe('TASK_STATE_FAILED');
  });

  test('what is over stays over', () => {
    const told = telling();
    told.ask('Go');
    told.say(guest, 'notification', cancelBody);
    expect(told.say('worker', 'response', { result: 'Late' })).toBeUndefined();
    expect(told.story.settle([delivery('dead')])).toEqual([]);
    expect(stateIn(told)).toBe('TASK_STATE_CANCELED');
  });

  test.each<[string, Parameters<ReturnType<typeof telling>['say']>]>([
    ['an agent that was not asked', ['forger', 'response', { result: 'x' }]],
    ['another token in the name of the client', [guest, 'notification', cancelBody, { owner: 'thief' }]],
    ['an agent to somebody else', ['worker', 'response', { result: 'x' }, { to: ['other'] }]],
  ])('%s is not heard', (_who, said) => {
    const told = telling();
    told.ask('Go');
    expect(told.say(...said)).toBeUndefined();
    expect(stateIn(told)).toBe('TASK_STATE_SUBMITTED');
  });

  test('before there is a request nothing is heard', () => {
    const told = telling();
    expect(told.say('hub', 'error', { message: 'x' })).toBeUndefined();
    expect(told.say(guest, 'notification', cancelBody)).toEqual([]);
    expect(told.story.hasBegun).toBe(false);
  });

  test('a clock that was set back does not take its time back', () => {
    const told = telling();
    told.ask('Go');
    told.say('worker', 'notification', { event: 'status', state: 'working' }, { timeMs: 90_000 });
    told.say('worker', 'response', { result: 'Done' }, { timeMs: 4_000 });
    expect(told.story.changedMs).toBe(90_000);
  });
});

describe('what it takes', () => {
  test('chunks of an artifact become one', () => {
    const { story, ask, say } = telling();
    ask('Go');
    const chunk = (text: string, append: boolean) => ({
      event: 'part',
      append,
      artifact: { artifact_id: 'log', parts: [{ text }] },
    });
    say('worker', 'notification', chunk('one', false));
    const [update] = say('worker', 'notification', chunk('two', true)) ?? [];
    expect(update).toMatchObject({
      payload: { value: { append: true, artifact: { parts: [{ content: { value: 'two' } }] } } },
    });
    expect(story.task(undefined).artifacts).toMatchObject([
      { artifactId: 'log', parts: [{ content: { value: 'one' } }, { content: { value: 'two' } }] },
    ]);
  });

  test('an artifact that makes an answer too long is told by where it is', () => {
    const { story, ask, say } = telling();
    ask('Go');
    say('worker', 'response', { result: 'x' }, { sizeBytes: 3_000_000 });
    expect(stateIn({ story } as ReturnType<typeof telling>)).toBe('TASK_STATE_COMPLETED');
    expect(story.task(undefined).artifacts[0]?.parts[0]?.content).toMatchObject({
      value: { source: 'worker', id: 'm2', body_bytes: 3_000_000 },
    });
    expect(story.bytes).toBeLessThan(100);
  });

  test('the history keeps the last messages, as many as fit', () => {
    const { story, ask, say } = telling();
    ask('Go');
    for (let at = 0; at < 150; at += 1)
      say('worker', 'notification', { event: 'status', state: 'working', text: `${at}` });
    expect(story.task(undefined).history).toHaveLength(100);
    for (let at = 0; at < 5; at += 1)
      say(
        'worker',
        'notification',
        { event: 'status', state: 'working', text: 'long' },
        { sizeBytes: 400_000 },
      );
    expect(story.task(undefined).history.length).toBeLessThanOrEqual(3);
  });
});

describe('what an agent says', () => {
  const text = (value: string) => ({ content: { $case: 'text', value } });

  test.each<[string, string, unknown, object | undefined]>([
    [
      'a text',
      'response',
      { result: 'Yes' },
      { as: 'result', artifacts: [{ artifactId: 'result', parts: [text('Yes')] }] },
    ],
    [
      'a value',
      'agent_response',
      { result: { found: 2 } },
      { artifacts: [{ parts: [{ content: { $case: 'data', value: { found: 2 } } }] }] },
    ],
    [
      'parts',
      'response',
      { result: { name: 'n', parts: [{ text: 'a' }] } },
      { artifacts: [{ name: 'n', parts: [text('a')] }] },
    ],
    [
      'a list of parts',
      'response',
      { result: [{ text: 'a' }, { url: 'https://x.test' }] },
      { artifacts: [{ parts: [text('a'), { content: { $case: 'url' } }] }] },
    ],
    [
      'parts that are none',
      'response',
      { result: { parts: [{ raw: '!' }] } },
      { artifacts: [{ parts: [{ content: { $case: 'data' } }] }] },
    ],
    [
      'artifacts',
      'response',
      { result: { artifacts: [{ parts: [{ text: 'a' }] }], message: 'm' } },
      { artifacts: [{ artifactId: 'result-1' }], parts: [text('m')] },
    ],
    [
      'words',
      'response',
      { text: 'Yes' },
      { as: 'result', artifacts: [{ artifactId: 'result', parts: [text('Yes')] }], parts: [] },
    ],
    [
      'words with a value',
      'response',
      { text: 'Two', result: 2 },
      { artifacts: [{ parts: [{ content: { value: 2 } }] }], parts: [text('Two')] },
    ],
    ['nothing', 'response', { result: null }, { as: 'result', artifacts: [] }],
    [
      'an error',
      'response',
      { error: { code: 'c', message: 'm' } },
      { state: TaskState.TASK_STATE_FAILED, parts: [text('c: m')] },
    ],
    [
      'an error of its own',
      'error',
      { message: 'm' },
      { state: TaskState.TASK_STATE_FAILED, parts: [text('m')] },
    ],
    [
      'a status',
      'notification',
      { event: 'x', state: 'Auth-Required', text: 't' },
      { state: TaskState.TASK_STATE_AUTH_REQUIRED, parts: [text('t')] },
    ],
    [
      'a status as A2A has it',
      'notification',
      { event: 'x', state: 'TASK_STATE_WORKING' },
      { state: TaskState.TASK_STATE_WORKING, parts: [] },
    ],
    ['a state that is none', 'notification', { event: 'x', state: 'happy' }, undefined],
    ['a state by number', 'notification', { event: 'x', state: 3 }, undefined],
    ['something else', 'notification', { event: 'x' }, undefined],
    [
      'a task that is blocked',
      'task_notification',
      { task_id: 't', status: 'blocked', detail: 'd' },
      { state: TaskState.TASK_STATE_INPUT_REQUIRED, parts: [text('d')] },
    ],
    [
      'a task that is done',
      'task_notification',
      { task_id: 't', status: 'completed', result: 'r' },
      { as: 'result', artifacts: [{ parts: [text('r')] }] },
    ],
    ['what is none of it', 'broadcast', { text: 'x' }, undefined],
    ['no object', 'response', 'x', undefined],
  ])('%s', (_what, type, body, expected) => {
    expect([updateOf(type, body)]).toMatchObject([expected]);
  });
});
