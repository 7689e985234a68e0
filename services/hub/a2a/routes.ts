/**
 * Where A2A is spoken: of the hub, and of each agent. What answers is loaded with the first request: the SDK takes 40 ms and 19 MB,
 * and most hubs never need it.
 */
import type { Route } from '#runtime/service.ts';

import type { Hub } from '../hub.ts';
import { sendMessage } from '../tools/messages.ts';
import type { answers } from './answers.ts';

type Answers = typeof answers;

const by =
  (name: keyof Answers): Route<Hub>['handle'] =>
  async (...asked) =>
    (await import('./answers.ts')).answers[name](...asked);

const routesBelow = (base: '/a2a' | '/a2a/{agent}'): readonly Route<Hub>[] => {
  const reading = (path: string, answer: keyof Answers) =>
    ({ path: `${base}/v1${path}` as const, access: 'token', tool: sendMessage, handle: by(answer) }) as const;
  const writing = (path: string, answer: keyof Answers, method: 'POST' | 'DELETE' = 'POST') =>
    ({ ...reading(path, answer), method, effect: 'write', isStream: true }) as const;
  return [
    { ...writing('', 'rpc'), path: base },
    writing('/message:send', 'send'),
    writing('/message:stream', 'stream'),
    reading('/tasks', 'list'),
    reading('/tasks/{task}', 'get'),
    writing('/tasks/{task}', 'act'),
    reading('/extendedAgentCard', 'card'),
    reading('/tasks/{task}/pushNotificationConfigs', 'push'),
    writing('/tasks/{task}/pushNotificationConfigs', 'push'),
    reading('/tasks/{task}/pushNotificationConfigs/{config}', 'push'),
    writing('/tasks/{task}/pushNotificationConfigs/{config}', 'push', 'DELETE'),
  ];
};

const wellKnown = '/.well-known/agent-card.json';

export const routes: readonly Route<Hub>[] = [
  { path: wellKnown, access: 'open', handle: by('discover') },
  { path: `/a2a/{agent}${wellKnown}`, access: 'open', handle: by('discover') },
  ...routesBelow('/a2a'),
  ...routesBelow('/a2a/{agent}'),
];
