/**
 * The hub's data in Redis: for several hubs that serve one mesh. All keys of a mesh have one hash tag, so they lie in one slot, and
 * each change is one script there: nothing is ever half done, in a Cluster neither. `scripts/common.lua` says what the keys hold.
 *
 * Redis runs scripts one after the other, writes what a script did as one piece, and answers after it is in the append-only file.
 * So what is acknowledged is there, and who asks again after a lost answer is told of the first time.
 */
import type { Log } from '#runtime/account/log.ts';
import type { Holding, Kept, Quota } from '#runtime/quotas.ts';

import type { Envelope, Packed, Stored } from '../message.ts';
import {
  deliveryStates,
  sharedKinds,
  urgency,
  type Appended,
  type Backlog,
  type Delivery,
  type Died,
  type Engine,
  type Entry,
  type Kind,
  type Listener,
  type Mailbox,
  type Outgoing,
  type Page,
  type Placed,
  type Reservation,
  type Settled,
  type Settlement,
  type Span,
} from './engine.ts';
import { inParts, slicesOf } from './parts.ts';
import { openLink, type Argument, type Link, type RedisSettings, type Reply } from './redis-link.ts';

const pollMs = 1_000;
/** How many deliveries one script changes at most, where it can be several scripts: some milliseconds of work. */
const atOnce = 500;
/** Mailboxes whose dead letters one script looks for: some milliseconds of work. */
const mailboxesAtOnce = 500;
/** What goes into one script of `append`. */
const mostPlaces = 500;
const pageOfLogBytes = 1_048_576;
/** Places of the log that one script looks through for one agent: some milliseconds of work. */
const placesOfLog = 2_000;
/** What servers say of themselves is asked this seldom. */
const informationMs = 10_000;

const text = (reply: Reply | undefined) => (Buffer.isBuffer(reply) ? reply.toString() : String(reply ?? ''));
const number = (reply: Reply | undefined) => Number(text(reply));
const listOf = (reply: Reply | undefined) => (Array.isArray(reply) ? (reply as readonly Reply[]) : []);
const textsOf = (reply: Reply | undefined) => listOf(reply).map(text);
/** Redis reads whole numbers. */
const whole = (value: number) => Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER);

/** A flat list in rows. */
function rowsOf(reply: Reply | undefined, width: number): Reply[][] {
  const list = listOf(reply);
  return Array.from({ length: list.length / width }, (_, row) => list.slice(row * width, (row + 1) * width));
}

function storedOf([seq, envelope, encoding, size, body]: readonly Reply[]): Stored {
  return {
    seq: number(seq),
    ...(JSON.parse(text(envelope)) as Pick<Stored, 'envelope' | 'owner' | 'readers' | 'receivers'>),
    body: { encoding: text(encoding) as Packed['encoding'], bytes: body as Buffer, sizeBytes: number(size) },
  };
}

function deliveryOf(seq: number, [agent, state, attempts, atMs, reason]: readonly Reply[]): Delivery {
  return {
    seq,
    agent: text(agent),
    state: deliveryStates[number(state)] as Delivery['state'],
    attempts: number(attempts),
    atMs: number(atMs),
    reason: text(reason) || undefined,
  };
}

const diedOf = (reply: Reply | undefined) =>
  rowsOf(reply, 4).map(([seq, agent, reason, envelope]): Died => {
    const { envelope: head, owner } = JSON.parse(text(envelope)) as { envelope: Envelope; owner: string };
    return { stored: { seq: number(seq), envelope: head, owner }, agent: text(agent), reason: text(reason) };
  });

function entryOf(kind: Kind, key: string, stands: string): Entry {
  const [version, changedAt, expiresAt, owner] = stands.split('\n', 4);
  const value = stands.slice([version, changedAt, expiresAt, owner].join('\n').length + 1);
  return {
    kind,
    key,
    owner: JSON.parse(owner ?? '') as string,
    version: Number(version),
    value: JSON.parse(value) as unknown,
    changedAtMs: Number(changedAt),
    expiresAtMs: expiresAt === '' ? undefined : Number(expiresAt),
  };
}

