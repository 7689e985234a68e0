import { describe, expect, test, vi } from 'vitest';

import { ToolError } from '#runtime/errors.ts';
import { jsonTextOf } from '#runtime/json-text.ts';

import { Directory } from './directory.ts';
import { mostLongPerToken, mostReservationsPerToken, mostSubscriptionsPerToken } from './limits.ts';
import { listened } from './streaming.ts';
import { openTrial, start, type Trial } from './hub.fixture.ts';

/** Agents with their capabilities, each of the token with its own name unless another is given. */
async function withAgents(
  agents: Readonly<Record<string, readonly string[]>>,
  options: Parameters<typeof openTrial>[0] & { readonly token?: string } = {},
) {
  const trial = await openTrial(options);
  for (const [name, capabilities] of Object.entries(agents))
    await trial.call(options.token ?? name, 'register_agent', { name, capabilities }); // oxlint-disable-line no-await-in-loop -- in this order
  return trial;
}

const bodiesOf = (answer: { readonly messages?: readonly { readonly body: unknown }[] }) =>
  answer.messages?.map(({ body }) => body);

const receive = async (trial: Trial, agent: string, args: object = {}) =>
  trial.call(agent, 'receive_messages', { agent, ...args });

const say = (from: string, to: string, text: unknown, more: object = {}) => ({
  from,
  to: [to],
  body: { data: text },
  ...more,
});

