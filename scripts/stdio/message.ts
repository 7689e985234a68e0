/** What the bridge has to know of a message to send it: its kind, its era, and the headers that repeat what it says. */

export interface Message {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: unknown;
  readonly error?: unknown;
}

export const isRequest = ({ id, method }: Message): boolean => method !== undefined && id !== undefined;
export const isNotification = ({ id, method }: Message): boolean => method !== undefined && id === undefined;

/** @throws SyntaxError for what is no message. */
export function parseMessage(text: string): Message | readonly Message[] {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new SyntaxError('no message');
  return value;
}

/** The revision that the message itself names, as those of the newer era do. */
export function revisionOf({ params }: Message): string | undefined {
  const { _meta: meta } = params ?? {};
  const revision = (meta as Readonly<Record<string, unknown>> | undefined)?.[
    'io.modelcontextprotocol/protocolVersion'
  ];
  return typeof revision === 'string' ? revision : undefined;
}

/** Where a tool wants an argument repeated as a header: its path among the arguments, and the header. */
export interface Mirror {
  readonly path: readonly string[];
  readonly header: string;
}

/** The headers of a message of the newer era. */
export function headersOf(
  message: Message,
  revision: string,
  mirrors: ReadonlyMap<string, readonly Mirror[]>,
): Record<string, string> {
  const { method = '', params = {} } = message;
  const name = nameOf(method, params);
  const headers: Record<string, string> = {
    'mcp-protocol-version': fieldValue(revision),
    'mcp-method': fieldValue(method),
    ...(name !== undefined && { 'mcp-name': fieldValue(name) }),
  };
  if (method !== 'tools/call' || name === undefined) return headers;
  for (const { path, header } of mirrors.get(name) ?? []) {
    let value: unknown = params['arguments'];
    for (const key of path) value = (value as Readonly<Record<string, unknown>> | null | undefined)?.[key];
    const isWhole = typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value);
    if (['string', 'boolean', 'number'].includes(typeof value) && isWhole)
      headers[`mcp-param-${header}`] = fieldValue(String(value));
  }
  return headers;
}

function nameOf(method: string, params: Readonly<Record<string, unknown>>): string | undefined {
  const name =
    method === 'tools/call' || method === 'prompts/get'
      ? params['name']
      : method === 'resources/read'
        ? params['uri']
        : method.startsWith('tasks/')
          ? params['taskId']
          : undefined;
  return typeof name === 'string' ? name : undefined;
}

/** What a header can hold: anything but plain ASCII is written in Base64, as the protocol says. */
function fieldValue(text: string): string {
  const isPlain = /^[\t\x20-\x7e]+$/.test(text) && text === text.trim() && !/^=\?base64\?.*\?=$/.test(text);
  return isPlain ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`;
}

const headerName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** What the tools of a list want repeated as headers. */
export function mirrorsIn(answer: Message): ReadonlyMap<string, readonly Mirror[]> {
  const { tools } = (answer.result ?? {}) as { readonly tools?: unknown };
  const found = new Map<string, readonly Mirror[]>();
  for (const tool of Array.isArray(tools) ? (tools as readonly unknown[]) : []) {
    const { name, inputSchema } = (tool ?? {}) as { readonly name?: unknown; readonly inputSchema?: unknown };
    if (typeof name === 'string') found.set(name, mirrorsOf(inputSchema, []));
  }
  return found;
}

function mirrorsOf(schema: unknown, path: readonly string[]): readonly Mirror[] {
  const { properties, ['x-mcp-header']: header } = (schema ?? {}) as Readonly<Record<string, unknown>>;
  const own = typeof header === 'string' && headerName.test(header) ? [{ path, header }] : [];
  const inner = Object.entries(properties ?? {}).flatMap(([key, one]: [string, unknown]) =>
    mirrorsOf(one, [...path, key]),
  );
  return [...own, ...inner];
}

/** Methods that only read: asked again, they do nothing twice. */
const reading = new Set([
  'initialize',
  'ping',
  'server/discover',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'tasks/get',
  'subscriptions/listen',
  'resources/subscribe',
  'resources/unsubscribe',
  'logging/setLevel',
]);
export const canRepeat = ({ method = '' }: Message): boolean => reading.has(method);