const backlogsOf = (reply: Reply) =>
  rowsOf(reply, 4).map(([agent, load, leased, oldest]): Backlog => ({
    agent: text(agent),
    pending: number(load) - number(leased),
    leased: number(leased),
    oldestMs: text(oldest) === '' ? undefined : number(oldest),
  }));

const isShared = (kind: Kind) => ((sharedKinds as readonly Kind[]).includes(kind) ? '1' : '0');

const reservedName = ({ name, agent }: Pick<Reservation, 'name' | 'agent'>) => `${name}\0${agent}`;

/** As `reserve.lua` keeps it. */
function reservationOf(member: string, stands: string): Reservation {
  const [name = '', agent = ''] = member.split('\0');
  const [fence, untilMs, isShared, rest = ''] = stands.split('\n');
  const others = JSON.parse(rest) as Pick<Reservation, 'owner' | 'reason' | 'sinceMs'>;
  return {
    name,
    agent,
    ...others,
    isShared: isShared === '1',
    untilMs: Number(untilMs),
    fence: Number(fence),
  };
}

/** Those under which this name lies, and for a folder the name without its stars. */
function coveringNames(name: string): string[] {
  const names = [name, `${name}/**`];
  for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1))
    names.push(`${name.slice(0, at)}/**`);
  if (name.endsWith('/**')) names.push(name.slice(0, -'/**'.length));
  return [...new Set(names)];
}

function argumentsOf({ stored, digest, mailboxes, dead = '' }: Outgoing, nowMs: number): Argument[] {
  const { envelope, body, owner, readers, receivers } = stored;
  const { source, id, correlationId, priority, timeMs, expiresAtMs } = envelope;
  const said = JSON.stringify(envelope);
  const counts = body.bytes.byteLength + said.length + 200;
  const agents = [...mailboxes.map(({ agent }) => agent), ...(dead === '' ? [] : [''])];
  const life = whole(Math.max(0, expiresAtMs - timeMs));
  const kept = [
    source,
    urgency[priority],
    owner,
    id,
    correlationId,
    life,
    counts,
    nowMs,
    body.sizeBytes,
    agents,
  ];
  return [
    source,
    id,
    digest,
    owner,
    `${urgency[priority]}${source}`,
    whole(expiresAtMs),
    correlationId,
    `{"envelope":${said},${JSON.stringify({ owner, readers, receivers }).slice(1)}`,
    body.encoding,
    body.sizeBytes,
    counts,
    JSON.stringify(kept),
    // The client knows a Buffer, and no other array of bytes.
    Buffer.from(body.bytes.buffer, body.bytes.byteOffset, body.bytes.byteLength),
    dead,
    mailboxes.length,
    ...mailboxes.flatMap(({ agent, most, whenFull }) => [agent, most, whenFull]),
  ];
}

/** Reads what `append.lua` answers for these messages. */
function appendedOf(messages: readonly Outgoing[], reply: Reply): Appended[] {
  const list = listOf(reply);
  let at = 0;
  return messages.map(({ mailboxes }) => {
    const [outcome, seq, boxes] = [text(list[at]), number(list[at + 1]), number(list[at + 2])];
    const placed = mailboxes.slice(0, boxes).map(({ agent }, index): Placed => {
      const from = at + 3 + index * 2;
      return { agent, outcome: text(list[from]) as Placed['outcome'], dropped: number(list[from + 1]) };
    });
    at += 3 + boxes * 2;
    return { outcome: outcome as Appended['outcome'], seq, placed };
  });
}

function settlementArguments(settlement: Settlement): Argument[] {
  const { seq, attempt, as } = settlement;
  const at = as === 'retry' ? settlement.atMs : as === 'extended' ? settlement.untilMs : 0;
  const reason = as === 'retry' || as === 'dead' ? settlement.reason : '';
  return [seq, attempt, as, whole(at), reason, as === 'retry' ? settlement.mostAttempts : 0];
}

/**
 * @throws ConfigError when the settings or the Redis that they name do not fit; UnavailableError when it does not answer.
 */
