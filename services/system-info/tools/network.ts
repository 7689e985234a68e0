import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { figure, gaps, here, maybe, maybeText, partOf, rowsOf, text } from '../fields.ts';
import { Absent, Gaps, printable, readLink, readNames, type Host } from '../host.ts';
import {
  defaultGateway,
  interfaces,
  protocols,
  readSockets,
  socketsIn,
  type Socket,
} from '../kernel/network.ts';
import { readProcess, userOf } from '../kernel/processes.ts';
import { mostListed } from '../limits.ts';
import { walk, type Watch } from '../watch.ts';

export const getNetworkInterfaces = defineTool({
  name: 'get_network_interfaces',
  title: 'Network Interfaces',
  description: 'Interfaces with addresses, state, speed, and bytes, packets and errors so far.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ ...here, limit: limitField(mostListed, 50), cursor: cursorField }),
  output: z.object({
    interfaces: rowsOf(
      z.object({
        name: text,
        state: text,
        mac: maybeText,
        mtuBytes: maybe,
        speedMbps: maybe,
        addresses: z.array(text),
        receivedBytes: maybe,
        sentBytes: maybe,
        receivedPackets: maybe,
        sentPackets: maybe,
        receiveErrors: maybe,
        sendErrors: maybe,
        receiveDropped: maybe,
        sendDropped: maybe,
      }),
      'With name, state, mac, mtuBytes, speedMbps, addresses, receivedBytes, sentBytes, packets, errors and drops.',
    ).optional(),
    defaultGateway: partOf(z.object({ interface: text, address: text }), 'Of IPv4.').optional(),
    ...continuation,
    ...gaps,
  }),
  handler({ cursor, ...args }, { host }: Watch) {
    const missing = new Gaps();
    const all = missing.of('interfaces', () => interfaces(host));
    if (!all) return missing.said;
    const [start] = decodeCursor('get_network_interfaces', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const page = fitting(all.slice(start, start + args.limit));
    const end = start + page.length;
    return {
      interfaces: page.map((one) => ({ ...one, addresses: [...one.addresses] })),
      defaultGateway: defaultGateway(host),
      ...continued('get_network_interfaces', args, end < all.length ? [end] : undefined),
      ...missing.said,
    };
  },
});

const row = z.object({
  protocol: text,
  state: text,
  localAddress: text,
  localPort: figure,
  remoteAddress: text,
  remotePort: figure,
  user: maybeText,
  pid: maybe,
  process: maybeText,
  receiveQueueBytes: figure,
  sendQueueBytes: figure,
});

const position = z.tuple([z.string()]);
const keyOf = ({ protocol, localPort, localAddress, remoteAddress, remotePort, inode }: Socket) =>
  [protocol, String(localPort).padStart(5, '0'), localAddress, remoteAddress, remotePort, inode].join(' ');

/** Sockets of all protocols in one order, and the processes that hold those of the page. */
async function page(
  tool: string,
  { cursor, ...args }: { readonly limit: number; readonly cursor?: string | undefined },
  host: Host,
  isWanted: (socket: Socket) => boolean,
  call: Call,
) {
  const missing = new Gaps();
  const found: Socket[] = [];
  let read = 0;
  for (const protocol of protocols) {
    const text = await missing.later(protocol, async () => readSockets(host, protocol));
    if (text === undefined) continue;
    read += 1;
    found.push(...(await walk(call, socketsIn(protocol, text, isWanted))));
  }
  if (read === 0) return { missing };
  const [after] = decodeCursor(tool, args, cursor, position, ['']);
  const { taken, left } = await walk(call, firstAfter(found, after, args.limit));
  const wanted = new Set(taken.map(({ socket }) => socket.inode).filter((inode) => inode !== '0'));
  const { holders, hidden } = await walk(call, holdersOf(host, wanted));
  if (hidden > 0 && holders.size < wanted.size) {
    missing.add(
      'pid, process',
      `which sockets ${hidden} processes of other users hold may not be read`,
      'Only root, or a service with their user, sees it.',
    );
  }
  const nameOf = userOf(host);
  const rows = fitting(
    taken.map(({ socket: { inode, uid, ...rest } }) => ({
      ...rest,
      // One that no process holds any more belongs to nobody: the kernel writes 0 for its user.
      user: inode === '0' ? undefined : nameOf(uid),
      ...holders.get(inode),
    })),
  );
  const last = taken[rows.length - 1];
  const isMore = rows.length < left;
  return {
    missing,
    rows,
    total: found.length,
    next: continued(tool, args, isMore && last ? [last.key] : undefined),
  };
}

interface Keyed {
  readonly key: string;
  readonly socket: Socket;
}

/** The first so many in order, and how many there are: to sort all of very many would take long. */
function* firstAfter(
  sockets: readonly Socket[],
  after: string,
  limit: number,
): Steps<{ readonly taken: readonly Keyed[]; readonly left: number }> {
  const taken: Keyed[] = [];
  let left = 0;
  for (const [index, socket] of sockets.entries()) {
    if (index % 50 === 49) yield;
    const key = keyOf(socket);
    if (key <= after) continue;
    left += 1;
    if (taken.length === limit && key > (taken.at(-1)?.key ?? '')) continue;
    const at = taken.findLastIndex((one) => one.key < key) + 1;
    taken.splice(at, 0, { key, socket });
    if (taken.length > limit) taken.pop();
  }
  return { taken, left };
}

interface Holder {
  readonly pid: number;
  readonly process: string;
}

/** Which process has each of these sockets open: a file of it, such as socket:[4711]. */
function* holdersOf(
  host: Host,
  wanted: ReadonlySet<string>,
): Steps<{ holders: Map<string, Holder>; hidden: number }> {
  const holders = new Map<string, Holder>();
  let hidden = 0;
  if (wanted.size === 0) return { holders, hidden };
  for (const name of readNames(host, '/proc')) {
    if (!/^\d+$/.test(name) || holders.size === wanted.size) continue;
    yield;
    try {
      for (const [index, file] of readNames(host, `/proc/${name}/fd`).entries()) {
        if (index % 50 === 49) yield;
        const inode = /^socket:\[(\d+)\]$/.exec(linkAt(host, `/proc/${name}/fd/${file}`))?.[1];
        if (inode === undefined || !wanted.has(inode) || holders.has(inode)) continue;
        holders.set(inode, { pid: Number(name), process: printable(readProcess(host, Number(name)).name) });
      }
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      if (error.message.startsWith('this service may not')) hidden += 1;
    }
  }
  return { holders, hidden };
}

/** Files are closed while they are looked at. */
function linkAt(host: Host, path: string): string {
  try {
    return readLink(host, path);
  } catch {
    return '';
  }
}

const isOpen = ({ state, remotePort }: Socket) => state !== 'LISTEN' && remotePort !== 0;
const listens = ({ state, remotePort }: Socket) =>
  state === 'LISTEN' || (state === 'UNCONNECTED' && remotePort === 0);

const described =
  'With protocol, state, localAddress, localPort, remoteAddress, remotePort, user, pid, process and queues in bytes.';

export const getNetworkConnections = defineTool({
  name: 'get_network_connections',
  title: 'Network Connections',
  description:
    'Open TCP and UDP connections with state, addresses, and the process that holds each where it may be seen.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ ...here, limit: limitField(mostListed, 50), cursor: cursorField }),
  output: z.object({
    connections: rowsOf(row, described).optional(),
    total: maybe.describe('Of all.'),
    ...continuation,
    ...gaps,
  }),
  async handler(args, { host }: Watch, call) {
    const { missing, rows, total, next } = await page('get_network_connections', args, host, isOpen, call);
    return { connections: rows, total, ...next, ...missing.said };
  },
});

export const getListeningPorts = defineTool({
  name: 'get_listening_ports',
  title: 'Listening Ports',
  description: 'TCP and UDP ports that something listens on, with the process where it may be seen.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ ...here, limit: limitField(mostListed, 50), cursor: cursorField }),
  output: z.object({
    ports: rowsOf(row, described).optional(),
    total: maybe.describe('Of all.'),
    ...continuation,
    ...gaps,
  }),
  async handler(args, { host }: Watch, call) {
    const { missing, rows, total, next } = await page('get_listening_ports', args, host, listens, call);
    return { ports: rows, total, ...next, ...missing.said };
  },
});
