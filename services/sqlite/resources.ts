import type { Resource } from '#runtime/service.ts';

import type { Databases } from './databases.ts';
import { memoUri } from './insights.ts';

export const resources: readonly Resource<Databases>[] = [
  {
    uri: memoUri,
    name: 'insights',
    title: 'Business Insights Memo',
    description: 'What append_insight added, newest last; subscribe to follow it.',
    mimeType: 'text/plain',
    untrusted: 'bounded',
    read: (_, { insights }) => ({ text: insights.memo() }),
  },
];