describe('agents', () => {
  test('are found by name and capability, with what waits for them', async () => {
    await using trial = await withAgents({
      lead: [],
      'worker-1': ['review'],
      'worker-2': ['review', 'build'],
    });
    await trial.call('lead', 'send_message', say('lead', 'worker-2', 1));

    const { agents } = await trial.call('lead', 'list_agents', { capability: 'review' });

    expect(agents).toMatchObject([
      { name: 'worker-1', state: 'here', yours: false, waiting: 0 },
      { name: 'worker-2', capabilities: ['review', 'build'], waiting: 1 },
    ]);
    const first = await trial.call('lead', 'list_agents', { limit: 2 });
    expect(first).toMatchObject({ agents: [{ name: 'lead', yours: true }, {}], truncated: true });
    expect(await trial.call('lead', 'list_agents', { limit: 2, cursor: first['next_cursor'] })).toMatchObject(
      {
        agents: [{ name: 'worker-2' }],
      },
    );
  });

  test('are found by name at once, with the capability that was asked for', async () => {
    await using trial = await withAgents({ lead: [], worker: ['review'] });
    const found = async (args: object) => (await trial.call('lead', 'list_agents', { ...args }))['agents'];
    expect(await found({ name: 'worker', capability: 'review' })).toMatchObject([{ name: 'worker' }]);
    expect(await found({ name: 'lead', capability: 'review' })).toEqual([]);
    expect(await found({ name: 'nobody' })).toEqual([]);
  });

  test('that only listen have so many subscriptions of one token together', () => {
    const directory = new Directory();
    const put = (key: string, owner: string) =>
      directory.apply({
        put: {
          kind: 'subscription',
          key,
          owner,
          version: 1,
          value: { agent: key, topic: 'build' },
          changedAtMs: start,
          expiresAtMs: undefined,
        },
      });
    for (const [key, owner] of [
      ['a', 'one'],
      ['b', 'one'],
      ['b', 'one'],
      ['c', 'two'],
    ] as const)
      expect(put(key, owner)).toBeUndefined();
    expect(directory.subscriptionsOfToken('one')).toBe(2);
    directory.apply({ removed: { kind: 'subscription', key: 'a' } });
    directory.apply({ removed: { kind: 'subscription', key: 'a' } });
    expect(directory.subscriptionsOfToken('one')).toBe(1);
    expect(directory.subscriptionsOfToken('nobody')).toBe(0);
  });

  test('have no more subscriptions than their token may have', async () => {
    await using trial = await withAgents({ a: [] });
    vi.spyOn(trial.hub.mesh.directory, 'subscriptionsOfToken').mockReturnValue(mostSubscriptionsPerToken);
    await expect(trial.call('a', 'subscribe_topic', { agent: 'a', topic: 'x' })).rejects.toMatchObject({
      code: 'too_large',
      hint: expect.stringContaining('unsubscribe_topic'),
    });
  });

  test('keep their mailbox when they register again, and belong to one token', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('a', 'send_message', say('a', 'b', 'kept'));

    expect(await trial.call('b', 'register_agent', { name: 'b', description: 'new' })).toMatchObject({
      new: false,
      waiting: 1,
    });
    await expect(trial.call('a', 'register_agent', { name: 'b' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(trial.call('a', 'register_agent', { name: 'hub' })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(bodiesOf(await receive(trial, 'b'))).toEqual([{ data: 'kept' }]);
  });

  const forged: readonly (readonly [string, object])[] = [
    ['send_message', { from: 'b', to: ['a'] }],
    ['receive_messages', { agent: 'b' }],
    ['acknowledge_messages', { agent: 'b', receipts: ['1.1'] }],
    ['reject_messages', { agent: 'b', messages: [{ receipt: '1.1', reason: 'x' }] }],
    ['extend_leases', { agent: 'b', receipts: ['1.1'], lease_seconds: 5 }],
    ['subscribe_topic', { agent: 'b', topic: 'x' }],
    ['unregister_agent', { name: 'b' }],
    ['send_heartbeat', { agent: 'b' }],
    ['reserve_names', { agent: 'b', names: ['x'] }],
    ['share_context', { agent: 'b', key: 'x', value: {} }],
    ['replay_messages', { agent: 'b' }],
  ];
  test.each(forged)('of another token cannot be acted for with %s', async (tool, args) => {
    await using trial = await withAgents({ a: [], b: [] });
    await expect(trial.call('a', tool, args as Record<string, unknown>)).rejects.toMatchObject({
      code: 'forbidden',
    });
    const unknown = JSON.parse(JSON.stringify(args).replaceAll('"b"', '"nobody"')) as Record<string, unknown>;
    await expect(trial.call('a', tool, unknown)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('that are silent for too long are gone: their work comes back, and their reservations end', async () => {
    await using trial = await withAgents({ lead: [], worker: ['work'], watcher: [] });
    await trial.call('watcher', 'subscribe_topic', { agent: 'watcher', topic: 'hub.*' });
    await trial.call('lead', 'send_message', say('lead', 'worker', 'job'));
    await receive(trial, 'worker', { lease_seconds: 3_600 });
    await trial.call('worker', 'reserve_names', { agent: 'worker', names: ['file:a'], ttl_seconds: 3_600 });

    trial.clock.nowMs += 121_000;
    for (const name of ['lead', 'watcher']) await trial.call(name, 'send_heartbeat', { agent: name }); // oxlint-disable-line no-await-in-loop -- two
    await trial.hub.tending.tend();

    expect(await trial.call('lead', 'list_agents', { state: 'gone' })).toMatchObject({
      agents: [{ name: 'worker' }],
    });
    expect(bodiesOf(await receive(trial, 'watcher'))).toMatchObject([
      { event: 'agent_gone', agent: 'worker' },
    ]);
    expect(await trial.call('lead', 'list_reservations', {})).toMatchObject({ reservations: [] });
    // It comes back, and gets its work again.
    expect(await receive(trial, 'worker')).toMatchObject({
      messages: [{ body: { data: 'job' }, attempt: 2 }],
    });
    expect(await trial.call('lead', 'list_agents', { name: 'worker' })).toMatchObject({
      agents: [{ state: 'here' }],
    });
  });

  test('that are gone or leave hand over to others what they were given for what they can do', async () => {
    await using trial = await withAgents({ lead: [], one: ['work'], two: ['work'] }, { token: 'team' });
    await trial.call('other', 'register_agent', { name: 'stranger', capabilities: ['work'] });
    const as = async (tool: string, args: object) => trial.call('team', tool, { ...args });
    await as('send_heartbeat', { agent: 'lead' });
    for (const text of ['1', '2', '3', '4', '5', '6'])
      await as('send_message', { from: 'lead', capability: 'work', body: { text } }); // oxlint-disable-line no-await-in-loop -- in turn
    await as('send_message', { from: 'lead', to: ['one'], body: { text: 'for one alone' } });
    await as('receive_messages', { agent: 'one', limit: 1 });
    const [ofOne = 0, ofTwo = 0] = await trial.engine.loads(['one', 'two']);
    expect([ofOne, ofTwo]).toEqual([3, 2]);

    trial.clock.nowMs += 121_000;
    for (const agent of ['lead', 'two']) await as('send_heartbeat', { agent }); // oxlint-disable-line no-await-in-loop -- two
    await trial.hub.tending.tend();
    // The stranger is gone too, and may have no more of the team's: all of it goes to the one that is left.
    expect(await trial.engine.loads(['one', 'two', 'stranger'])).toEqual([1, 6, 0]);
    await trial.call('other', 'send_heartbeat', { agent: 'stranger' });

    await as('send_heartbeat', { agent: 'one' });
    expect(await as('unregister_agent', { name: 'two' })).toMatchObject({ handed_over: 6, dead_letters: 0 });
    // It gets back what it had before, and none of the others.
    expect(await trial.engine.loads(['one', 'two', 'stranger'])).toEqual([5, 0, 2]);
    expect(bodiesOf(await as('receive_messages', { agent: 'one' }))).toHaveLength(5);
    expect(await as('unregister_agent', { name: 'one' })).toMatchObject({ handed_over: 0, dead_letters: 5 });
  });

  describe('while the store fails for a moment', () => {
    const away = new ToolError('unavailable', 'The disk is full.', { hint: 'Try again.' });
    const as = (trial: Trial) => async (tool: string, args: object) => trial.call('team', tool, { ...args });

    test.each([
      ['release', away],
      ['queued', away],
      ['unreserve', away],
      ['release', new TypeError('a bug')],
    ] as const)('are looked after later when they are gone, all of them: %s', async (method, failure) => {
      await using trial = await withAgents(
        { watcher: [], one: ['x'], two: ['y'], other: ['x', 'y'] },
        { token: 'team' },
      );
      const team = as(trial);
      await team('subscribe_topic', { agent: 'watcher', topic: 'hub.agents' });
      await team('register_agent', { name: 'other', capabilities: ['x', 'y'], status: 'draining' });
      for (const [name, capability] of Object.entries({ one: 'x', two: 'y' })) {
        /* oxlint-disable no-await-in-loop -- two */
        await team('send_message', { from: 'watcher', capability, body: { text: name } });
        await team('send_message', { from: 'watcher', to: [name], body: { text: `at work at ${name}` } });
        await team('receive_messages', { agent: name, limit: 2, lease_seconds: 3_600 });
        await team('reserve_names', { agent: name, names: [`file:${name}`], ttl_seconds: 3_600 });
        /* oxlint-enable no-await-in-loop */
      }
      await team('register_agent', { name: 'other', capabilities: ['x', 'y'] });
      trial.clock.nowMs += 121_000;
      for (const agent of ['watcher', 'other']) await team('send_heartbeat', { agent }); // oxlint-disable-line no-await-in-loop -- two

      using _failing = vi.spyOn(trial.engine, method).mockRejectedValueOnce(failure);
      await trial.hub.tending.tend();
      trial.clock.nowMs += 6_000;
      await trial.hub.tending.tend();

      expect(await trial.engine.loads(['one', 'two', 'other'])).toEqual([1, 1, 2]);
      expect(await trial.engine.reservations(trial.clock.nowMs)).toEqual([]);
      const { messages } = await team('receive_messages', { agent: 'watcher' });
      const said = (messages as { body: { agent: string } }[]).map(({ body }) => body.agent);
      expect(said.toSorted()).toEqual(['one', 'two']);
      expect(trial.hub.tending.counts.gone).toBe(2);
      // What came back is told, though the rest was done later.
      expect(await team('get_error_report', {})).toMatchObject({ totals: { delayed_messages: 4 } });
    });

    test('nothing is done for one that has come back meanwhile', async () => {
      await using trial = await withAgents({ worker: [] });
      await trial.call('worker', 'reserve_names', {
        agent: 'worker',
        names: ['file:a'],
        ttl_seconds: 3_600,
      });
      trial.clock.nowMs += 121_000;
      using _failing = vi.spyOn(trial.engine, 'release').mockRejectedValueOnce(away);
      await trial.hub.tending.tend();
      await trial.call('worker', 'send_heartbeat', { agent: 'worker' });
      await trial.hub.tending.tend();
      expect(await trial.engine.reservations(trial.clock.nowMs)).toHaveLength(1);
      expect(trial.hub.tending.counts.gone).toBe(0);
    });

    const half = async (method: 'queued' | 'vacate' | 'remove') => {
      const trial = await withAgents({ lead: [], leaver: ['work'] }, { token: 'team' });
      const team = as(trial);
      await team('send_message', { from: 'lead', capability: 'work', body: { text: 'job' } });
      await team('send_message', say('lead', 'leaver', 'for it alone'));
      await team('reserve_names', { agent: 'leaver', names: ['file:a'], ttl_seconds: 3_600 });
      await team('register_agent', { name: 'other', capabilities: ['work'] });
      const remove = trial.engine.remove.bind(trial.engine);
      // Of Redis, it may be the answer that is lost.
      using _failing = vi.spyOn(trial.engine, method).mockImplementationOnce(async (...args: unknown[]) => {
        if (method === 'remove') await remove(...(args as Parameters<typeof remove>));
        throw away;
      });
      await expect(team('unregister_agent', { name: 'leaver' })).rejects.toMatchObject({
        code: 'unavailable',
        ...(method !== 'remove' && { message: expect.stringContaining('leaver has left') }),
      });
      return { trial, team };
    };
    const left = async ({ engine, clock }: Trial) => ({
      loads: await engine.loads(['leaver', 'other']),
      reservations: await engine.reservations(clock.nowMs),
    });

    test.each(['remove', 'queued', 'vacate'] as const)(
      'one that leaves is told of it, and may ask again: %s',
      async (method) => {
        const { trial, team } = await half(method);
        await using _ = trial;
        await expect(trial.call('stranger', 'unregister_agent', { name: 'leaver' })).rejects.toMatchObject({
          code: 'not_found',
        });
        expect(await team('unregister_agent', { name: 'leaver' })).toMatchObject({
          dead_letters: 1,
          handed_over: method === 'vacate' ? 0 : 1,
          released: 1,
        });
        expect(await left(trial)).toEqual({ loads: [0, 1], reservations: [] });
        await expect(team('unregister_agent', { name: 'leaver' })).rejects.toMatchObject({
          code: 'not_found',
        });
      },
    );

    test.each(['remove', 'queued', 'vacate'] as const)(
      'one that has left is let go of by the hub itself: %s',
      async (method) => {
        const { trial } = await half(method);
        await using _ = trial;
        await trial.hub.tending.tend();
        expect(await left(trial)).toEqual({ loads: [0, 1], reservations: [] });
      },
    );
  });

  test('hand over what a rule gave them for what they can do, and go on doing so', async () => {
    await using trial = await withAgents(
      { lead: [], one: ['work'], two: ['work'], named: ['work'] },
      { token: 'team' },
    );
    const as = async (tool: string, args: object) => trial.call('team', tool, { ...args });
    await as('register_agent', { name: 'named', capabilities: ['work'], status: 'draining' });
    await as('set_routing_rule', { name: 'work', type: 'request', route_to: { capability: 'work' } });
    await as('set_routing_rule', { name: 'copy', type: 'request', route_to: { agents: ['named'] } });
    const { delivered_to: got } = await as('send_message', {
      from: 'lead',
      type: 'request',
      body: { method: 'x' },
    });
    const [first = '', second = ''] = (got as string[]).includes('one') ? ['one', 'two'] : ['two', 'one'];

    // What a rule gave by name is for that agent alone.
    expect(await as('unregister_agent', { name: 'named' })).toMatchObject({
      handed_over: 0,
      dead_letters: 1,
    });
    expect(await as('unregister_agent', { name: first })).toMatchObject({ handed_over: 1 });
    await as('register_agent', { name: 'late', capabilities: ['work'] });
    expect(await as('unregister_agent', { name: second })).toMatchObject({ handed_over: 1 });
    const { messages } = await as('receive_messages', { agent: 'late' });
    expect(messages).toMatchObject([{ body: { method: 'x' } }]);
    expect(messages[0]).not.toHaveProperty('pickedFor');
  });

  test('are there while they wait for a message, and a clock that is set back makes nobody gone', async () => {
    await using trial = await withAgents({ a: [] });
    trial.clock.nowMs -= 86_400_000;
    await trial.hub.tending.tend();
    expect(await trial.call('a', 'list_agents', {})).toMatchObject({ agents: [{ state: 'here' }] });
  });

  test('that leave for good make dead letters of what waits for them', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('b', 'reserve_names', { agent: 'b', names: ['x'] });
    await trial.call('a', 'send_message', say('a', 'b', 1));

    expect(await trial.call('b', 'unregister_agent', { name: 'b' })).toEqual({
      dead_letters: 1,
      handed_over: 0,
      released: 1,
    });
    expect(await trial.call('a', 'list_dead_letters', {})).toMatchObject({
      dead_letters: [{ agent: 'b', reason: 'its agent has left' }],
    });
    await expect(receive(trial, 'b')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('a name that another token has now', () => {
  const leave = async (trial: Trial) => {
    await trial.call('a', 'send_message', say('a', 'worker', 'private', { id: 'm' }));
    await trial.call('old', 'unregister_agent', { name: 'worker' });
    await trial.call('new', 'register_agent', { name: 'worker' });
  };
  const openWorker = async () => {
    const trial = await withAgents({ a: [], b: [] });
    await trial.call('old', 'register_agent', { name: 'worker' });
    return trial;
  };

  test('shows nothing of the dead letters that it had, and cannot send or delete them', async () => {
    await using trial = await openWorker();
    await leave(trial);
    const dead = [{ seq: 1, agent: 'worker' }];

    expect(await trial.call('new', 'list_dead_letters', {})).toEqual({ dead_letters: [] });
    expect(await trial.call('new', 'resend_dead_letters', { dead_letters: dead })).toMatchObject({
      sent: 0,
      not_found: 1,
    });
    expect(await trial.call('new', 'delete_dead_letters', { dead_letters: dead })).toEqual({ deleted: 0 });
    expect(await trial.call('new', 'receive_messages', { agent: 'worker' })).toEqual({ messages: [] });
    expect(await trial.call('a', 'list_dead_letters', {})).toMatchObject({
      dead_letters: [{ seq: 1, agent: 'worker' }],
    });
    await trial.call('a', 'send_message', say('a', 'worker', 'for the new one', { ttl_seconds: 1 }));
    trial.clock.nowMs += 1_000;
    await trial.hub.tending.tend();
    expect(await trial.call('new', 'list_dead_letters', {})).toMatchObject({
      dead_letters: [{ seq: 2, reason: 'expired' }],
    });
  });

  test('gets nothing that was still on its way when its agent left', async () => {
    await using trial = await openWorker();
    const { engine } = trial;
    await trial.call('a', 'send_message', say('a', 'worker', 'private'));
    // The hub ends before it has emptied the mailbox.
    await engine.remove('agent', 'worker', 'old');
    await trial.call('new', 'register_agent', { name: 'worker' });

    expect(await trial.call('new', 'receive_messages', { agent: 'worker' })).toEqual({ messages: [] });
    expect(await trial.call('a', 'list_dead_letters', {})).toMatchObject({
      dead_letters: [{ agent: 'worker', reason: 'its agent has left' }],
    });
  });

  test('learns nothing of ids and receipts that the one before has used', async () => {
    await using trial = await openWorker();
    const call = trial.call.bind(trial);
    await call('old', 'send_message', say('worker', 'a', 'private', { id: 'one' }));
    await call('a', 'send_message', say('a', 'worker', 'private'));
    const given = (await call('old', 'receive_messages', { agent: 'worker' }))['messages'];
    await call('old', 'acknowledge_messages', { agent: 'worker', receipts: ['2.1'] });
    expect(given).toMatchObject([{ receipt: '2.1' }]);
    trial.clock.nowMs += 1_000;
    await leave(trial);

    for (const text of ['private', 'other'])
      // oxlint-disable-next-line no-await-in-loop -- the same as before, then another
      expect(
        await call(
          'new',
          'send_message',
          say('worker', 'b', text, { id: text === 'private' ? 'one' : 'two' }),
        ),
      ).toMatchObject({ outcome: 'sent' });
    expect(await call('new', 'get_message', { from: 'worker', id: 'one' })).toMatchObject({
      text: '{"data":"private"}',
    });
    expect(await call('a', 'get_receipts', { from: 'worker', id: 'one' })).toMatchObject({ seq: 1 });
    expect(await call('b', 'get_receipts', { from: 'worker', id: 'one' })).toMatchObject({ seq: 4 });
    expect(
      await call('new', 'acknowledge_messages', { agent: 'worker', receipts: ['2.1', '3.1', '999.1'] }),
    ).toMatchObject({ acknowledged: 0, late: [], unknown: ['2.1', '3.1', '999.1'] });
  });

  test('has nothing of what the one before had when the hub ended in the middle', async () => {
    await using trial = await openWorker();
    const call = trial.call.bind(trial);
    const { engine } = trial;
    await call('old', 'subscribe_topic', { agent: 'worker', topic: 'news' });
    await call('old', 'reserve_names', { agent: 'worker', names: ['file:x'] });
    // The hub is killed while the agent leaves.
    await engine.remove('agent', 'worker', 'old');
    await call('new', 'register_agent', { name: 'worker' });

    expect(await call('a', 'send_message', { from: 'a', topic: 'news', body: {} })).toMatchObject({
      outcome: 'kept',
    });
    expect(await call('new', 'list_reservations', {})).toEqual({ reservations: [] });
    await call('new', 'subscribe_topic', { agent: 'worker', topic: 'news' });
    expect(await call('a', 'send_message', { from: 'a', topic: 'news', body: {} })).toMatchObject({
      outcome: 'sent',
    });
    expect(await call('new', 'unsubscribe_topic', { agent: 'worker', topic: 'news' })).toEqual({
      ended: true,
    });
  });

  test('keeps what it gets while the one before is still leaving', async () => {
    await using trial = await openWorker();
    const call = trial.call.bind(trial);
    for (const topic of ['t.a', 't.b', 't.c'])
      await call('old', 'subscribe_topic', { agent: 'worker', topic }); // oxlint-disable-line no-await-in-loop -- one after the other
    const leaving = call('old', 'unregister_agent', { name: 'worker' });
    await vi.waitUntil(async () => call('new', 'register_agent', { name: 'worker' }).catch(() => false), {
      interval: 0,
    });
    await call('a', 'send_message', say('a', 'worker', 'for the new one'));
    await call('new', 'reserve_names', { agent: 'worker', names: ['file:x'] });
    await leaving;

    expect(bodiesOf(await call('new', 'receive_messages', { agent: 'worker' }))).toEqual([
      { data: 'for the new one' },
    ]);
    expect((await call('new', 'list_reservations', {}))['reservations']).toHaveLength(1);
  });

  test('reads nothing that was shared with it before', async () => {
    await using trial = await openWorker();
    const plan = { agent: 'a', key: 'plan', value: {}, access: 'confidential', readers: ['worker'] };
    await trial.call('a', 'share_context', plan);
    expect(await trial.call('old', 'get_shared_context', { key: 'plan' })).toMatchObject({ version: 1 });
    await leave(trial);
    for (const caller of ['old', 'new'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect(trial.call(caller, 'get_shared_context', { key: 'plan' })).rejects.toMatchObject({
        code: 'not_found',
      });
    await trial.call('a', 'share_context', plan);
    expect(await trial.call('new', 'get_shared_context', { key: 'plan' })).toMatchObject({ version: 2 });
    await expect(trial.call('a', 'share_context', { ...plan, readers: ['nobody'] })).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('nobody') as string,
    });
  });
});

describe('messages', () => {
  test('reach their receiver, with an answer that belongs to them', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const sent = await trial.call('a', 'send_message', {
      from: 'a',
      to: ['b'],
      type: 'request',
      body: { method: 'build' },
      priority: 'high',
      subject: 'Build',
    });
    expect(sent).toMatchObject({ outcome: 'sent', delivered_to: ['b'] });

    const { messages } = await receive(trial, 'b');
    expect(messages).toMatchObject([
      {
        from: 'a',
        to: ['b'],
        type: 'request',
        body: { method: 'build' },
        priority: 'high',
        subject: 'Build',
        attempt: 1,
      },
    ]);
    const [{ receipt, id, correlation_id: conversation }] = messages;
    await trial.call('b', 'send_message', {
      from: 'b',
      to: ['a'],
      type: 'response',
      body: { result: 'built' },
      reply_to: id,
      correlation_id: conversation,
    });
    expect(await trial.call('b', 'acknowledge_messages', { agent: 'b', receipts: [receipt] })).toEqual({
      acknowledged: 1,
      late: [],
      unknown: [],
    });
    expect(await trial.call('a', 'get_receipts', { from: 'a', id: sent['id'] })).toMatchObject({
      deliveries: [{ agent: 'b', state: 'acknowledged', attempts: 1 }],
    });
    trial.clock.nowMs += 5_000;
    expect(await trial.call('a', 'get_thread', { correlation_id: conversation })).toMatchObject({
      summary: { messages: 2, unanswered: [], types: { request: 1, response: 1 }, complete: true },
      messages: [{ from: 'a' }, { from: 'b', reply_to: id }],
    });
  });

  test('to a capability go to the least loaded, or to all that have it', async () => {
    await using trial = await withAgents({ lead: [], one: ['review'], two: ['review'], three: ['build'] });
    const ask = (pick: string) => ({
      from: 'lead',
      capability: 'review',
      pick,
      type: 'request',
      body: { method: 'x' },
    });
    const to = [];
    for (let number = 0; number < 4; number += 1) {
      const { delivered_to: names } = await trial.call('lead', 'send_message', ask('any')); // oxlint-disable-line no-await-in-loop -- in this order
      to.push(names[0]);
    }
    expect(to.filter((name) => name === 'one')).toHaveLength(2);
    expect(to.filter((name) => name === 'two')).toHaveLength(2);
    expect(await trial.call('lead', 'send_message', ask('all'))).toMatchObject({
      delivered_to: ['one', 'two'],
    });
  });

  test('to a topic go to those who have subscribed, and fit their filter', async () => {
    await using trial = await withAgents({ a: [], all: [], failed: [], none: [] });
    await trial.call('all', 'subscribe_topic', { agent: 'all', topic: 'build.**' });
    await trial.call('failed', 'subscribe_topic', {
      agent: 'failed',
      topic: 'build.*',
      match: { state: 'failed' },
    });
    const tell = async (state: string) =>
      trial.call('a', 'send_message', { from: 'a', topic: 'build.done', body: { state } });

    expect(await tell('passed')).toMatchObject({ outcome: 'sent', delivered_to: ['all'] });
    expect((await tell('failed'))['delivered_to'].toSorted()).toEqual(['all', 'failed']);
    expect(await trial.call('a', 'send_message', { from: 'a', topic: 'other', body: {} })).toMatchObject({
      outcome: 'kept',
    });
    expect(await trial.call('all', 'list_subscriptions', { agent: 'all' })).toEqual({
      subscriptions: [{ topic: 'build.**' }],
    });
    expect(await trial.call('all', 'unsubscribe_topic', { agent: 'all', topic: 'build.**' })).toEqual({
      ended: true,
    });
    expect(await tell('passed')).toMatchObject({ outcome: 'kept' });
    // All may read what was said about a topic.
    expect(await trial.call('none', 'get_message_history', { topic: 'build.*' })).toMatchObject({
      messages: [{}, {}, {}],
    });
  });

  test('do not follow a rule to whoever takes a name later', async () => {
    await using trial = await withAgents({ a: [], lead: [] });
    await trial.call('a', 'set_routing_rule', { name: 'to-lead', route_to: { agents: ['lead'] } });
    expect((await trial.call('a', 'list_routing_rules', {}))['rules'][0]).not.toHaveProperty('owners');
    await trial.call('lead', 'unregister_agent', { name: 'lead' });
    await trial.call('thief', 'register_agent', { name: 'lead' });

    const lost = await trial.call('a', 'send_message', { from: 'a', body: {} });
    expect(lost).toMatchObject({ outcome: 'dead_letter', reason: expect.stringContaining('to-lead') });
    expect(bodiesOf(await trial.call('thief', 'receive_messages', { agent: 'lead' }))).toEqual([]);

    await trial.call('a', 'set_routing_rule', { name: 'to-lead', route_to: { agents: ['lead'] } });
    expect(await trial.call('a', 'send_message', { from: 'a', body: {} })).toMatchObject({
      delivered_to: ['lead'],
    });

    // Nobody has the names yet: they are for agents of the rule's own token.
    const later = { name: 'to-lead', route_to: { agents: ['later', 'mine'] } };
    await trial.call('a', 'set_routing_rule', later);
    await trial.call('thief', 'register_agent', { name: 'later' });
    await trial.call('a', 'register_agent', { name: 'mine' });
    expect(await trial.call('a', 'send_message', { from: 'a', body: {} })).toMatchObject({
      delivered_to: ['mine'],
    });
  });

  test('are said to a topic of the hub by the hub alone', async () => {
    await using trial = await withAgents({ a: [], watcher: [] });
    await trial.call('watcher', 'subscribe_topic', { agent: 'watcher', topic: '**' });
    for (const topic of ['hub.agents', 'hub.dead_letters', 'system.alert'])
      // oxlint-disable-next-line no-await-in-loop -- three
      await expect(
        trial.call('a', 'send_message', {
          from: 'a',
          topic,
          type: 'system_status',
          body: { event: 'alert' },
        }),
      ).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining(topic) });
    expect(await receive(trial, 'watcher')).toEqual({ messages: [] });
  });

  test('lose no key of their body: one that would be lost is refused', async () => {
    await using trial = await withAgents({ a: [] });
    const value = JSON.parse('{"__proto__":{"x":1},"y":1}') as object;
    let deep: object = {};
    for (let times = 0; times < 101; times += 1) deep = { deep };
    for (const [tool, args] of [
      ['share_context', { agent: 'a', key: 'k', value: deep }],
      ['register_agent', { name: 'a', card: deep }],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- two
      await expect(trial.call('a', tool, args)).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining('more than 100 times'),
      });
    for (const [tool, args] of [
      ['send_message', { from: 'a', to: ['a'], body: value }],
      ['share_context', { agent: 'a', key: 'k', value }],
      ['register_agent', { name: 'a', card: value }],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- three
      await expect(trial.call('a', tool, args)).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining('__proto__'),
      });
    await trial.call('a', 'send_message', { from: 'a', to: ['a'], body: { inner: value } });
    expect(JSON.stringify(bodiesOf(await receive(trial, 'a')))).toBe(`[{"inner":${JSON.stringify(value)}}]`);
  });

  test('to topics with very many slow subscriptions leave others their turn', async () => {
    await using trial = await withAgents({ a: [], slow: [] });
    const type = 'a'.repeat(200);
    await trial.call('a', 'register_message_type', { name: type, schema: { type: 'object' } });
    const value = { agent: 'slow', types: Array<string>(20).fill(`*${'a'.repeat(99)}b`) };
    for (let count = 0; count < 2_000; count += 1)
      trial.hub.mesh.directory.apply({
        put: {
          kind: 'subscription',
          key: `slow:${count}`,
          owner: 'slow',
          version: 1,
          value: { ...value, topic: count % 2 === 0 ? 'news' : `*${count}*` },
          changedAtMs: start,
          expiresAtMs: undefined,
        },
      });
    const done: string[] = [];
    const slow = trial
      .call('a', 'send_message', { from: 'a', topic: 'news', type, body: {} })
      .then(() => done.push('slow'));
    for (let times = 0; times < 3; times += 1) {
      await trial.call('slow', 'send_heartbeat', { agent: 'slow' }); // oxlint-disable-line no-await-in-loop -- one after the other
      done.push('quick');
    }
    await slow;
    expect(done).toEqual(['quick', 'quick', 'quick', 'slow']);
  });

  test('without an address follow the rules of their own token, or of one that may rule for all', async () => {
    await using trial = await withAgents({ a: [], lead: [], operator: [], thief: [] });
    const error = { from: 'a', type: 'error', body: { code: 'x', message: 'broke' } };
    const rule = (name: string, to: string) => ({ name, type: 'error', route_to: { agents: [to] } });
    await trial.call('thief', 'set_routing_rule', rule('steal', 'thief'));
    expect(await trial.call('a', 'send_message', error)).toMatchObject({ outcome: 'dead_letter' });

    expect(await trial.call('a', 'set_routing_rule', rule('own', 'lead'))).toMatchObject({
      applies_to: 'yours',
    });
    expect(await trial.call('a', 'send_message', error)).toMatchObject({ delivered_to: ['lead'] });
    expect(await trial.call('operator', 'set_routing_rule', rule('all', 'operator'))).toMatchObject({
      applies_to: 'all',
    });
    expect((await trial.call('a', 'send_message', error))['delivered_to'].toSorted()).toEqual([
      'lead',
      'operator',
    ]);
    expect(await trial.call('a', 'list_routing_rules', {})).toMatchObject({
      rules: [
        { name: 'all', yours: false },
        { name: 'own', yours: true },
      ],
    });
    // Each token has names of its own.
    expect(await trial.call('a', 'delete_routing_rule', { name: 'all' })).toEqual({ deleted: false });
    expect(await trial.call('a', 'set_routing_rule', rule('steal', 'lead'))).toMatchObject({ version: 1 });
    expect(await trial.call('a', 'delete_routing_rule', { name: 'steal' })).toEqual({ deleted: true });
    expect(await trial.call('thief', 'list_routing_rules', {})).toMatchObject({
      rules: [{ name: 'all' }, { name: 'steal', yours: true }],
    });
  });

  test('that nobody gets count for their sender, with what it is told of them', async () => {
    await using trial = await withAgents({ a: [] });
    const items = () => trial.hub.kept().holdings.map(({ owner, items: count }) => [owner, count]);
    const before = items();
    await trial.call('a', 'send_message', { from: 'a', to: ['nobody'], body: {} });
    expect(before).toEqual([['a', 1]]);
    expect(items()).toEqual([['a', 3]]);
  });

  test('that nobody gets are dead letters, and their sender is told, once', async () => {
    await using trial = await withAgents({ a: [] });
    const sent = await trial.call('a', 'send_message', say('a', 'nobody', 1, { id: 'lost' }));
    expect(sent).toMatchObject({ outcome: 'dead_letter', unknown: ['nobody'] });

    const { messages } = await receive(trial, 'a');
    expect(messages).toMatchObject([
      { from: 'hub', type: 'error', reply_to: 'lost', body: { code: 'no_route' } },
    ]);
    await trial.call('a', 'send_message', {
      from: 'a',
      to: ['nobody'],
      type: 'error',
      body: { code: 'x', message: 'y' },
    });
    expect(await receive(trial, 'a')).toMatchObject({ messages: [] });
  });

  test('sent again under their id are sent once; another one under it is refused', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const message = say('a', 'b', 1, { id: 'once' });
    const { seq } = await trial.call('a', 'send_message', message);
    expect(await trial.call('a', 'send_message', message)).toMatchObject({ outcome: 'duplicate', seq });
    await expect(trial.call('a', 'send_message', { ...message, body: { data: 2 } })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(bodiesOf(await receive(trial, 'b'))).toEqual([{ data: 1 }]);
  });

  const wrong: readonly (readonly [string, object, string])[] = [
    ['two addresses', { to: ['b'], topic: 'x' }, 'invalid_input'],
    ['an unknown type', { to: ['b'], type: 'my.own' }, 'not_found'],
    ['a body that its type does not take', { to: ['b'], type: 'error', body: 5 }, 'invalid_input'],
    ['a name that cannot be one', { to: ['No Name'] }, 'invalid_input'],
    ['an unknown argument', { to: ['b'], urgent: true }, 'invalid_input'],
    [
      'a body twice',
      { to: ['b'], body: {}, packed: { encoding: 'json', data: 'e30=', size_bytes: 2 } },
      'invalid_input',
    ],
    [
      'a body that unpacks to more than it says',
      { to: ['b'], packed: { encoding: 'json', data: 'e30=', size_bytes: 1 } },
      'invalid_input',
    ],
    [
      'a body that is too large',
      { to: ['b'], packed: { encoding: 'gzip', data: 'e30=', size_bytes: 10_485_761 } },
      'too_large',
    ],
    ['a time to live of nothing', { to: ['b'], ttl_seconds: 0 }, 'invalid_input'],
    ['a number that is too large to be one', { to: ['b'], body: { n: [1, Infinity] } }, 'invalid_input'],
  ];
  test.each(wrong)('with %s are refused, and nothing is kept', async (_what, args, code) => {
    await using trial = await withAgents({ a: [], b: [] });
    await expect(trial.call('a', 'send_message', { from: 'a', ...args })).rejects.toMatchObject({ code });
    const batch = { messages: [say('a', 'b', 1), { from: 'a', ...args }] };
    await expect(trial.call('a', 'send_messages', batch)).rejects.toMatchObject({ code });
    expect(await trial.call('a', 'get_message_history', {})).toMatchObject({ messages: [] });
  });

  test('go in batches, in order, and one that a mailbox refuses keeps no other back', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('full', 'register_agent', { name: 'full', mailbox: { most: 1 } });
    const { sent, results } = await trial.call('a', 'send_messages', {
      messages: [say('a', 'b', 1), say('a', 'full', 1), say('a', 'full', 2), say('a', 'b', 2)],
    });
    expect(sent).toBe(3);
    expect(results[2].error).toMatch(/^unavailable: The mailbox of full is full/);
    expect(bodiesOf(await receive(trial, 'b'))).toEqual([{ data: 1 }, { data: 2 }]);
    await expect(trial.call('a', 'send_message', say('a', 'full', 3))).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterMs: expect.any(Number) as number,
    });
  });

  test('that go to very many mailboxes in one call are refused, and none is sent', async () => {
    await using trial = await withAgents({ a: [] });
    for (let at = 0; at < 101; at += 1) await trial.call('b', 'register_agent', { name: `b${at}` }); // oxlint-disable-line no-await-in-loop -- in this order
    const toAll = { from: 'a', to: ['*'], body: { data: 1 } };
    await expect(
      trial.call('a', 'send_messages', { messages: Array.from({ length: 100 }, () => toAll) }),
    ).rejects.toMatchObject({ code: 'too_large' });
    expect(await trial.call('a', 'get_message_history', {})).toEqual({ messages: [] });
    const messages = Array.from({ length: 99 }, () => toAll);
    expect(await trial.call('a', 'send_messages', { messages })).toMatchObject({ sent: 99 });
  });

  test('to a topic reach those who listen, however many agents a token has there', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('b', 'subscribe_topic', { agent: 'b', topic: '**' });
    const entry = { owner: 'crowd', version: 1, changedAtMs: start, expiresAtMs: undefined };
    for (let at = 0; at < 10_000; at += 1) {
      const [agent, key] = [`crowd-${at}`, `crowd-${at}:all`];
      const value = { agent, topic: '**' };
      trial.hub.mesh.directory.apply({ put: { ...entry, kind: 'agent', key: agent, value: {} } });
      trial.hub.mesh.directory.apply({ put: { ...entry, kind: 'subscription', key, value } });
    }
    expect(await trial.call('a', 'send_message', { from: 'a', topic: 'news', body: {} })).toMatchObject({
      outcome: 'sent',
    });
    expect((await receive(trial, 'b'))['messages']).toMatchObject([{ topic: 'news' }]);
  });

  test('that died together in many mailboxes are listed page after page', async () => {
    await using trial = await withAgents({ a: [], b: [], c: [], d: [] });
    await trial.call('a', 'send_message', { from: 'a', to: ['b', 'c', 'd'], body: {}, ttl_seconds: 1 });
    trial.clock.nowMs += 1_000;
    await trial.hub.tending.tend();
    const first = await trial.call('a', 'list_dead_letters', { limit: 2 });
    const cursor = first['next_cursor'] as string;
    const rest = await trial.call('a', 'list_dead_letters', { limit: 2, cursor });
    const agents = [first, rest].flatMap(({ dead_letters: dead }) =>
      (dead as { agent: string }[]).map(({ agent }) => agent),
    );
    expect(agents).toEqual(['d', 'c', 'b']);
  });

  test('of a registered type have to fit its schema', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const schema = { type: 'object', properties: { size: { type: 'integer' } }, required: ['size'] };
    await trial.call('a', 'register_message_type', { name: 'my.build', schema, expects_answer: true });
    const send = async (body: object) =>
      trial.call('b', 'send_message', { from: 'b', to: ['a'], type: 'my.build', body });
    expect(await send({ size: 1 })).toMatchObject({ outcome: 'sent' });
    await expect(send({ size: 'x' })).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(
      trial.call('b', 'register_message_type', { name: 'my.build', schema }),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(trial.call('b', 'register_message_type', { name: 'request', schema })).rejects.toMatchObject(
      { code: 'conflict' },
    );
    expect(await trial.call('b', 'list_message_types', { name: 'my.build' })).toMatchObject({
      types: [{ name: 'my.build', schema }],
    });
    const { types } = await trial.call('b', 'list_message_types', {});
    expect(types.length).toBeGreaterThan(15);
  });

  test('that are long are told by their beginning, and read in pages', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const text = 'lorem ipsum '.repeat(10_000);
    await trial.call('a', 'send_message', say('a', 'b', text, { id: 'long' }));
    const { messages } = await receive(trial, 'b');
    expect(messages).toMatchObject([
      {
        body: null,
        body_bytes: text.length + 11,
        body_beginning: expect.stringContaining('lorem') as string,
      },
    ]);
    let read = '';
    for (let offset: number | undefined = 0; offset !== undefined;) {
      const page = await trial.call('b', 'get_message', { from: 'a', id: 'long', offset }); // oxlint-disable-line no-await-in-loop -- page after page
      read += page['text'] as string;
      offset = page['next'] as number | undefined;
    }
    expect(JSON.parse(read)).toEqual({ data: text });
    await expect(trial.call('stranger', 'get_message', { from: 'a', id: 'long' })).rejects.toMatchObject({
      code: 'not_found',
    });
    const [{ receipt }] = messages;
    await trial.call('b', 'reject_messages', {
      agent: 'b',
      messages: [{ receipt, reason: 'whole, please', retry_seconds: 0 }],
    });
    expect(bodiesOf(await receive(trial, 'b', { max_bytes: 1_000_000 }))).toEqual([{ data: text }]);
  });

  test('packed by their sender arrive as they were', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const { gzipSync, zstdCompressSync } = await import('node:zlib');
    const json = JSON.stringify({ text: 'x'.repeat(3_000) });
    for (const [encoding, packed] of [
      ['gzip', gzipSync(json)],
      ['zstd', zstdCompressSync(json)],
    ] as const)
      await trial.call('a', 'send_message', {
        from: 'a',
        to: ['b'],
        packed: { encoding, data: packed.toString('base64'), size_bytes: json.length },
      }); // oxlint-disable-line no-await-in-loop -- two
    expect(bodiesOf(await receive(trial, 'b'))).toEqual([JSON.parse(json), JSON.parse(json)]);
  });
});

describe('receiving', () => {
  test('waits for a message, and ends when it comes', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const waiting = receive(trial, 'b', { wait_seconds: 50 });
    await expect.poll(() => trial.hub.receiving.waiting()).toBe(1);
    await trial.call('a', 'send_message', say('a', 'b', 'now'));
    expect(bodiesOf(await waiting)).toEqual([{ data: 'now' }]);
    expect(trial.hub.receiving.waiting()).toBe(0);
    expect(trial.updated).toContain('b');
  });

  test('ends with its call, and takes nothing then', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    const client = new AbortController();
    const waiting = trial.call(
      'b',
      'receive_messages',
      { agent: 'b', wait_seconds: 50 },
      { signal: client.signal },
    );
    await expect.poll(() => trial.hub.receiving.waiting()).toBe(1);
    client.abort();
    expect(await waiting).toEqual({ messages: [] });
    await trial.call('a', 'send_message', say('a', 'b', 1));
    expect(await receive(trial, 'b')).toMatchObject({ messages: [{ attempt: 1 }] });
  });

  test('ends when the hub stops', async () => {
    await using trial = await withAgents({ b: [] });
    const waiting = receive(trial, 'b', { wait_seconds: 50 });
    await expect.poll(() => trial.hub.receiving.waiting()).toBe(1);
    trial.hub.receiving.stop();
    expect(await waiting).toEqual({ messages: [] });
  });

  test('acknowledges what came before, and says what came too late', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('a', 'send_messages', { messages: [say('a', 'b', 1), say('a', 'b', 2)] });
    const { messages } = await receive(trial, 'b', { limit: 1 });
    const next = await receive(trial, 'b', { acknowledge: [messages[0].receipt] });
    expect(next).toMatchObject({ acknowledged: 1, messages: [{ body: { data: 2 } }] });

    trial.clock.nowMs += 61_000;
    await trial.hub.tending.tend();
    const again = await receive(trial, 'b');
    expect(again).toMatchObject({ messages: [{ body: { data: 2 }, attempt: 2 }] });
    const late = next['messages'][0].receipt as string;
    expect(await receive(trial, 'b', { acknowledge: [late] })).toEqual({
      messages: [],
      acknowledged: 0,
      late: [late],
    });
  });

  test('keeps what it needs longer, and gives back what it cannot do', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('a', 'send_messages', { messages: [say('a', 'b', 1), say('a', 'b', 2)] });
    const { messages } = await receive(trial, 'b');
    const [one, two] = messages.map(({ receipt }: { receipt: string }) => receipt);
    expect(
      await trial.call('b', 'extend_leases', { agent: 'b', receipts: [one], lease_seconds: 600 }),
    ).toEqual({ extended: 1, late: [], unknown: [] });
    expect(
      await trial.call('b', 'reject_messages', {
        agent: 'b',
        messages: [{ receipt: two, reason: 'not mine', give_up: true }],
      }),
    ).toEqual({ returned: 0, dead: 1, late: [], unknown: [] });
    trial.clock.nowMs += 300_000;
    await trial.call('b', 'send_heartbeat', { agent: 'b' });
    await trial.hub.tending.tend();
    expect(await receive(trial, 'b')).toEqual({ messages: [] });
    expect(await trial.call('a', 'list_dead_letters', {})).toMatchObject({
      dead_letters: [{ agent: 'b', reason: 'not mine' }],
    });
  });

  test('brings a message back later each time, until it is a dead letter that can be sent again', async () => {
    await using trial = await withAgents({ a: [], b: [], c: [] });
    const { seq } = await trial.call('a', 'send_message', say('a', 'b', 1));
    for (const delayMs of [1_000, 2_000, 0]) {
      /* oxlint-disable no-await-in-loop -- in this order */
      const { messages } = await receive(trial, 'b');
      const [{ receipt }] = messages;
      const rejected = await trial.call('b', 'reject_messages', {
        agent: 'b',
        messages: [{ receipt, reason: 'busy' }],
      });
      expect(rejected).toMatchObject(delayMs > 0 ? { returned: 1 } : { dead: 1 });
      trial.clock.nowMs += delayMs - 1;
      await trial.hub.tending.tend();
      expect(await receive(trial, 'b')).toEqual({ messages: [] });
      trial.clock.nowMs += 1;
      await trial.hub.tending.tend();
      /* oxlint-enable no-await-in-loop */
    }
    const dead = [{ seq, agent: 'b' }];
    expect(await trial.call('c', 'resend_dead_letters', { dead_letters: dead })).toEqual({
      sent: 0,
      full: 0,
      not_found: 1,
    });
    // Its receiver may not let others have it as if its sender had meant them.
    expect(await trial.call('b', 'resend_dead_letters', { dead_letters: dead, to: 'c' })).toMatchObject({
      sent: 0,
      not_found: 1,
    });
    expect(await trial.call('a', 'resend_dead_letters', { dead_letters: dead, to: 'c' })).toEqual({
      sent: 1,
      full: 0,
      not_found: 0,
    });
    expect(bodiesOf(await receive(trial, 'c'))).toEqual([{ data: 1 }]);
  });

  test('of the hub itself is sent on to nobody else', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    await trial.call('a', 'send_message', { from: 'a', to: ['nobody'], body: {} });
    const { messages } = await receive(trial, 'a');
    const [{ seq, receipt, from }] = messages;
    expect(from).toBe('hub');
    await trial.call('a', 'reject_messages', {
      agent: 'a',
      messages: [{ receipt, reason: 'x', give_up: true }],
    });
    const dead = { dead_letters: [{ seq, agent: 'a' }] };
    expect(await trial.call('a', 'resend_dead_letters', { ...dead, to: 'b' })).toMatchObject({
      not_found: 1,
    });
    expect(await trial.call('a', 'resend_dead_letters', dead)).toMatchObject({ sent: 1 });
  });

  test('gives nothing that has expired, and tells those who watch dead letters', async () => {
    await using trial = await withAgents({ a: [], b: [], stranger: [] });
    await trial.call('a', 'register_agent', { name: 'watcher' });
    await trial.call('operator', 'register_agent', { name: 'overseer' });
    for (const [token, agent] of [
      ['a', 'watcher'],
      ['b', 'b'],
      ['stranger', 'stranger'],
      ['operator', 'overseer'],
    ] as const)
      await trial.call(token, 'subscribe_topic', { agent, topic: 'hub.dead_letters' }); // oxlint-disable-line no-await-in-loop -- one after the other
    await trial.call('a', 'send_message', say('a', 'b', 1, { ttl_seconds: 10, id: 'short' }));
    trial.clock.nowMs += 10_000;
    await trial.hub.tending.tend();
    const told = { event: 'dead_letter', id: 'short', reason: 'expired' };
    for (const [token, agent] of [
      ['a', 'watcher'],
      ['b', 'b'],
      ['operator', 'overseer'],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(bodiesOf(await trial.call(token, 'receive_messages', { agent }))).toMatchObject([told]);
    await trial.call('a', 'send_message', say('a', 'b', 2, { id: 'refused' }));
    const given = await receive(trial, 'b');
    await trial.call('b', 'reject_messages', {
      agent: 'b',
      messages: [{ receipt: given['messages'][0].receipt, reason: 'not mine', give_up: true }],
    });
    // Others learn nothing of what is between two tokens.
    expect(await receive(trial, 'stranger')).toEqual({ messages: [] });
    const inHistory = async (token: string) =>
      bodiesOf(await trial.call(token, 'get_message_history', { topic: 'hub.dead_letters' }));
    expect(await inHistory('stranger')).toEqual([]);
    for (const token of ['a', 'b', 'operator'])
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await inHistory(token)).toMatchObject([
        { id: 'refused', from: 'a', agent: 'b', reason: 'not mine' },
        told,
      ]);
    expect(await trial.call('b', 'delete_dead_letters', { dead_letters: [{ seq: 1, agent: 'b' }] })).toEqual({
      deleted: 1,
    });
  });
});

