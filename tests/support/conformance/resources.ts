import type { Resource } from '#runtime/service.ts';

import { pngBase64 } from './fixture.ts';

export const watchedUri = 'test://watched-resource';

export const resources: readonly Resource<unknown>[] = [
  {
    uri: 'test://static-text',
    name: 'static-text',
    title: 'Static text',
    description: 'A text that never changes.',
    mimeType: 'text/plain',
    read: () => ({ text: 'This is the content of the static text resource.' }),
  },
  {
    uri: 'test://static-binary',
    name: 'static-binary',
    title: 'Static image',
    description: 'Bytes that never change.',
    mimeType: 'image/png',
    read: () => ({ blob: pngBase64 }),
  },
  {
    uri: 'test://template/{id}/data',
    name: 'template',
    title: 'Template',
    description: 'A text for every id.',
    mimeType: 'application/json',
    read: ({ id }) => ({ text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }),
  },
  {
    uri: watchedUri,
    name: 'watched-resource',
    title: 'Watched resource',
    description: 'A text that subscribers are told about.',
    mimeType: 'text/plain',
    read: () => ({ text: 'Watched resource content' }),
  },
];
