import { randomUUID } from 'node:crypto';

import type { Workload } from '#runtime/workload.ts';

const agents = 200;
/** Each token has agents of its own. */
const nameOf = (team: string, number: number) => `agent-${team}-${number % agents}`;
const textOf = (number: number) =>
  `Change ${number}: the store was split in two, and the tests of both pass. `.repeat(4);

export const workload: Workload<string> = {
  isOwned: true,

  async seed({ call }) {
    const team = randomUUID().slice(0, 8);
    for (let number = 0; number < agents; number += 1)
      await call('register_agent', {
        name: nameOf(team, number),
        capabilities: [`skill-${number % 20}`],
        mailbox: { when_full: 'drop_oldest' },
      });
    for (let number = 0; number < 100; number += 1)
      await call('send_messages', {
        messages: Array.from({ length: 100 }, (_, at) => ({
          from: nameOf(team, number),
          to: [nameOf(team, number + at + 1)],
          body: { text: textOf(at) },
        })),
      });
    return team;
  },
  calls: [
    {
      title: 'list_agents with a capability',
      tool: 'list_agents',
      kind: 'small-read',
      arguments: (number) => ({ capability: `skill-${number % 20}` }),
    },
    {
      title: 'get_message_history, ten messages',
      tool: 'get_message_history',
      kind: 'small-read',
      arguments: (number, team) => ({ agent: nameOf(team, number), limit: 10 }),
    },
    {
      title: 'send_message of 300 bytes',
      tool: 'send_message',
      kind: 'small-write',
      arguments: (number, team) => ({
        from: nameOf(team, number),
        to: [nameOf(team, number + 1)],
        body: { text: textOf(number) },
      }),
    },
    {
      title: 'receive_messages, one',
      tool: 'receive_messages',
      kind: 'small-write',
      arguments: (number, team) => ({ agent: nameOf(team, number), limit: 1 }),
    },
  ],
  heavy: [
    {
      tool: 'send_messages',
      arguments: (number, team) => ({
        messages: Array.from({ length: 25 }, () => ({
          from: nameOf(team, number),
          to: ['*'],
          body: { text: textOf(number) },
        })),
      }),
    },
    { tool: 'get_message_history', arguments: () => ({ type: 'nothing.like.it', limit: 200 }) },
    { tool: 'replay_messages', arguments: (number, team) => ({ agent: nameOf(team, number), limit: 1_000 }) },
  ],
};