test('long bodies that clients do not take fill no memory: a few are whole, the others are told by their beginning', async () => {
  const agents = Array.from({ length: mostLongPerToken + 1 }, (_, at) => `a${at}`);
  await using trial = await withAgents(Object.fromEntries(agents.map((name) => [name, []])), { token: 'a' });
  const body = { data: 'x'.repeat(1_100_000) };
  await trial.call('a', 'send_message', { from: 'a0', to: agents, body });
  await trial.call('a', 'send_message', { from: 'a1', to: ['a0'], body });
  const ending = new AbortController();
  const listen = (agent: string) => {
    const given = { agent, window: 20 };
    return listened.listen(given, trial.hub, { caller: 'a', tokenHash: '', signal: ending.signal });
  };
  const streams = await Promise.all(
    agents.map(async (agent) => (await listen(agent))[Symbol.asyncIterator]()),
  );
  const bodyIn = (data: object) => (JSON.parse(jsonTextOf(data)) as { body: unknown }).body;
  const bodies: unknown[] = [];
  for (const stream of streams) bodies.push(bodyIn((await stream.next()).value.data)); // oxlint-disable-line no-await-in-loop -- one after the other
  expect(bodies.filter((one) => one === null)).toHaveLength(1);
  expect(bodies.at(-1)).toBeNull();

  // One that is taken makes room.
  const next = await streams[0]?.next();
  expect(bodyIn(next?.value.data)).toEqual(body);
  ending.abort();
  await Promise.all(streams.map(async (stream) => stream.return?.()));
});

