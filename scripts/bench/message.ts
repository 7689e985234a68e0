/** JSON-RPC messages of both eras, byte by byte under the caller's control: for the bench and the wire tests. */
export const eras = ['modern', 'legacy'] as const;
export type Era = (typeof eras)[number];

export interface Rpc {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, any>>; // oxlint-disable-line typescript/no-explicit-any -- what comes over the wire is looked at field by field
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data?: Readonly<Record<string, unknown>>;
  };
}

export interface MessageOptions {
  readonly era?: Era;
  readonly id?: number | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly meta?: Readonly<Record<string, unknown>>;
}

const versions = { modern: '2026-07-28', legacy: '2025-11-25' } as const;

export function messageOf(
  method: string,
  params: Readonly<Record<string, unknown>>,
  options: MessageOptions = {},
) {
  const { era = 'modern', id = 1, meta = {} } = options;
  const _meta = {
    ...(era === 'modern' && {
      'io.modelcontextprotocol/protocolVersion': versions.modern,
      'io.modelcontextprotocol/clientCapabilities': {},
      'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    }),
    ...meta,
  };
  return { jsonrpc: '2.0', id, method, params: { ...params, _meta } };
}

export function headersOf(
  { token }: { readonly token: string },
  message: ReturnType<typeof messageOf>,
  { era = 'modern', headers = {} }: MessageOptions = {},
): Record<string, string> {
  const { name, uri, taskId } = message.params as { name?: string; uri?: string; taskId?: string };
  const target = name ?? uri ?? taskId;
  return {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': versions[era],
    ...(era === 'modern' && { 'mcp-method': message.method }),
    ...(era === 'modern' && target !== undefined && { 'mcp-name': target }),
    ...headers,
  };
}

/** Every message of a response, whether it is one document or a stream. */
export async function* messagesIn(response: Response): AsyncGenerator<Rpc> {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
    yield (await response.json()) as Rpc;
    return;
  }
  let buffered = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    buffered += decoder.decode(chunk, { stream: true });
    const lines = buffered.split('\n');
    buffered = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('data: ')) yield JSON.parse(line.slice(6)) as Rpc;
  }
}

/** The message that ends the exchange. */
export async function answerIn(response: Response): Promise<Rpc> {
  let last: Rpc | undefined;
  for await (const message of messagesIn(response)) last = message;
  if (!last) throw new TypeError('The response carried no message.');
  return last;
}
