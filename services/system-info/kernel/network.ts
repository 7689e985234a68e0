/** Network interfaces with their addresses, and sockets. From files alone: a unit without AF_NETLINK may ask nothing else. */
import { linesOf, optional, readNames, readNumber, readSlowText, readText, type Host } from '../host.ts';
import type { Steps } from '#runtime/turns.ts';

export interface Interface extends Partial<NetworkCounts> {
  readonly name: string;
  readonly state: string;
  readonly mac?: string | undefined;
  readonly mtuBytes?: number | undefined;
  readonly speedMbps?: number | undefined;
  readonly addresses: readonly string[];
}

/** @throws Absent. */
export function interfaces(host: Host): Interface[] {
  const addresses = addressesByInterface(host);
  const counts = optional(() => readNetworkCounts(host));
  return readNames(host, '/sys/class/net')
    .filter((name) => optional(() => readNumber(host, `/sys/class/net/${name}/mtu`)) !== undefined)
    .map((name) => {
      const folder = `/sys/class/net/${name}`;
      // Virtual interfaces say -1, and those that are down an error.
      const speed = optional(() => readNumber(host, `${folder}/speed`));
      return {
        name,
        state: optional(() => readText(host, `${folder}/operstate`).trim()) ?? 'unknown',
        mac: optional(() => readText(host, `${folder}/address`).trim()),
        mtuBytes: optional(() => readNumber(host, `${folder}/mtu`)),
        speedMbps: speed === undefined || speed <= 0 ? undefined : speed,
        addresses: addresses.get(name) ?? [],
        ...counts?.get(name),
      };
    });
}

export interface NetworkCounts {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly receiveErrors: number;
  readonly receiveDropped: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
  readonly sendErrors: number;
  readonly sendDropped: number;
}

/** By interface, since it is there. @throws Absent. */
export function readNetworkCounts(host: Host): ReadonlyMap<string, NetworkCounts> {
  return new Map(
    linesOf(readText(host, '/proc/self/net/dev'))
      .slice(2)
      .map((line) => {
        const [name = '', counts = ''] = line.split(':');
        const at = counts.trim().split(/\s+/).map(Number);
        const of = (index: number) => at[index] ?? 0;
        return [
          name.trim(),
          {
            receivedBytes: of(0),
            receivedPackets: of(1),
            receiveErrors: of(2),
            receiveDropped: of(3),
            sentBytes: of(8),
            sentPackets: of(9),
            sendErrors: of(10),
            sendDropped: of(11),
          },
        ];
      }),
  );
}

interface Route {
  readonly name: string;
  readonly destination: number;
  readonly gateway: number;
  readonly mask: number;
}

function routes(host: Host): Route[] {
  return linesOf(optional(() => readText(host, '/proc/self/net/route')) ?? '')
    .slice(1)
    .map((line) => {
      const [name = '', destination = '', gateway = '', , , , , mask = ''] = line.split('\t');
      return { name, destination: swapped(destination), gateway: swapped(gateway), mask: swapped(mask) };
    });
}

/** The gateway through which everything else goes. */
export function defaultGateway(
  host: Host,
): { readonly interface: string; readonly address: string } | undefined {
  const route = routes(host).find(
    ({ destination, mask, gateway }) => destination === 0 && mask === 0 && gateway !== 0,
  );
  return route && { interface: route.name, address: dotted(route.gateway) };
}

/** The kernel lists the host's own IPv4 addresses without their interfaces: the route to their network names it. */
function addressesByInterface(host: Host): ReadonlyMap<string, string[]> {
  const all = new Map<string, string[]>();
  const add = (name: string, address: string) => all.set(name, [...(all.get(name) ?? []), address]);
  const connected = routes(host)
    .filter(({ gateway, mask }) => gateway === 0 && mask !== 0)
    .toSorted((one, other) => other.mask - one.mask);
  for (const address of ownAddresses(host)) {
    if (address >>> 24 === 127) {
      add('lo', `${dotted(address)}/8`);
      continue;
    }
    const route = connected.find(({ destination, mask }) => (address & mask) >>> 0 === destination);
    if (route) add(route.name, `${dotted(address)}/${route.mask.toString(2).replaceAll('0', '').length}`);
  }
  for (const line of linesOf(optional(() => readText(host, '/proc/self/net/if_inet6')) ?? '')) {
    const [hex = '', , prefix = '', , , name = ''] = line.trim().split(/\s+/);
    add(name, `${colons(hex)}/${Number.parseInt(prefix, 16)}`);
  }
  return all;
}