describe('the history', () => {
  test('shows each token what its agents sent and got, and topics', async () => {
    await using trial = await withAgents({ a: [], b: [], c: [] });
    await trial.call('a', 'send_message', say('a', 'b', 'secret'));
    trial.clock.nowMs += 1_000;
    await trial.call('a', 'send_message', { from: 'a', topic: 't', body: { data: 'open' } });
    const seen = async (caller: string, args: object = {}) =>
      bodiesOf(await trial.call(caller, 'get_message_history', { ...args }));

    expect(await seen('a')).toEqual([{ data: 'open' }, { data: 'secret' }]);
    expect(await seen('b', { order: 'oldest' })).toEqual([{ data: 'secret' }, { data: 'open' }]);
    expect(await seen('c')).toEqual([{ data: 'open' }]);
    expect(await seen('a', { agent: 'b' })).toEqual([{ data: 'secret' }]);
    expect(await seen('a', { since: new Date(start + 500).toISOString() })).toEqual([{ data: 'open' }]);
    expect(await seen('a', { until: new Date(start + 500).toISOString() })).toEqual([{ data: 'secret' }]);
    const first = await trial.call('a', 'get_message_history', { limit: 1 });
    expect(
      bodiesOf(await trial.call('a', 'get_message_history', { limit: 1, cursor: first['next_cursor'] })),
    ).toEqual([{ data: 'secret' }]);
    expect(await trial.call('c', 'get_thread', { correlation_id: 'nothing' })).toMatchObject({
      summary: { messages: 0 },
      messages: [],
    });
  });

  test('is replayed into a mailbox, marked', async () => {
    await using trial = await withAgents({ a: [], late: [] });
    for (const text of [1, 2, 3])
      await trial.call('a', 'send_message', { from: 'a', topic: 't', body: { data: text } }); // oxlint-disable-line no-await-in-loop -- in this order
    const first = await trial.call('late', 'replay_messages', { agent: 'late', topic: 't', limit: 2 });
    expect(first).toMatchObject({ replayed: 2, left_out: 0, truncated: true });
    expect(await receive(trial, 'late')).toMatchObject({
      messages: [
        { body: { data: 1 }, replay: true },
        { body: { data: 2 }, replay: true },
      ],
    });
    expect(
      await trial.call('late', 'replay_messages', {
        agent: 'late',
        topic: 't',
        limit: 2,
        cursor: first['next_cursor'],
      }),
    ).toMatchObject({ replayed: 1 });
  });
});

