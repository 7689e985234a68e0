/** What the hot path recognises: requests of which every part is known and as it has to be. Pure functions of headers and body. */
import type { IncomingHttpHeaders } from 'node:http';

import { takesEvents } from './answer-form.ts';

/** How a revision of the protocol writes a call and its answer. */
export type Dialect = 'modern' | 'legacy';

/** A request that its headers promise to be plain. */
export interface Promised {
  readonly dialect: Dialect;
  readonly version: string;
  readonly method: 'tools/call' | 'tools/list' | 'server/discover';
  /** The tool, where the headers name it. */
  readonly name: string | undefined;
  /** Whether the older revisions' answer is a stream of one event. */
  readonly asEvent: boolean;
}

export interface PlainRequest {
  readonly id: string | number;
  /** The tool of a call; empty for the other methods. */
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>> | undefined;
  /** What the client says of itself, as one text; `undefined` where the revision lets it say nothing. */
  readonly client: string | undefined;
}

export const modernVersion = '2026-07-28';
const legacyVersions = new Set(['2025-06-18', '2025-11-25']);
const modernMethods = new Set(['tools/call', 'tools/list', 'server/discover']);
const jsonTypes = new Set([
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset=utf-8',
]);

/** What the headers alone promise. */
export function promisedBy(headers: IncomingHttpHeaders): Promised | undefined {
  const version = headers['mcp-protocol-version'];
  const method = headers['mcp-method'];
  if (
    typeof version !== 'string' ||
    headers.origin !== undefined ||
    !jsonTypes.has(headers['content-type'] ?? '')
  ) {
    return undefined;
  }
  if (version === modernVersion) {
    if (typeof method !== 'string' || !modernMethods.has(method)) return undefined;
    const name = headers['mcp-name'];
    if ((method === 'tools/call') !== (typeof name === 'string')) return undefined;
    return {
      dialect: 'modern',
      version,
      method: method as Promised['method'],
      name: name as string | undefined,
      asEvent: false,
    };
  }
  if (!legacyVersions.has(version) || method !== undefined) return undefined;
  const asEvent = takesEvents(headers.accept);
  return { dialect: 'legacy', version, method: 'tools/call', name: undefined, asEvent };
}

const meta = {
  version: 'io.modelcontextprotocol/protocolVersion',
  capabilities: 'io.modelcontextprotocol/clientCapabilities',
  client: 'io.modelcontextprotocol/clientInfo',
} as const;
const messageKeys = new Set(['jsonrpc', 'id', 'method', 'params']);
const paramsKeys = { 'tools/call': new Set(['name', 'arguments', '_meta']), other: new Set(['_meta']) };
const metaKeys = {
  modern: new Set<string>([...Object.values(meta), 'traceparent']),
  legacy: new Set(['traceparent']),
};

/** The request, if the message keeps what the headers promise. */
export function plainRequest(
  message: unknown,
  { dialect, method, name }: Promised,
): PlainRequest | undefined {
  if (!isObject(message) || !hasOnly(message, messageKeys)) return undefined;
  const { id, params } = message;
  if (message['jsonrpc'] !== '2.0' || message['method'] !== method) return undefined;
  if (typeof id !== 'string' && !Number.isSafeInteger(id)) return undefined;
  const isCall = method === 'tools/call';
  if (!isObject(params) || !hasOnly(params, isCall ? paramsKeys[method] : paramsKeys.other)) return undefined;

  const tool = params['name'] ?? '';
  if (typeof tool !== 'string' || (name !== undefined && tool !== name)) return undefined;
  const args = params['arguments'];
  // `__proto__` as a key of its own is treated differently by every parser.
  if (args !== undefined && (!isObject(args) || Object.hasOwn(args, '__proto__'))) return undefined;

  const said = params['_meta'] ?? (dialect === 'legacy' ? {} : undefined);
  if (!isObject(said) || !hasOnly(said, metaKeys[dialect])) return undefined;
  const { traceparent } = said;
  if (traceparent !== undefined && typeof traceparent !== 'string') return undefined;
  let client: string | undefined;
  if (dialect === 'modern') {
    if (said[meta.version] !== modernVersion || said[meta.capabilities] === undefined) return undefined;
    // As an object, which tells an absent `clientInfo` from `null`.
    client = JSON.stringify({ capabilities: said[meta.capabilities], info: said[meta.client] });
  }
  return { id: id as string | number, name: tool, arguments: args, client };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasOnly(value: Readonly<Record<string, unknown>>, keys: ReadonlySet<string>): boolean {
  for (const key in value) if (!keys.has(key)) return false;
  return true;
}
