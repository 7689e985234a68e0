/** What joins the pair: clients of Supabase ask for /rest/v1/, and PostgREST serves at /. */
import { createServer, request, type Server } from 'node:http';
import { once } from 'node:events';

import { UnavailableError } from '#runtime/errors.ts';

const restPrefix = '/rest/v1';

export async function startProxy(port: number, restPort: number): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '/';
    if (path !== restPrefix && !path.startsWith(`${restPrefix}/`) && !path.startsWith(`${restPrefix}?`)) {
      outgoing.writeHead(404, { 'content-type': 'application/json' });
      outgoing.end(
        JSON.stringify({ message: `Here is only ${restPrefix}: no auth, storage or edge functions.` }),
      );
      return;
    }
    const { apikey, authorization = `Bearer ${String(apikey)}` } = incoming.headers;
    const asked = request(
      {
        host: '127.0.0.1',
        port: restPort,
        method: incoming.method,
        path: path.slice(restPrefix.length).replace(/^(?=\?|$)/, '/'),
        headers: { ...incoming.headers, ...(apikey !== undefined && { authorization }) },
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    asked.on('error', () => {
      if (!outgoing.headersSent) outgoing.writeHead(502);
      outgoing.end();
    });
    outgoing.on('close', () => asked.destroy());
    incoming.pipe(asked);
  });
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new UnavailableError(`Port ${port} is not free: ${(error as Error).message}`);
  }
  return server;
}
