/**
 * A week and a day of logs of a few services, made from a seed: what is known of each line is what was planted. Hard on purpose:
 * words, ids and lists are filled in; the load follows the day; some errors are known but rare, come in bursts, or happen once a
 * week; stack traces differ from line to line; and some messages differ from others in one word only.
 */
import type { Level, Line } from '../store/line.ts';

const minuteMs = 60_000;
export const dayMs = 1_440 * minuteMs;
export const startMs = Date.parse('2026-11-02T00:00:00Z');
export const baselineDays = 7;

/** A small generator of good enough numbers (Mulberry32). */
export function randomOf(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (below: number) => Math.floor(next() * below);
  return {
    next,
    int,
    pick: <One>(list: readonly One[]) => list[int(list.length)] as One,
    hex: (digits: number) => Array.from({ length: digits }, () => int(16).toString(16)).join(''),
    /** How often something happens that happens so often on average (Knuth). */
    poisson(mean: number) {
      let count = -1;
      for (let product = 1; product > Math.exp(-mean); product *= next()) count += 1;
      return count;
    },
  };
}
type Random = ReturnType<typeof randomOf>;

const users =
  'alice bob carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert sybil trent victor wendy zoe'.split(
    ' ',
  );
const tables = 'orders customers invoices shipments carts sessions prices reviews coupons refunds'.split(' ');
const files = 'report invoice summary ledger export backup avatar contract'.split(' ');

const ip = (random: Random) => `10.${random.int(256)}.${random.int(256)}.${random.int(256)}`;
const uuid = (random: Random) => [8, 4, 4, 4, 12].map((digits) => random.hex(digits)).join('-');
const path = (random: Random) => `/var/lib/${random.pick(tables)}/${random.hex(6)}/${random.pick(files)}.dat`;
const frames = (random: Random) =>
  Array.from(
    { length: 2 + random.int(6) },
    () =>
      `\n    at ${random.pick(users)}Handler (/app/src/${random.pick(files)}.js:${random.int(900)}:${random.int(80)})`,
  ).join('');
const list = (random: Random) => Array.from({ length: 1 + random.int(6) }, () => random.hex(10)).join(', ');

interface Planted {
  readonly name: string;
  readonly service: string;
  readonly level: Level;
  readonly text: (random: Random) => string;
  /** Lines per day; of a burst, bursts per day. */
  readonly perDay: number;
  readonly burst?: number;
}

