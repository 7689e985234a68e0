/** Messages that the gateway sends in its own name, in the newest revision, and the events of answers. */
import { version } from '#runtime/process/version.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import { isStream, type Answer } from './line.ts';

const meta = {
  'io.modelcontextprotocol/protocolVersion': modernVersion,
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'flotilla-gateway', version },
};

export function messageOf(method: string, params: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } });
}

export function headersOf(method: string, authorization: string, name?: string): string[] {
  return [
    'content-type',
    'application/json',
    'accept',
    'application/json, text/event-stream',
    'authorization',
    `Bearer ${authorization}`,
    'mcp-protocol-version',
    modernVersion,
    'mcp-method',
    method,
    ...(name === undefined ? [] : ['mcp-name', name]),
  ];
}

/** The message that ends a whole answer: the only one, or the last of a stream. @throws SyntaxError */
export function lastMessageOf({ headers, text }: Answer): unknown {
  return isStream(headers) ? new Events().take(Buffer.from(text)).at(-1) : JSON.parse(text);
}

/** Reads a stream of events piece by piece. */
export class Events {
  #rest = '';
  readonly #decoder = new TextDecoder();

  /** The messages that end in this piece. @throws SyntaxError for data that is no JSON. */
  take(chunk: Uint8Array): unknown[] {
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split(/\r?\n\r?\n/);
    this.#rest = parts.pop() ?? '';
    return parts.flatMap((event) => {
      const data = event
        .split(/\r?\n/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice('data:'.length).trimStart())
        .join('\n');
      return data === '' ? [] : [JSON.parse(data) as unknown];
    });
  }

  /** How much waits for its end. */
  get waiting(): number {
    return this.#rest.length;
  }
}
