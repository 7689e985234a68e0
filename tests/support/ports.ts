/** Room for a whole fleet beside others that may run on this machine. */
import { catalogue } from '#config/catalogue.ts';

import { isFree } from '../../scripts/ports.ts';

/** A `FLOTILLA_PORT_OFFSET` at which every port of the catalogue is free, below the range that port 0 takes from. */
export async function freePortOffset(): Promise<number> {
  for (;;) {
    const offset = 4_000 + Math.floor(Math.random() * 18_000);
    const free = await Promise.all(catalogue.map(async ({ port }) => isFree(port + offset)));
    if (free.every(Boolean)) return offset;
  }
}