/** What runs all the time. Some differ from each other in one word, which must not be taken for one that is filled in. */
const usual: readonly Planted[] = [
  {
    name: 'request',
    service: 'web',
    level: 'info',
    perDay: 150,
    text: (r) =>
      `${r.pick(['GET', 'POST'])} /api/${r.pick(tables)}/${r.int(90_000)} ${r.pick([200, 201, 304])} ${r.int(900)}ms`,
  },
  {
    name: 'login',
    service: 'web',
    level: 'info',
    perDay: 60,
    text: (r) => `User ${r.pick(users)} logged in from ${ip(r)}:${1_024 + r.int(60_000)}`,
  },
  {
    name: 'logout',
    service: 'web',
    level: 'info',
    perDay: 40,
    text: (r) => `User ${r.pick(users)} logged out after ${r.int(9_000)} seconds`,
  },
  {
    name: 'upload',
    service: 'web',
    level: 'info',
    perDay: 40,
    text: (r) => `Stored "${r.pick(files)} ${r.pick(files)}.pdf" for ${r.pick(users)} in ${path(r)}`,
  },
  {
    name: 'cache hit',
    service: 'web',
    level: 'debug',
    perDay: 60,
    text: (r) => `cache hit key=${r.pick(tables)}:${r.hex(12)} age=${r.int(600)}s`,
  },
  {
    name: 'cache miss',
    service: 'web',
    level: 'debug',
    perDay: 50,
    text: (r) => `cache miss key=${r.pick(tables)}:${r.hex(12)} age=${r.int(600)}s`,
  },
  {
    name: 'job started',
    service: 'worker',
    level: 'info',
    perDay: 60,
    text: (r) => `Job ${uuid(r)} started by ${r.pick(users)}`,
  },
  {
    name: 'job finished',
    service: 'worker',
    level: 'info',
    perDay: 60,
    text: (r) => `Job ${uuid(r)} finished by ${r.pick(users)} in ${r.int(90)}.${r.int(10)}s`,
  },
  {
    name: 'batch',
    service: 'worker',
    level: 'info',
    perDay: 40,
    text: (r) => `Processed items [${list(r)}] of ${r.pick(tables)}`,
  },
  {
    name: 'vacuum',
    service: 'db',
    level: 'info',
    perDay: 40,
    text: (r) =>
      `automatic vacuum of table "shop.public.${r.pick(tables)}": index scans: ${r.int(3)}, pages: ${r.int(900)} removed`,
  },
  {
    name: 'checkpoint',
    service: 'db',
    level: 'info',
    perDay: 40,
    text: (r) =>
      `checkpoint complete: wrote ${r.int(9_000)} buffers (${r.int(99)}.${r.int(10)}%); write=${r.int(300)}.${r.int(1_000)} s`,
  },
  {
    name: 'connection accepted',
    service: 'db',
    level: 'info',
    perDay: 50,
    text: (r) => `connection accepted: host=${ip(r)} port=${r.int(60_000)} user=${r.pick(users)}`,
  },
  {
    name: 'slow',
    service: 'db',
    level: 'warn',
    perDay: 30,
    text: (r) =>
      `duration: ${r.int(9_000)}.${r.int(1_000)} ms  statement: "SELECT * FROM ${r.pick(tables)} WHERE id = ${r.int(9_000)}"`,
  },
  {
    name: 'disk',
    service: 'host',
    level: 'warn',
    perDay: 15,
    text: (r) => `disk /dev/sd${r.pick(['a1', 'b1', 'c2'])} at ${80 + r.int(15)}% of ${r.int(900)} GiB`,
  },
];

/** Errors that everybody knows: frequent, rare, in bursts, and so rare that a baseline may have one or none. */
const knownErrors: readonly Planted[] = [
  {
    name: 'timeout',
    service: 'web',
    level: 'error',
    perDay: 40,
    text: (r) => `Upstream ${r.pick(tables)} timed out after ${r.int(30_000)}ms (request ${uuid(r)})`,
  },
  {
    name: 'validation',
    service: 'web',
    level: 'error',
    perDay: 30,
    text: (r) => `ValidationError: field ${r.pick(files)} of ${r.pick(tables)} is required${frames(r)}`,
  },
  {
    name: 'refused',
    service: 'worker',
    level: 'error',
    perDay: 12,
    text: (r) => `connect ECONNREFUSED ${ip(r)}:5432${frames(r)}`,
  },
  {
    name: 'reset',
    service: 'worker',
    level: 'error',
    perDay: 8,
    text: (r) => `read ECONNRESET ${ip(r)}:5432${frames(r)}`,
  },
  {
    name: 'traceback',
    service: 'worker',
    level: 'error',
    perDay: 6,
    text: (r) =>
      `Traceback (most recent call last):\n  File "/srv/${r.pick(files)}.py", line ${r.int(400)}, in ${r.pick(users)}\nKeyError: '${r.pick(tables)}'`,
  },
  {
    name: 'deadlock',
    service: 'db',
    level: 'error',
    perDay: 3,
    text: (r) =>
      `deadlock detected: process ${r.int(30_000)} waits for ShareLock on transaction ${r.int(9_000_000)}`,
  },
  {
    name: 'duplicate',
    service: 'db',
    level: 'error',
    perDay: 10,
    text: (r) => `duplicate key value violates unique constraint "${r.pick(tables)}_pkey"`,
  },
  {
    name: 'payment burst',
    service: 'web',
    level: 'error',
    perDay: 0.7,
    burst: 25,
    text: (r) =>
      `Payment provider returned 503 for order ${r.int(90_000)}: ${r.pick(['try again', 'busy', 'maintenance'])}`,
  },
  {
    name: 'dns burst',
    service: 'worker',
    level: 'error',
    perDay: 0.5,
    burst: 15,
    text: (r) => `getaddrinfo EAI_AGAIN ${r.pick(tables)}.internal`,
  },
  {
    name: 'io',
    service: 'host',
    level: 'fatal',
    perDay: 0.4,
    text: (r) =>
      `Out of memory: killed process ${r.int(30_000)} (${r.pick(files)}) total-vm:${r.int(9_000_000)}kB`,
  },
  {
    name: 'certificate',
    service: 'web',
    level: 'error',
    perDay: 0.3,
    text: (r) => `certificate of ${r.pick(tables)}.example.com expires in ${r.int(20)} days`,
  },
  {
    name: 'replication',
    service: 'db',
    level: 'error',
    perDay: 0.25,
    text: (r) => `replication slot "${r.pick(tables)}_slot" is ${r.int(900)} MB behind`,
  },
  {
    name: 'smtp',
    service: 'worker',
    level: 'error',
    perDay: 0.2,
    text: (r) => `SMTP 421 ${ip(r)} service not available, closing channel`,
  },
  {
    name: 'quota',
    service: 'web',
    level: 'error',
    perDay: 0.15,
    text: (r) => `Quota of ${r.pick(users)} exceeded: ${r.int(900)} of 500 files`,
  },
];

