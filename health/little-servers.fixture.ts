/** Servers that behave as no process of the fleet should, on ports of their own. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { digestOf } from '#runtime/wire/looking.ts';

/** How a server answers now; what is left out is well. */
export interface Manner {
  /** Answers nothing. */
  isHanging?: boolean;
  /** What `/ready` says is wrong. */
  trouble?: string | undefined;
  /** What it lists, whatever it says that it has. */
  lists?: readonly string[];
  /** Answers to each method; `null` for none. */
  answers?: Readonly<Record<string, object | null>>;
  status?: number;
  /** How late it answers the protocol. */
  lateMs?: number;
}

const tools = ['peek', 'recall'];
const canary = { tool: 'peek', arguments: { limit: 1 } };

const json = (response: ServerResponse, body: unknown, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

export async function littleServer(manner: Manner = {}, name = 'memory', port = 0) {
  const asked: {
    readonly method: string;
    readonly authorization: string | undefined;
    readonly params: object;
  }[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = [];
    try {
      for await (const part of request) parts.push(part as Buffer);
    } catch {
      return; // who asked has gone in the middle
    }
    if (!request.complete) return;
    const { method, params } = JSON.parse(Buffer.concat(parts).toString()) as {
      method: string;
      params: object;
    };
    asked.push({ method, authorization: request.headers.authorization, params });
    const usual: Readonly<Record<string, object>> = {
      'server/discover': { capabilities: { tools: {} } },
      'tools/list': { tools: (manner.lists ?? tools).map((one) => ({ name: one, inputSchema: {} })) },
      'tools/call': { content: [], structuredContent: {} },
    };
    const own = manner.answers?.[method];
    if (own === null) return;
    const send = () =>
      json(response, { jsonrpc: '2.0', id: 1, ...(own ?? { result: usual[method] }) }, manner.status);
    if (manner.lateMs === undefined) send();
    else setTimeout(send, manner.lateMs);
  };
  const server = createServer((request, response) => {
    if (manner.isHanging) return;
    if (request.url === '/health')
      json(response, { name, status: 'pass', mcp: { tools: tools.length, digest: digestOf(tools), canary } });
    else if (request.url === '/ready')
      json(
        response,
        { ready: !manner.trouble, reasons: [manner.trouble].filter(Boolean) },
        manner.trouble ? 503 : 200,
      );
    else void answer(request, response);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    server.closeAllConnections();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  return {
    name,
    port: (server.address() as AddressInfo).port,
    manner,
    asked,
    said: { mcp: { tools: tools.length, digest: digestOf(tools), canary } },
    close,
    [Symbol.asyncDispose]: close,
  };
}
