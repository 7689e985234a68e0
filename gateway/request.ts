/** What a message asks for. Pure. */
import type { IncomingMessage } from 'node:http';

import { knownVersion } from '#runtime/wire/mcp.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

/** A request as its headers name it, in the newest revision, or its body, in the older ones. */
export interface AskedFor {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** One that we know, or `other`. */
  readonly version: string;
  readonly id: unknown;
}

/** @returns `undefined` for what is no single request. */
export function askedFor({ headers }: IncomingMessage, message: unknown): AskedFor | undefined {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined;
  const { method, params, id } = message as { method?: unknown; params?: unknown; id?: unknown };
  const version = headers['mcp-protocol-version'];
  const isRequest = typeof method === 'string' && id !== undefined && id !== null;
  if (!isRequest || typeof params !== 'object' || params === null) return undefined;
  if (version === modernVersion && headers['mcp-method'] !== method) return undefined;
  return {
    method,
    params: params as Readonly<Record<string, unknown>>,
    version: knownVersion(version),
    id,
  };
}

/** What has a name that is its own in the fleet, by the method that asks for it. */
export const kinds: Readonly<Record<string, string>> = { 'tools/call': 'Tool', 'prompts/get': 'Prompt' };

/** Whether it is for whoever has a name: of a tool, a prompt, a document. */
export const isNamed = (method: string) =>
  Object.hasOwn(kinds, method) || method === 'resources/read' || method === 'completion/complete';

/** What the client says that it can do, in a request of the newest revision. */
export function capabilitiesIn({ _meta: meta }: Readonly<Record<string, unknown>>): unknown {
  return (meta as Readonly<Record<string, unknown>> | undefined)?.[
    'io.modelcontextprotocol/clientCapabilities'
  ];
}

/** A name of ours, which may become a label; of a document its name is the client's, and so is none. */
export function targetOf(method: string, { name }: Readonly<Record<string, unknown>>): string | null {
  return (method === 'tools/call' || method === 'prompts/get') && typeof name === 'string' ? name : null;
}

/** Documents that a client wants to hear of. */
export function urisIn(
  method: string,
  { uri, notifications }: Readonly<Record<string, unknown>>,
): readonly string[] {
  const { resourceSubscriptions } = (notifications ?? {}) as { readonly resourceSubscriptions?: unknown };
  const wanted = method === 'resources/subscribe' ? [uri] : resourceSubscriptions;
  return (Array.isArray(wanted) ? wanted : []).filter((one): one is string => typeof one === 'string');
}
