import type { Resource } from '#runtime/service.ts';

import { isoOf } from './fields.ts';
import type { Hub } from './hub.ts';
import type { AgentName } from './message.ts';

export const mailboxUri = (agent: AgentName) => `hub://mailbox/${agent}`;

export const resources: readonly Resource<Hub>[] = [
  {
    uri: 'hub://mailbox/{agent}',
    name: 'mailbox',
    title: 'Mailbox',
    description:
      'How much waits for an agent of yours. Subscribe to it to be told when something comes; receive_messages takes it out.',
    mimeType: 'application/json',
    untrusted: 'as-is',
    async read({ agent: name = '' }, { mesh }, { caller }) {
      const nowMs = mesh.now();
      const agent = mesh.directory.agent(name, nowMs);
      if (agent?.owner !== caller) return undefined;
      const backlog = await mesh.engine.backlog(name);
      const document = {
        agent: name,
        pending: backlog.pending,
        at_work: backlog.leased,
        oldest: backlog.oldestMs === undefined ? null : isoOf(backlog.oldestMs),
        receive: 'receive_messages',
      };
      return { text: JSON.stringify(document, null, 2) };
    },
  },
];
