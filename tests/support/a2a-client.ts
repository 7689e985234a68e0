/** Clients of A2A as other makers have them: the SDK's own. */
import { SendMessageRequest, type Message, type StreamResponse } from '@a2a-js/sdk';
import {
  ClientFactory,
  ClientFactoryOptions,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from '@a2a-js/sdk/client';
import { randomUUID } from 'node:crypto';

import type { Served } from './serve.ts';

export const bindings = ['JSONRPC', 'HTTP+JSON'] as const;
type Binding = (typeof bindings)[number];

export async function clientOf(
  { url, token }: Pick<Served, 'url' | 'token'>,
  binding: Binding,
  agent?: string,
): Promise<Client> {
  const fetchImpl: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set('authorization', `Bearer ${token}`);
    return fetch(input, { ...init, headers });
  };
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new JsonRpcTransportFactory({ fetchImpl }), new RestTransportFactory({ fetchImpl })],
    preferredTransports: [binding],
  });
  const path = agent === undefined ? '' : `/a2a/${agent}`;
  return new ClientFactory(options).createFromUrl(`${url}${path}/.well-known/agent-card.json`, '');
}

interface More {
  readonly message?: Readonly<Record<string, unknown>>;
  readonly configuration?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export const saying = (text: string, { message, ...more }: More = {}): SendMessageRequest =>
  SendMessageRequest.fromJSON({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...message },
    ...more,
  });

export const later = { configuration: { returnImmediately: true } } as const;

export const textIn = (message: Message | undefined): string =>
  (message?.parts ?? []).map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');

export async function all(stream: AsyncIterable<StreamResponse>): Promise<StreamResponse[]> {
  const events: StreamResponse[] = [];
  for await (const event of stream) events.push(event);
  return events;
}