export async function openRedis(
  settings: RedisSettings,
  quota: Quota,
  log: Log,
  listener: Listener,
): Promise<Engine> {
  let lastChange = 0;
  let lastTick = 0;
  let known = new Map<string, { readonly kind: Kind; readonly key: string }>();
  let kept: Kept = { quota, holdings: [] };
  let isOpen = false;

  const link = await openLink(settings, log, {
    woken(said) {
      if (!isOpen) return;
      if (said === '') {
        follow().catch(() => {});
        return;
      }
      const [tick, ...agents] = said.split('\n');
      // Where one is missing, the poll finds whom it was for.
      if (Number(tick) === lastTick + 1) lastTick = Number(tick);
      for (const agent of agents) listener.arrived(agent);
    },
    connected() {
      if (isOpen) follow().catch(() => {});
    },
  });
  const run: Link['run'] = async (script, args) => link.run(script, args);
  const call: Link['call'] = async (command, key, ...args) => link.call(command, key, ...args);

  /** @param words that have to be in what the log says of a message. */
  async function readLog({ correlationId = '', from, backwards, most }: Span, words = ''): Promise<Page> {
    const [next, ...rows] = listOf(
      await run('read', [
        correlationId,
        whole(from),
        backwards ? '1' : '0',
        most,
        pageOfLogBytes,
        words,
        words === '' ? 0 : placesOfLog,
      ]),
    );
    return {
      messages: rowsOf(rows, 5).map(storedOf),
      next: text(next) === '' ? undefined : Number(text(next)),
    };
  }

  async function readAt(seq: number): Promise<Stored | undefined> {
    const { messages } = await readLog({ from: Math.max(seq - 1, 0), backwards: false, most: 1 });
    return messages.find((one) => one.seq === seq);
  }

  function tell(kind: Kind, key: string, stands: string): void {
    const name = `${kind}\n${key}`;
    if (stands === '') {
      known.delete(name);
      listener.changed({ removed: { kind, key } });
    } else {
      known.set(name, { kind, key });
      listener.changed({ put: entryOf(kind, key, stands) });
    }
  }

  /** All documents of which hubs have to hear: at the start, and when too many changes were missed to follow. */
  async function reload(): Promise<number> {
    const [change, tick, ...lists] = listOf(await run('load', sharedKinds));
    const before = known;
    known = new Map();
    for (const [index, kind] of sharedKinds.entries()) {
      const rows = rowsOf(lists[index], 2).map(([key, stands]) => [text(key), text(stands)] as const);
      for (const [key, stands] of rows.toSorted(([one], [other]) => (one < other ? -1 : 1)))
        tell(kind, key, stands);
    }
    for (const [name, { kind, key }] of before) if (!known.has(name)) tell(kind, key, '');
    lastChange = number(change);
    return number(tick);
  }

  async function look(): Promise<void> {
    for (;;) {
      const asked = lastTick;
      const [change, isMissing, changes, tick, agents, keeps] = listOf(
        await run('poll', [lastChange, asked, atOnce]),
      );
      for (const [at, kind, key, stands] of rowsOf(changes, 4)) {
        lastChange = number(at);
        tell(text(kind) as Kind, text(key), text(stands));
      }
      // A Redis that was put back to an earlier state counts from there.
      lastTick = number(tick) < asked ? number(tick) : Math.max(lastTick, number(tick));
      for (const agent of textsOf(agents)) listener.arrived(agent);
      kept = { quota, holdings: holdingsOf(keeps) };
      if (isMissing === 1) await reload();
      if (lastChange >= number(change)) return;
    }
  }

  let looking: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  /** Resolves when all is heard of that was done before this was called. */
  function follow(): Promise<void> {
    if (!looking) {
      looking = look().finally(() => {
        looking = undefined;
      });
      return looking;
    }
    // What looks now may have begun before the last change.
    next ??= looking
      .catch(() => {})
      .then(async () => {
        next = undefined;
        return follow();
      });
    return next;
  }

  try {
    lastTick = await reload();
    await look();
  } catch (error) {
    await link[Symbol.asyncDispose]();
    throw error;
  }
  isOpen = true;
  const polling = setInterval(() => void follow().catch(() => {}), pollMs);

  /** What this hub has changed counts at once, what others change at the next poll. */
  function noteHolding(holding: Holding): void {
    const others = kept.holdings.filter(({ owner }) => owner !== holding.owner);
    kept = { quota, holdings: fullestFirst([...others, ...(holding.items > 0 ? [holding] : [])]) };
  }

  /** Who has changed something finds it in memory afterwards; where that fails, the next poll brings it. */
  async function heard(kind: Kind): Promise<void> {
    if (isShared(kind) === '1') await follow().catch(() => {});
  }

  /** In a mailbox that holds more than it may. */
  async function makeRoom(agent: string, most: number, nowMs: number): Promise<void> {
    while (text(await run('make-room', [agent, most, whole(nowMs)])) === '1'); // oxlint-disable-line no-await-in-loop -- in pieces, so that others are served between them
  }

  let lookedAtMs = -Infinity;
  let warnings: readonly string[] = [];

  return {
    current: follow,

    async put(entry, version) {
      const { kind, key, owner, value, changedAtMs, expiresAtMs } = entry;
      const [done, stands, items, bytes] = listOf(
        await run('put', [
          kind,
          key,
          JSON.stringify(owner),
          whole(changedAtMs),
          expiresAtMs === undefined ? '' : whole(expiresAtMs),
          JSON.stringify(value),
          version ?? '',
          isShared(kind),
        ]),
      );
      if (done === 1) {
        noteHolding({ owner, items: number(items), bytes: number(bytes) });
        await heard(kind);
      }
      return {
        done: done === 1,
        entry: text(stands) === '' ? { ...entry, version: 0 } : entryOf(kind, key, text(stands)),
      };
    },

    async remove(kind, key, owner) {
      const [done, items, bytes] = listOf(
        await run('remove', [kind, key, JSON.stringify(owner), isShared(kind)]),
      );
      if (done !== 1) return false;
      noteHolding({ owner, items: number(items), bytes: number(bytes) });
      await heard(kind);
      return true;
    },

    async get(kind, key, nowMs) {
      const stands = text(await call('HGET', `e:${kind}`, key));
      if (stands === '') return undefined;
      const entry = entryOf(kind, key, stands);
      return (entry.expiresAtMs ?? Infinity) > nowMs ? entry : undefined;
    },

    async list(kind, after, most, nowMs) {
      const rows = rowsOf(await run('list', [kind, after, most, whole(nowMs)]), 2);
      return rows.map(([key, stands]) => entryOf(kind, text(key), text(stands)));
    },

    append: async (messages, nowMs) =>
      inParts(messages, mostPlaces, async (part) => {
        const head = [whole(nowMs), quota.items, quota.bytes, part.length];
        const messagesOfIt = part.flatMap((message) => argumentsOf(message, whole(nowMs)));
        for (;;) {
          const reply = await run('append', [...head, ...messagesOfIt]); // oxlint-disable-line no-await-in-loop -- once, nearly always
          const [outcome, ...crowded] = listOf(reply);
          if (text(outcome) !== 'crowded') return appendedOf(part, reply);
          for (const [agent, most] of rowsOf(crowded, 2)) await makeRoom(text(agent), number(most), nowMs); // oxlint-disable-line no-await-in-loop
        }
      }),

    async lease({ agent, most, mostBytes, untilMs, nowMs, isOrdered }) {
      const until = whole(untilMs);
      // A script takes some thousand arguments at once.
      const count = Math.min(most, mostPlaces);
      const reply = await run('lease', [agent, count, mostBytes, until, whole(nowMs), isOrdered ? '1' : '0']);
      return rowsOf(reply, 7).map((row) => ({
        stored: storedOf(row),
        attempt: number(row[5]),
        untilMs: until,
        isReplay: text(row[6]) === '1',
      }));
    },

    settle: async (agent, settlements, nowMs) =>
      textsOf(
        await run('settle', [agent, whole(nowMs), ...settlements.flatMap(settlementArguments)]),
      ) as Settled[],

    async release(agent, nowMs, mostAttempts) {
      const [count, died] = listOf(await run('release', [agent, whole(nowMs), mostAttempts, atOnce]));
      const dead = diedOf(died);
      return { returned: number(count) - dead.length, dead, isMore: number(count) === atOnce };
    },

    async vacate(agent, subscriptions, reason, nowMs) {
      for (let [dead, released] = [0, 0]; ;) {
        const keys = dead === 0 ? subscriptions : [];
        const [died, names, ended] = listOf(
          await run('vacate', [agent, reason, whole(nowMs), atOnce, ...keys]),
        ).map(number) as [number, number, number];
        if (ended > 0) await heard('subscription');
        dead += died;
        released += names;
        if (died < atOnce) return { dead, released };
      }
    },

    async replay({ agent, most }: Mailbox, seqs, nowMs) {
      let count = 0;
      for (let from = 0; from < seqs.length; from += atOnce)
        count += number(await run('replay', [agent, most, whole(nowMs), ...seqs.slice(from, from + atOnce)]));
      return count;
    },

    async sweep(nowMs, mostAttempts) {
      const [count, agents, died] = listOf(await run('sweep', [whole(nowMs), mostAttempts, atOnce]));
      return { woken: textsOf(agents), dead: diedOf(died), isMore: number(count) === atOnce };
    },

    async deadLetters({ agents, owner }, { atMs, seq, agent: after }, most) {
      const start = [whole(atMs), whole(seq), after];
      let names: string[] = [];
      for (const some of slicesOf(agents, mailboxesAtOnce)) {
        const found = textsOf(await run('dead-names', [owner, ...start, most, ...some])); // oxlint-disable-line no-await-in-loop -- in pieces, so that others are served between them
        names = [...new Set([...names, ...found])].toSorted().toReversed().slice(0, most);
      }
      return rowsOf(await run('dead-letters', names), 9).map((row) => {
        const { body: _none, ...stored } = storedOf(row);
        const [agent, ...stands] = row.slice(5) as [Reply, ...Reply[]];
        return { ...deliveryOf(stored.seq, [agent, deliveryStates.indexOf('dead'), ...stands]), stored };
      });
    },

    revive: async (dead, { agent, most }, expiresAtMs, nowMs) =>
      text(await run('revive', [dead.agent, dead.seq, agent, most, whole(expiresAtMs), whole(nowMs)])) as
        | Placed['outcome']
        | 'unknown',

    queued: async (agent, after, most) =>
      listOf(await run('queued', [agent, whole(after), most])).map(number),

    move: async (from, { agent, most }, nowMs) =>
      text(await run('move', [from.agent, from.seq, agent, most, whole(nowMs), from.hasLeft ? '1' : '0'])) as
        | 'queued'
        | 'full'
        | 'unknown',

    async bury(dead) {
      return number(
        await run(
          'bury',
          dead.flatMap(({ agent, seq }) => [agent, seq]),
        ),
      );
    },

    read: async (span) => (await readLog(span)).messages,

    at: readAt,

    readOf: async (agent, span) => readLog(span, JSON.stringify(agent)),

    async find(source, id) {
      const lines = text(await call('HGET', `i:${source}`, id));
      const found: Stored[] = [];
      for (const seq of lines.split('\n').map((line) => Number.parseInt(line, 10))) {
        if (Number.isNaN(seq)) continue;
        const stored = await readAt(seq); // oxlint-disable-line no-await-in-loop -- one, nearly always
        if (stored) found.push(stored);
      }
      return found;
    },

    placeAt: async (timeMs) => number(await run('place-at', [whole(timeMs)])),

    async deliveries(seq) {
      return rowsOf(await run('deliveries', [seq]), 5)
        .map((row) => deliveryOf(seq, row))
        .toSorted((one, other) => (one.agent < other.agent ? -1 : 1));
    },

    async reserve(wanted, nowMs) {
      const [outcome, ...rest] = listOf(
        await run('reserve', [
          whole(nowMs),
          ...wanted.flatMap(({ name, agent, owner, isShared: shares, reason, sinceMs, untilMs }) => {
            const covering = coveringNames(name);
            const below = name.endsWith('/**') ? name.slice(0, -'/**'.length) : '';
            const others = JSON.stringify({ owner, reason, sinceMs });
            return [
              name,
              agent,
              shares ? '1' : '0',
              whole(untilMs),
              others,
              below,
              covering.length,
              ...covering,
            ];
          }),
        ]),
      );
      if (text(outcome) === 'held')
        return { held: rowsOf(rest, 2).map(([member, stands]) => reservationOf(text(member), text(stands))) };
      return { made: wanted.map((one, index) => ({ ...one, fence: number(rest[index]) })) };
    },

    unreserve: async (agent, names) =>
      textsOf(await run('unreserve', [agent, names ? '0' : '1', ...(names ?? [])])),

    async reservations(nowMs) {
      return rowsOf(await call('HGETALL', 'r'), 2)
        .map(([member, stands]) => reservationOf(text(member), text(stands)))
        .filter(({ untilMs }) => untilMs > nowMs)
        .toSorted((one, other) => (reservedName(one) < reservedName(other) ? -1 : 1));
    },

    async seen(agents) {
      const pairs = [...agents].map(([agent, atMs]) => [agent, whole(atMs)]);
      if (pairs.length > 0) await run('seen', pairs.flat());
    },

    async lastSeen() {
      const rows = rowsOf(await call('HGETALL', 'seen'), 2);
      return new Map(rows.map(([agent, atMs]) => [text(agent), number(atMs)]));
    },

    async loads(agents) {
      return agents.length === 0
        ? []
        : listOf(await call('ZMSCORE', 'load', ...agents)).map((load) => number(load ?? 0));
    },

    backlog: async (agent) => backlogsOf(await run('backlogs', [1, agent]))[0] as Backlog,
    backlogs: async (most) => backlogsOf(await run('backlogs', [most])),

    async totals() {
      const [messages, firstSeq, lastSeq, sizeBytes, dead, trimmed] = listOf(await run('totals', [])).map(
        number,
      );
      return { messages, firstSeq, lastSeq, sizeBytes, dead, trimmed } as Awaited<
        ReturnType<Engine['totals']>
      >;
    },

    async trim(beforeMs, most) {
      const before = whole(beforeMs);
      await run('forget-expired', [before, atOnce, ...sharedKinds]);
      for (let all = 0; ;) {
        const [count, isMore] = listOf(await run('trim', [before, most - all]));
        all += number(count);
        if (all >= most || text(isMore) === '0') return all;
      }
    },

    kept: () => kept,

    async probe() {
      await run('probe', []);
      if (performance.now() > lookedAtMs + informationMs) {
        warnings = [...new Set((await link.information()).flatMap(warningsOf))];
        lookedAtMs = performance.now();
      }
      return warnings;
    },

    async [Symbol.asyncDispose]() {
      isOpen = false;
      clearInterval(polling);
      await link[Symbol.asyncDispose]();
    },
  };
}

