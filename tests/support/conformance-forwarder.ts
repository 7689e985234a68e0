/** Stands in front of a server and adds the token that the conformance suite cannot send; changes nothing else. */
import { createServer, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

export interface Forwarder extends AsyncDisposable {
  readonly url: string;
}

export async function forwardWithToken(target: {
  readonly url: string;
  readonly token: string;
}): Promise<Forwarder> {
  const { hostname, port } = new URL(target.url);
  const server = createServer((incoming, outgoing) => {
    const upstream = forward({
      hostname,
      port,
      method: incoming.method,
      path: incoming.url,
      // Host and Origin as they came: whether the server refuses foreign ones is what the suite asks.
      headers: { ...incoming.headers, authorization: `Bearer ${target.token}` },
    });
    upstream.on('response', (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      outgoing.flushHeaders();
      pipeline(response, outgoing).catch(() => upstream.destroy());
    });
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    pipeline(incoming, upstream).catch(() => upstream.destroy());
  });
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => {
        server.close(done);
      });
    },
  };
}
