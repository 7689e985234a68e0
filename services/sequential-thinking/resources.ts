import type { Resource } from '#runtime/service.ts';

import { sessionOf, take } from './session-view.ts';
import type { Store } from './store.ts';
import { thoughtOf } from './thoughts.ts';

const mostThoughts = 500;

export const resources: readonly Resource<Store>[] = [
  {
    uri: 'thinking://session/{id}',
    name: 'session',
    title: 'Session of thoughts',
    description: 'A session and its thoughts, up to a bound; subscribe to follow it.',
    mimeType: 'application/json',
    untrusted: 'as-is',
    read: ({ id = '' }, store) =>
      store.snapshot(() => {
        const session = store.sessions.find(id);
        if (!session) return undefined;
        const { taken, hasMore } = take(
          (position, most) => store.thoughts.after(session, position, most),
          0,
          mostThoughts,
        );
        const more = hasMore && { truncated: true, continue: `Call get_session from ${taken.length + 1}.` };
        const document = { session: sessionOf(session), thoughts: taken.map(thoughtOf), ...more };
        return { text: JSON.stringify(document, null, 2) };
      }),
  },
];
