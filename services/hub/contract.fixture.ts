import type { Contract } from '#runtime/testing.ts';

import { mostMessagesPerCall } from './limits.ts';

export const contract: Contract = {
  listTokens: 11_500,
  beforeKeep: (token) => ({ tool: 'register_agent', args: { name: token } }),
  keep: (number, token) => ({
    tool: 'send_message',
    args: { from: token, to: [token], body: { text: `line ${number}` } },
  }),
  async prepare({ foreign, call }) {
    for (const name of ['a', 'b', 'c'])
      await call('register_agent', {
        name,
        description: foreign,
        capabilities: ['review'],
        card: { note: foreign },
        mailbox: { ordered: false },
      }); // oxlint-disable-line no-await-in-loop -- in order
    const text = { text: foreign };
    const receive = async () => {
      await call('send_message', {
        from: 'a',
        to: ['b'],
        type: 'notification',
        body: text,
        subject: foreign,
        correlation_id: 'thread',
        id: `m${Math.random()}`,
      });
      const { messages } = await call('receive_messages', { agent: 'b', limit: 100 });
      return (messages as { receipt: string }[]).at(-1)?.receipt;
    };
    await call('send_message', { from: 'a', to: ['b'], id: 'one', body: text });
    await call('send_message', { from: 'a', to: ['nobody'], id: 'lost', body: text, subject: foreign });
    await call('reserve_names', { agent: 'a', names: ['file:x'], reason: foreign });
    await call('share_context', { agent: 'a', key: 'plan', value: text });
    await call('subscribe_topic', { agent: 'a', topic: 'old' });
    await call('set_routing_rule', {
      name: 'old',
      description: foreign,
      route_to: { agents: ['a'] },
      type: 'error',
    });
    await call('register_message_type', {
      name: 'my.type',
      description: foreign,
      schema: { type: 'object' },
    });
    const dead = await call('list_dead_letters', {});
    const [lost] = dead['dead_letters'] as { seq: number; agent: string }[];
    const failed = await call('report_error', { agent: 'a', message: foreign, code: 'ECONNREFUSED' });
    const paged = { limit: 5 };
    return {
      register_agent: {
        name: 'd',
        description: foreign,
        capabilities: ['x'],
        card: {},
        status: 'busy',
        timeout_seconds: 60,
        mailbox: { most: 10, when_full: 'drop_oldest', ordered: false },
      },
      unregister_agent: { name: 'c' },
      send_heartbeat: { agent: 'a' },
      list_agents: { capability: 'review', name: 'a', state: 'here', ...paged },
      send_message: {
        from: 'a',
        to: ['b'],
        type: 'request',
        body: { text: foreign },
        priority: 'high',
        ttl_seconds: 60,
        correlation_id: 'thread',
        reply_to: 'one',
        subject: foreign,
      },
      send_messages: { messages: [{ from: 'a', to: ['b'], body: text }] },
      receive_messages: {
        agent: 'b',
        ...paged,
        wait_seconds: 0,
        lease_seconds: 30,
        max_bytes: 1_000,
        acknowledge: [await receive()],
      },
      acknowledge_messages: { agent: 'b', receipts: [await receive()] },
      reject_messages: {
        agent: 'b',
        messages: [{ receipt: await receive(), reason: foreign, retry_seconds: 1, give_up: false }],
      },
      extend_leases: { agent: 'b', receipts: [await receive()], lease_seconds: 60 },
      get_message: { from: 'a', id: 'one', offset: 0 },
      subscribe_topic: {
        agent: 'a',
        topic: 'build.*',
        types: ['notification'],
        minimum_priority: 'normal',
        match: { state: 'failed' },
      },
      unsubscribe_topic: { agent: 'a', topic: 'old' },
      list_subscriptions: { agent: 'a' },
      set_routing_rule: {
        name: 'errors',
        description: foreign,
        enabled: true,
        priority: 5,
        type: 'error',
        source: 'a*',
        target: 'build.*',
        minimum_priority: 'low',
        match: { state: 'failed' },
        route_to: { capability: 'review', pick: 'all' },
      },
      delete_routing_rule: { name: 'old' },
      list_routing_rules: {},
      register_message_type: {
        name: 'my.other',
        description: foreign,
        schema: { type: 'object' },
        expects_answer: true,
        priority: 'high',
        ttl_seconds: 60,
      },
      list_message_types: { name: 'my.type' },
      get_message_history: {
        correlation_id: 'thread',
        topic: 'build.*',
        type: 'request',
        agent: 'a',
        since: '2026-01-01',
        until: '2999-01-01',
        order: 'oldest',
        ...paged,
      },
      get_thread: { correlation_id: 'thread', ...paged },
      replay_messages: {
        agent: 'b',
        correlation_id: 'thread',
        type: 'notification',
        from_or_to: 'a',
        since: '2026-01-01',
        until: '2999-01-01',
        topic: 'build.*',
        ...paged,
      },
      get_receipts: { from: 'a', id: 'one' },
      list_dead_letters: paged,
      resend_dead_letters: { dead_letters: [{ seq: lost?.seq, agent: lost?.agent }], to: 'b' },
      delete_dead_letters: { dead_letters: [{ seq: lost?.seq, agent: lost?.agent }] },
      reserve_names: {
        agent: 'a',
        names: ['file:y', 'dir/**'],
        reason: foreign,
        ttl_seconds: 60,
        shared: true,
      },
      release_names: { agent: 'a', names: ['file:y'] },
      list_reservations: { beginning: 'file:', agent: 'a', ...paged },
      share_context: {
        agent: 'a',
        key: 'plan',
        value: text,
        access: 'restricted',
        readers: ['b'],
        ttl_seconds: 60,
      },
      get_shared_context: { key: 'plan' },
      list_shared_context: paged,
      delete_shared_context: { agent: 'a', key: 'plan' },
      report_error: {
        agent: 'a',
        message: foreign,
        code: 'ECONNREFUSED',
        http_status: 503,
        name: 'Error',
        errno: -111,
        attempt: 2,
        capability: 'review',
        retry_after_ms: 1_000,
        worked_ms: 500,
        delayed_messages: 1,
        correlation_id: 'thread',
      },
      get_error_report: {
        hours: 24,
        agent: 'a',
        category: 'connection',
        fingerprint: failed['failure'].fingerprint,
        ...paged,
      },
      set_recovery_strategy: {
        agent: 'a',
        capability: 'review',
        category: 'timeout',
        steps: [
          {
            do: 'retry',
            times: 2,
            initial_delay_ms: 100,
            factor: 2,
            max_delay_ms: 1_000,
            jitter: 0.5,
          },
          { do: 'fallback', agent: 'b' },
          { do: 'escalate' },
        ],
      },
      list_recovery_strategies: paged,
      get_hub_stats: {},
    };
  },
  others: (foreign) => ({
    send_message: [
      { from: 'a', capability: 'review', pick: 'all', type: 'request', body: { text: foreign } },
      { from: 'a', topic: 'build.done', id: 'three', body: { text: foreign } },
      {
        from: 'a',
        to: ['*'],
        packed: { encoding: 'json', data: Buffer.from('{"text":"x"}').toString('base64'), size_bytes: 12 },
      },
    ],
    report_error: [{ agent: 'a', message: foreign.slice(0, 100), code: -32_601 }],
    get_error_report: [{ hours: 1 }],
    get_message_history: [{ order: 'newest' }],
    receive_messages: [{ agent: 'b' }],
    share_context: [{ agent: 'a', key: foreign.slice(0, 20), value: { step: 1 }, if_version: 0 }],
  }),
  largest: (foreign) => ({
    send_message: { from: 'a', to: ['b'], body: { text: foreign + 'é"'.repeat(1_500_000) } },
    send_messages: {
      messages: Array.from({ length: mostMessagesPerCall }, () => ({
        from: 'a',
        to: ['b', 'c'],
        body: { text: foreign.repeat(20) },
      })),
    },
    receive_messages: { agent: 'b', limit: 100, max_bytes: 1_048_576 },
    get_message_history: { limit: 200 },
    get_thread: { correlation_id: 'thread', limit: 200 },
    report_error: {
      agent: 'a',
      message: (foreign + ' at /srv/app/src/main.ts:17 ').repeat(500).slice(0, 100_000),
    },
    get_error_report: { hours: 720, limit: 100 },
  }),
};
