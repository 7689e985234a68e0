import { afterEach, beforeEach, expect, test } from 'vitest';

import { openTrial, type Trial } from './hub.fixture.ts';

let trial: Trial;
beforeEach(async () => {
  trial = await openTrial();
  await trial.call('ann', 'register_agent', { name: 'boss' });
  await trial.call('bob', 'register_agent', { name: 'worker' });
});
afterEach(async () => trial[Symbol.asyncDispose]());

const report = async (caller: string, args: object = {}) =>
  trial.call(caller, 'get_error_report', { ...args });

const work = async (id: string) =>
  trial.call('ann', 'send_message', {
    from: 'boss',
    to: ['worker'],
    type: 'notification',
    id,
    body: { text: id },
  });
const receipts = async () => {
  const { messages } = await trial.call('bob', 'receive_messages', {
    agent: 'worker',
    limit: 10,
    lease_seconds: 600,
  });
  return (messages as { receipt: string }[]).map(({ receipt }) => receipt);
};
const reject = async (receipt: string | undefined, give_up = false) =>
  trial.call('bob', 'reject_messages', {
    agent: 'worker',
    messages: [{ receipt, reason: 'connect ECONNREFUSED 10.0.0.1:5432', give_up }],
  });

test('An error message counts as a failure of its sender, once', async () => {
  const message = {
    from: 'worker',
    to: ['boss'],
    type: 'error',
    id: 'e1',
    correlation_id: 'c1',
    body: { code: 'SQLITE_BUSY', message: 'database is locked, token=abcdefgh12345678' },
  };
  await trial.call('bob', 'send_message', message);
  await trial.call('bob', 'send_message', message);

  expect(await report('bob')).toMatchObject({
    totals: { failures: 1, lost_attempts: 1 },
    patterns: [
      {
        kind: 'busy',
        code: 'SQLITE_BUSY',
        agents: ['worker'],
        message: 'database is locked, token=[redacted]',
      },
    ],
  });
  expect(await report('ann')).toMatchObject({ totals: { failures: 0 } });
});

test('A message of another type is no failure, and neither is what the hub says of dead letters', async () => {
  await work('m1');
  await trial.call('ann', 'send_message', { from: 'boss', to: ['nobody'], body: { text: 'lost' } });

  expect(await report('ann')).toMatchObject({ totals: { failures: 0 } });
});

test('A rejected delivery counts as a failure of who rejects it, and its message as delayed while it comes again', async () => {
  await work('m1');
  await work('m2');
  const [first] = await receipts();
  await reject(first);
  trial.clock.nowMs += 10_000;
  const [again] = await receipts();
  await reject(again, true);

  expect(await report('bob')).toMatchObject({
    totals: { failures: 2, lost_attempts: 2, delayed_messages: 1 },
    patterns: [{ kind: 'refused', failures: 2, message: 'connect ECONNREFUSED <n>' }],
  });
  expect(await report('ann')).toMatchObject({ totals: { failures: 0 } });
});

test('A rejection counts once, and one that comes late or names nothing does not', async () => {
  await work('m1');
  const [first] = await receipts();
  await reject(first, true);
  await reject(first, true);
  await reject('999.1');

  expect(await report('bob')).toMatchObject({ totals: { failures: 1 } });
});

test('An agent that is gone with messages at work has failed them', async () => {
  await work('m1');
  await work('m2');
  await receipts();
  trial.clock.nowMs += 130_000;
  await trial.hub.tending.tend();

  expect(await report('bob')).toMatchObject({
    totals: { failures: 1, lost_attempts: 2, delayed_messages: 2 },
    patterns: [{ kind: 'process_died', code: 'agent_gone', agents: ['worker'] }],
  });
});

test('An alert goes to the topic system.alert, as urgent as it is severe, and names no text of the failure', async () => {
  await trial.call('ann', 'subscribe_topic', { agent: 'boss', topic: 'system.alert' });
  const failure = { agent: 'worker', code: 'ENOSPC', message: 'write to /srv/secret-plans failed' };
  const answer = await trial.call('bob', 'report_error', failure);
  const again = await trial.call('bob', 'report_error', failure);
  const { messages } = await trial.call('ann', 'receive_messages', { agent: 'boss', wait_seconds: 5 });

  expect([answer['alerted'], again['alerted']]).toEqual([true, false]);
  expect(messages).toEqual([
    expect.objectContaining({
      from: 'hub',
      topic: 'system.alert',
      type: 'system_status',
      priority: 'critical',
      body: expect.objectContaining({
        event: 'alert',
        severity: 'critical',
        kind: 'disk_full',
        agents: ['worker'],
        fingerprint: (answer['failure'] as { fingerprint: string }).fingerprint,
      }) as unknown,
    }),
  ]);
  expect(JSON.stringify(messages)).not.toContain('plans');
});

test('A strategy that was set is kept by the engine, and holds for all hubs of it', async () => {
  await trial.call('bob', 'set_recovery_strategy', { agent: 'worker', steps: [{ do: 'ignore' }] });
  const [kept] = await trial.hub.mesh.engine.list('strategy', '', 10, trial.clock.nowMs);

  expect(kept).toMatchObject({ owner: 'bob', value: { agent: 'worker', steps: [{ do: 'ignore' }] } });
  expect(await trial.call('bob', 'report_error', { agent: 'worker', message: 'oops' })).toMatchObject({
    do: 'ignore',
  });
});
