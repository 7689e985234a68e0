import { createServer } from 'node:net';

import { allProcesses } from '#config/catalogue.ts';

/** Whether this host's loopback has nothing listening there. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}

/**
 * A `FLOTILLA_PORT_OFFSET` at which every port of the fleet and its agents is free, below and above the range that port 0 takes from
 * (32768 to 60999): room for a whole fleet beside others that may run on this machine. It is this process's until that ends: no
 * other one that asks gets it, nor one that shares a port with it.
 */
export async function freePortOffset(): Promise<number> {
  offsets ??= offsetsApart();
  for (;;) {
    const offset = offsets[Math.floor(Math.random() * offsets.length)] as number;
    // Asked for only by the process whose offset it is: to look whether a port is free is to take it for a moment.
    if (await isClaimed(offset)) {
      const free = await Promise.all(allProcesses.map(async ({ port }) => isFree(port + offset)));
      if (free.every(Boolean)) return offset;
    }
  }
}

/** Found when it is first asked for: most who import this file want to know of a port alone. */
let offsets: readonly number[] | undefined;

/** No two of them give two processes the same port. */
function offsetsApart(): readonly number[] {
  const ports = allProcesses.map(({ port }) => port);
  const apart = new Set(ports.flatMap((one) => ports.map((other) => one - other)));
  const chosen: number[] = [];
  for (let offset = 11_000; offset < 15_400; offset += 1) {
    if (!chosen.some((other) => apart.has(offset - other))) chosen.push(offset);
  }
  return chosen;
}

/** Takes a name that one process can have at a time, and that the kernel gives back when it ends: an abstract socket. */
async function isClaimed(offset: number): Promise<boolean> {
  const claim = createServer().unref();
  return new Promise((resolve) => {
    claim.once('error', () => resolve(false));
    claim.listen({ path: `\0flotilla-ports-${offset}` }, () => resolve(true));
  });
}