/** The long tail that every log has: each of them once in two weeks or so, and so absent from many a baseline. */
const longTail: readonly Planted[] = [
  'kernel: nf_conntrack: table full, dropping packet',
  'Watchdog fired: no heartbeat from scheduler',
  'Leap second file is out of date',
  'inotify watch limit reached',
  'Refusing to start a second migration',
  'Clock skew detected against reference server',
  'Session store returned an empty document',
  'Template cache was corrupt and has been rebuilt',
].map((text, at) => ({
  name: `tail ${at}`,
  service: ['host', 'worker', 'web'][at % 3] as string,
  level: 'error',
  perDay: 0.07,
  text: (random) => `${text} (${random.int(9_000)})`,
}));

/** What a new release can bring. Some are near to known errors: one word, or the last line of a traceback, is other. */
const newErrors: readonly Pick<Planted, 'name' | 'service' | 'level' | 'text'>[] = [
  {
    name: 'new: null',
    service: 'web',
    level: 'error',
    text: (r) => `TypeError: Cannot read properties of undefined (reading '${r.pick(files)}')${frames(r)}`,
  },
  {
    name: 'new: traceback',
    service: 'worker',
    level: 'error',
    text: (r) =>
      `Traceback (most recent call last):\n  File "/srv/${r.pick(files)}.py", line ${r.int(400)}, in ${r.pick(users)}\nZeroDivisionError: division by zero`,
  },
  {
    name: 'new: unreachable',
    service: 'worker',
    level: 'error',
    text: (r) => `connect EHOSTUNREACH ${ip(r)}:5432${frames(r)}`,
  },
  {
    name: 'new: column',
    service: 'db',
    level: 'error',
    text: (r) => `column "${r.pick(tables)}_total" of relation "${r.pick(tables)}" does not exist`,
  },
  {
    name: 'new: permission',
    service: 'web',
    level: 'error',
    text: (r) => `EACCES: permission denied, open '${path(r)}'`,
  },
  {
    name: 'new: schema',
    service: 'worker',
    level: 'error',
    text: (r) => `Message ${uuid(r)} has schema version ${r.int(9)}, expected 12`,
  },
  {
    name: 'new: pool',
    service: 'db',
    level: 'fatal',
    text: (r) => `remaining connection slots are reserved: host=${ip(r)} user=${r.pick(users)}`,
  },
  {
    name: 'new: payment',
    service: 'web',
    level: 'error',
    text: (r) => `Payment provider rejected signature for order ${r.int(90_000)}: key rotated`,
  },
  {
    name: 'new: segfault',
    service: 'host',
    level: 'fatal',
    text: (r) => `${r.pick(files)}[${r.int(30_000)}]: segfault at ${r.hex(8)} ip 0x${r.hex(12)} error 4`,
  },
  {
    name: 'new: known elsewhere',
    service: 'db',
    level: 'error',
    text: (r) => `connect ECONNREFUSED ${ip(r)}:6379`,
  },
];