function ownAddresses(host: Host): number[] {
  const found = new Set<number>();
  let last = '';
  for (const line of linesOf(optional(() => readText(host, '/proc/self/net/fib_trie')) ?? '')) {
    last = /\|-- ([\d.]+)/.exec(line)?.[1] ?? last;
    if (line.includes('/32 host LOCAL'))
      found.add(last.split('.').reduce((sum, part) => sum * 256 + Number(part), 0));
  }
  return [...found];
}

/** As the kernel writes them, in the byte order of the machine: both that Node runs on begin with the lowest. */
const swapped = (hex: string) => Buffer.from(hex, 'hex').readUInt32LE();

const dotted = (address: number) => [24, 16, 8, 0].map((bits) => (address >>> bits) & 255).join('.');

/** IPv6 in its short form (RFC 5952), and what is IPv4 in truth as that. */
function colons(hex: string): string {
  const mapped = /^0{20}f{4}(.{8})$/i.exec(hex)?.[1];
  if (mapped !== undefined) return dotted(Number.parseInt(mapped, 16));
  const groups = hex.match(/.{4}/g)?.map((group) => Number.parseInt(group, 16).toString(16)) ?? [];
  const [longest = ''] = (` ${groups.join(' ')} `.match(/(?: 0)+(?= )/g) ?? [])
    .filter((zeros) => zeros.length > 2)
    .toSorted((one, other) => other.length - one.length);
  const text = ` ${groups.join(' ')} `;
  if (longest === '') return groups.join(':');
  const at = text.indexOf(`${longest} `);
  const [before, after] = [text.slice(0, at), text.slice(at + longest.length)];
  return `${before.trim().replaceAll(' ', ':')}::${after.trim().replaceAll(' ', ':')}`;
}

export const protocols = ['tcp', 'tcp6', 'udp', 'udp6'] as const;
export type Protocol = (typeof protocols)[number];

export interface Socket {
  readonly protocol: Protocol;
  readonly state: string;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly uid: number;
  readonly inode: string;
  readonly receiveQueueBytes: number;
  readonly sendQueueBytes: number;
}

const states = [
  '',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
  'NEW_SYN_RECV',
];

/** @throws Absent. */
export const readSockets = async (host: Host, protocol: Protocol): Promise<string> =>
  readSlowText(host, `/proc/self/net/${protocol}`);

/** What the text of one protocol lists, a few lines a step. */
export function* socketsIn(
  protocol: Protocol,
  text: string,
  isWanted: (socket: Socket) => boolean,
): Steps<Socket[]> {
  const found: Socket[] = [];
  for (const [index, line] of linesOf(text).entries()) {
    if (index % linesPerStep === 0) yield;
    const [slot = '', local = '', remote = '', state = '', queues = '', , , uid, , inode = ''] = line
      .trim()
      .split(/\s+/);
    if (!slot.endsWith(':')) continue;
    const [localAddress, localPort] = endpoint(local);
    const [remoteAddress, remotePort] = endpoint(remote);
    const [send = '', receive = ''] = queues.split(':');
    const number = Number.parseInt(state, 16);
    const socket: Socket = {
      protocol,
      // A datagram socket is either connected, or takes from all.
      state:
        protocol.startsWith('udp') && number === 7 ? 'UNCONNECTED' : (states[number] ?? `state ${number}`),
      localAddress,
      localPort,
      remoteAddress,
      remotePort,
      uid: Number(uid),
      inode,
      sendQueueBytes: Number.parseInt(send, 16),
      receiveQueueBytes: Number.parseInt(receive, 16),
    };
    if (isWanted(socket)) found.push(socket);
  }
  return found;
}

const linesPerStep = 50;

function endpoint(text: string): [address: string, port: number] {
  const [hex = '', port = ''] = text.split(':');
  const words = hex.match(/.{8}/g)?.map((word) => Buffer.from(word, 'hex').swap32().toString('hex')) ?? [];
  const address = words.length === 1 ? dotted(Number.parseInt(words[0] ?? '0', 16)) : colons(words.join(''));
  return [address, Number.parseInt(port, 16)];
}