const fullestFirst = (holdings: readonly Holding[]) =>
  holdings
    .toSorted((one, other) => other.bytes - one.bytes || (one.owner < other.owner ? -1 : 1))
    .slice(0, 100);

/** Of the hash `kept`. */
function holdingsOf(reply: Reply | undefined): Holding[] {
  const rows = new Map(rowsOf(reply, 2).map(([name, value]) => [text(name), number(value)]));
  const owners = [...rows.keys()].filter((name) => name.startsWith('i')).map((name) => name.slice(1));
  return fullestFirst(
    owners.map((owner) => ({ owner, items: rows.get(`i${owner}`) ?? 0, bytes: rows.get(`b${owner}`) ?? 0 })),
  );
}

/** How a server is set that would lose what was acknowledged. */
function warningsOf(said: Readonly<Record<string, string>>): string[] {
  const { aof_enabled: isAppending, appendfsync = '', maxmemory_policy: policy = 'noeviction' } = said;
  return [
    ...(isAppending === '0'
      ? [
          'Redis keeps no append-only file: what it has acknowledged is lost when it ends. Set appendonly yes.',
        ]
      : []),
    ...(isAppending === '1' && appendfsync === 'no'
      ? ['Redis leaves it to its host when the append-only file is written: set appendfsync always.']
      : []),
    ...(isAppending === '1' && appendfsync === 'everysec'
      ? [
          'Redis writes its append-only file once a second (appendfsync everysec): up to two seconds of what was acknowledged are lost when it is killed. Set appendfsync always.',
        ]
      : []),
    ...(isAppending === '1' && appendfsync === ''
      ? [
          'When Redis writes its append-only file could not be checked, since its user may not ask: allow +config|get, and set appendfsync always.',
        ]
      : []),
    ...(said['aof_last_write_status'] === 'err'
      ? ['Redis cannot write its append-only file: look at its disk.']
      : []),
    // Others take only keys that expire, and the hub has none.
    ...(policy.startsWith('allkeys')
      ? [`Redis throws data away when its memory is full (${policy}): set maxmemory-policy noeviction.`]
      : []),
  ];
}