export interface PlantedLine extends Line {
  /** What wrote it. */
  readonly planted: string;
}

export interface Corpus {
  /** In order of time: seven days, and the day that is looked at. */
  readonly lines: readonly PlantedLine[];
  /** The errors of the last day that no day before had. */
  readonly isNew: readonly string[];
}

/** @param isQuiet without new errors. @param errorsOnly as those who look for new errors read it. */
export function corpusOf(seed: number, { isQuiet = false, errorsOnly = false } = {}): Corpus {
  const random = randomOf(seed);
  const lines: Omit<PlantedLine, 'id'>[] = [];
  const write = ({ name, service, level, text }: Omit<Planted, 'perDay'>, atMs: number) => {
    lines.push({
      atMs,
      observedMs: atMs,
      level,
      service,
      source: 'planted',
      message: text(random),
      fields: {},
      planted: name,
    });
  };
  for (const planted of [...(errorsOnly ? [] : usual), ...knownErrors, ...longTail]) {
    for (let day = 0; day <= baselineDays; day += 1) {
      for (let count = random.poisson(planted.perDay); count > 0; count -= 1) {
        const atMs = startMs + day * dayMs + momentOfDay(random);
        if (planted.burst === undefined) write(planted, atMs);
        else
          for (let left = 1 + random.poisson(planted.burst); left > 0; left -= 1)
            write(planted, atMs + random.int(12 * minuteMs));
      }
    }
  }
  const lastMs = startMs + baselineDays * dayMs;
  // Half of what could go wrong does, each in its own way.
  const isNew = isQuiet ? [] : newErrors.filter(() => random.next() < 0.5);
  for (const planted of isNew) {
    const at = () => lastMs + momentOfDay(random);
    const burstMs = lastMs + momentOfDay(random);
    switch (random.int(5)) {
      case 0:
        for (let left = 15 + random.int(25); left > 0; left -= 1)
          write(planted, burstMs + random.int(12 * minuteMs));
        break;
      case 1:
        for (let left = 3 + random.int(6); left > 0; left -= 1) write(planted, at());
        break;
      case 2:
        for (let left = 20 + random.int(100); left > 0; left -= 1) write(planted, at());
        break;
      case 3:
        for (let left = 2; left > 0; left -= 1) write(planted, at());
        break;
      default:
        // A few in the hours after a release.
        for (let left = 4 + random.int(8); left > 0; left -= 1)
          write(planted, Math.min(burstMs + random.int(180 * minuteMs), lastMs + dayMs - 1));
    }
  }
  const sorted = lines.toSorted((a, b) => a.atMs - b.atMs);
  return {
    lines: sorted
      .filter(({ atMs }) => atMs < lastMs + dayMs)
      .map((line, at) => Object.assign(line, { id: at + 1 })),
    isNew: isNew.map(({ name }) => name),
  };
}

/** Most by day, few by night. */
function momentOfDay(random: Random): number {
  for (;;) {
    const at = random.int(dayMs);
    if (random.next() < 0.55 - 0.45 * Math.cos((2 * Math.PI * at) / dayMs)) return at;
  }
}