test('many who read the whole history at once leave others their turn', async () => {
  await using trial = await withAgents({ a: [], b: [] });
  for (let batch = 0; batch < 2; batch += 1)
    // oxlint-disable-next-line no-await-in-loop -- in this order
    await trial.call('a', 'send_messages', {
      messages: Array.from({ length: 100 }, (_, at) => say('a', 'b', at)),
    });
  const { history } = trial.hub;
  let ended = 0;
  const all = Array.from({ length: 100 }, async () => {
    const { messages } = await history.search({ backwards: false, most: 1_000 }, undefined, 'b');
    ended += 1;
    return messages.length;
  });
  // Sockets are looked at then.
  const meanwhile = await new Promise<number>((done) => {
    setImmediate(() => done(ended));
  });
  expect(await Promise.all(all)).toEqual(all.map(() => 200));
  expect(meanwhile).toBeLessThan(all.length);
});

describe('what agents share', () => {
  test('a reservation is had by one agent, and the others are told by whom', async () => {
    await using trial = await withAgents({ a: [], b: [] });
    expect(
      await trial.call('a', 'reserve_names', {
        agent: 'a',
        names: ['file:src/**'],
        reason: 'splitting',
        ttl_seconds: 60,
      }),
    ).toMatchObject({ reserved: [{ name: 'file:src/**', fence: 1 }] });
    const wanted = trial.call('b', 'reserve_names', { agent: 'b', names: ['file:x', 'file:src/a.ts'] });
    await expect(wanted).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(
        /^file:src\/\*\* is reserved by a until 2026-11-29T12:01:00.000Z \(splitting\)\./,
      ) as string,
      isUntrusted: true,
    });
    expect(await trial.call('b', 'list_reservations', { beginning: 'file:src' })).toMatchObject({
      reservations: [{ agent: 'a', reason: 'splitting' }],
    });
    expect(await trial.call('a', 'release_names', { agent: 'a' })).toEqual({ released: ['file:src/**'] });
    expect(await trial.call('b', 'reserve_names', { agent: 'b', names: ['file:src/a.ts'] })).toMatchObject({
      reserved: [{}],
    });
    trial.clock.nowMs += 900_000;
    expect(await trial.call('b', 'list_reservations', {})).toEqual({ reservations: [] });
  });

  test('a reservation is made anew also by who has as many as it may have', async () => {
    await using trial = await withAgents({ a: [] });
    const names = Array.from({ length: mostReservationsPerToken }, (_, at) => `ticket:${at}`);
    for (let from = 0; from < names.length; from += 100)
      await trial.call('a', 'reserve_names', { agent: 'a', names: names.slice(from, from + 100) }); // oxlint-disable-line no-await-in-loop -- one after the other
    const again = await trial.call('a', 'reserve_names', { agent: 'a', names: names.slice(0, 100) });
    expect(again['reserved']).toHaveLength(100);
    await expect(
      trial.call('a', 'reserve_names', { agent: 'a', names: ['ticket:0', 'ticket:new'] }),
    ).rejects.toMatchObject({ code: 'too_large' });
  });

  test('that another token shares what one may not read under a key cannot be found out, and takes the key from nobody', async () => {
    await using trial = await withAgents({ a: [], b: [], c: [] });
    const share = async (caller: string, value: string, args: object = {}) =>
      trial.call(caller, 'share_context', { agent: caller, key: 'plan', value: { value }, ...args });
    const got = async (caller: string) =>
      (await trial.call(caller, 'get_shared_context', { key: 'plan' }))['value'].value as string;
    for (const access of ['private', 'confidential', 'restricted']) {
      /* oxlint-disable no-await-in-loop -- one after the other */
      await share('a', access, { access, readers: access === 'private' ? [] : ['c'] });
      await expect(share('b', 'own', { if_version: 1 })).rejects.toMatchObject({
        code: 'conflict',
        message: 'plan is not shared.',
      });
      trial.clock.nowMs += 1;
      expect(await share('b', 'of b', { if_version: 0 })).toEqual({ key: 'plan', version: 1 });
      expect([await got('a'), await got('b')]).toEqual([access, 'of b']);
      // Who may read both reads what was there first.
      expect(await got('c')).toBe(access === 'private' ? 'of b' : access);
      expect(await trial.call('b', 'delete_shared_context', { agent: 'b', key: 'plan' })).toEqual({
        deleted: true,
      });
      expect(await trial.call('b', 'delete_shared_context', { agent: 'b', key: 'plan' })).toEqual({
        deleted: false,
      });
      expect(await got('a')).toBe(access);
      /* oxlint-enable no-await-in-loop */
    }
    await share('a', 'for all');
    await expect(share('b', 'of b')).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('a context has a version, and readers', async () => {
    await using trial = await withAgents({ a: [], b: [], c: [] });
    const share = async (caller: string, args: object) =>
      trial.call(caller, 'share_context', { agent: caller, key: 'plan', value: { step: 1 }, ...args });
    expect(await share('a', { if_version: 0 })).toEqual({ key: 'plan', version: 1 });
    await expect(share('a', { if_version: 0 })).rejects.toMatchObject({ code: 'conflict' });
    await expect(share('b', {})).rejects.toMatchObject({ code: 'forbidden' });
    expect(await trial.call('b', 'get_shared_context', { key: 'plan' })).toMatchObject({
      version: 1,
      agent: 'a',
      value: { step: 1 },
    });

    const listed = async (caller: string) => {
      const { shared } = await trial.call(caller, 'list_shared_context', {});
      return shared.length as number;
    };
    const readable = async (caller: string) =>
      trial.call(caller, 'get_shared_context', { key: 'plan' }).then(
        () => true,
        () => false,
      );
    const access: readonly (readonly [string, readonly boolean[], readonly number[]])[] = [
      ['public', [true, true, true], [1, 1, 1]],
      ['restricted', [true, true, false], [1, 1, 0]],
      ['confidential', [true, true, false], [1, 0, 0]],
      ['private', [true, false, false], [1, 0, 0]],
    ];
    for (const [level, reads, lists] of access) {
      /* oxlint-disable no-await-in-loop -- in this order */
      await share('a', { access: level, readers: ['b'] });
      expect([level, await readable('a'), await readable('b'), await readable('c')]).toEqual([
        level,
        ...reads,
      ]);
      expect([level, await listed('a'), await listed('b'), await listed('c')]).toEqual([level, ...lists]);
      /* oxlint-enable no-await-in-loop */
    }
    await share('a', { ttl_seconds: 10 });
    trial.clock.nowMs += 10_000;
    expect(await readable('a')).toBe(false);
    expect(await trial.call('b', 'delete_shared_context', { agent: 'b', key: 'plan' })).toEqual({
      deleted: false,
    });
  });
});

