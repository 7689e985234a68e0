import { createServer } from 'node:net';

import { catalogue } from '#config/catalogue.ts';

/** Whether this host's loopback has nothing listening there. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}

/**
 * A `FLOTILLA_PORT_OFFSET` at which every port of the catalogue is free, below and above the range that port 0 takes from
 * (32768 to 60999): room for a whole fleet beside others that may run on this machine.
 */
export async function freePortOffset(): Promise<number> {
  for (;;) {
    const offset = 11_000 + Math.floor(Math.random() * 4_400);
    const free = await Promise.all(catalogue.map(async ({ port }) => isFree(port + offset)));
    if (free.every(Boolean)) return offset;
  }
}