test.each([0.000_1, 2.000_15])(
  '%f seconds are whole milliseconds wherever they are given',
  async (seconds) => {
    await using trial = await withAgents({ a: [] });
    const call = trial.call.bind(trial, 'a');
    await call('send_messages', { messages: [say('a', 'a', 1), say('a', 'a', 2, { ttl_seconds: seconds })] });
    const taken = await call('receive_messages', {
      agent: 'a',
      limit: 1,
      lease_seconds: seconds,
      wait_seconds: seconds,
    });
    const receipts = ['1.1'];
    expect(taken['messages']).toMatchObject([{ receipt: '1.1' }]);
    expect(await call('extend_leases', { agent: 'a', receipts, lease_seconds: seconds })).toMatchObject({
      extended: 1,
    });
    const rejected = { receipt: '1.1', reason: 'later', retry_seconds: seconds };
    expect(await call('reject_messages', { agent: 'a', messages: [rejected] })).toMatchObject({
      returned: 1,
    });
    expect(
      await call('reserve_names', { agent: 'a', names: ['ticket:1'], ttl_seconds: seconds }),
    ).toMatchObject({ reserved: [{ name: 'ticket:1' }] });
    expect(
      await call('share_context', { agent: 'a', key: 'k', value: {}, ttl_seconds: seconds }),
    ).toMatchObject({
      version: 1,
    });
  },
);

test('what a token shares counts to its quota', async () => {
  await using trial = await withAgents({ a: [], b: [] }, { quota: { items: 1_000, bytes: 20_000 } });
  const share = async (caller: string, key: string) =>
    trial.call(caller, 'share_context', { agent: caller, key, value: { text: 'x'.repeat(15_000) } });
  await share('a', 'one');
  await share('a', 'two');
  await expect(share('a', 'three')).rejects.toMatchObject({ code: 'too_large' });
  await share('b', 'four');
  await trial.call('a', 'delete_shared_context', { agent: 'a', key: 'one' });
  await share('a', 'two');
});

test('what a token may keep is bounded, and the oldest that are dealt with go first', async () => {
  await using trial = await withAgents({ a: [], b: [] }, { quota: { items: 5, bytes: 1_000_000 } });
  for (let number = 0; number < 20; number += 1) {
    /* oxlint-disable no-await-in-loop -- in this order */
    await trial.call('a', 'send_message', say('a', 'b', number));
    const { messages } = await receive(trial, 'b');
    await trial.call('b', 'acknowledge_messages', { agent: 'b', receipts: [messages[0].receipt] });
    /* oxlint-enable no-await-in-loop */
  }
  expect(await trial.call('a', 'get_hub_stats', {})).toMatchObject({
    agents: { registered: 2, here: 2 },
    messages: { dead_letters: 0, trimmed_early: expect.any(Number) as number },
  });
  await expect(
    (async () => {
      for (let number = 0; number < 20; number += 1)
        await trial.call('a', 'send_message', say('a', 'b', number)); // oxlint-disable-line no-await-in-loop -- in this order
    })(),
  ).rejects.toMatchObject({ code: 'too_large' });
});
