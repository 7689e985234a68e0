import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openAgain, openToRead } from '#runtime/database.ts';

import { temporaryFolder } from '../../../tests/support/serve.ts';
import { openKeeper, registerFile } from './keeper.ts';
import { momentOf, placesPerMs, type Line, type LineKey } from './line.ts';
import { openReader } from './reader.ts';
import { openSegment, segmentFile } from './segment.ts';
import { call, keeping, newLine, storeIn } from './store.fixture.ts';
import type { Store } from './store.ts';
import { mostStreams, mostStreamsOfToken } from './streams.ts';

const startMs = Date.parse('2026-11-20T23:00:00Z');
const nowMs = startMs + 7_200_000;
const messages = (lines: readonly Line[]) => lines.map(({ message }) => message);

/** Two hours over midnight, a line each second; the third of every ten is an error, the words tell which is which. */
function someLines(count: number) {
  return Array.from({ length: count }, (_, at) =>
    newLine(startMs + at * 1_000, `request ${at} took ${at % 7} ms from 10.0.0.${at % 20}`, {
      level: at % 10 === 3 ? 'error' : 'info',
      service: at % 2 === 0 ? 'web' : 'db',
      fields: { shard: `s${at % 5}` },
    }),
  );
}

const folder = temporaryFolder();
let store: Store;
beforeAll(async () => {
  const dataDir = join(folder.path, 'filled');
  {
    using keeper = openKeeper(dataDir, keeping);
    const lines = someLines(7_200);
    for (let at = 0; at < lines.length; at += 600)
      keeper.append([{ lines: lines.slice(at, at + 600), refused: {} }], nowMs);
  }
  store = await storeIn(dataDir);
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const find = async (
  filter: Parameters<Store['find']>[0],
  limit = 10,
  order: 'newest' | 'oldest' = 'newest',
) => (await store.find(filter, { order, limit }, call)).lines;

describe('searching', () => {
  test('a day has its own segment, and a full one is followed by another', () => {
    expect(store.holdings()).toMatchObject({ lines: 7_200 });
    expect(store.holdings().segments).toBeGreaterThan(5);
  });

  test('gives the newest first, or the oldest, over all segments, page by page without a gap', async () => {
    for (const order of ['newest', 'oldest'] as const) {
      const all: number[] = [];
      let after: number | undefined;
      do {
        const page = await store.find({}, { order, after, limit: 499 }, call);
        all.push(...page.lines.map(({ atMs }) => atMs));
        after = page.next;
      } while (after !== undefined);
      expect(all).toHaveLength(7_200);
      expect(all).toEqual(all.toSorted((one, other) => (order === 'newest' ? other - one : one - other)));
    }
  });

  test.each([
    ['a word', { query: 'request' }, 7_200],
    ['a word of one line', { query: '7199' }, 1],
    ['a word of a field', { query: 's3' }, 1_440],
    ['case does not matter', { query: 'REQUEST Took' }, 7_200],
    ['a word that no line has', { query: 'nosuchword' }, 0],
    ['all words', { query: 'took 7199' }, 1],
    ['words in order', { query: '"request 77 took"' }, 1],
    ['words in another order', { query: '"took request"' }, 0],
    ['an address, and no longer one', { query: '10.0.0.1' }, 360],
    ['the beginning of a word', { query: 'requ*' }, 7_200],
    ['without a word', { query: 'request -ms' }, 0],
    ['only without a word', { query: '-s3' }, 5_760],
    ['without words in order', { query: '-"from 10.0.0.3"' }, 6_840],
    ['nothing but signs', { query: '=>' }, 0],
    ['levels', { levels: ['error'] as const }, 720],
    ['levels and a word', { levels: ['error', 'fatal'] as const, query: '7193' }, 1],
    ['a service', { services: ['db'] }, 3_600],
    ['a service that is not there', { services: ['nobody'] }, 0],
    ['sources that begin so', { sources: ['ingest:*'] }, 7_200],
    ['a regular expression', { regex: String.raw`^request \d\d took 6` }, 13],
    ['a regular expression and a word', { regex: 'request 1[35] ', query: 'took' }, 2],
    ['a time', { sinceMs: startMs + 3_600_000, untilMs: startMs + 3_610_000 }, 10],
    [
      'a time over midnight, a level',
      { sinceMs: startMs + 3_590_000, untilMs: startMs + 3_610_000, levels: ['error'] as const },
      2,
    ],
  ])('by %s', async (_, filter, count) => {
    let found = 0;
    for await (const { lines } of store.scan(filter, {}, call)) found += lines.length;
    expect(found).toBe(count);
  });

  test.each(['(', 'a{100000}', '(?<=x)y', String.raw`\1`])(
    'refuses %s as a regular expression',
    async (regex) => {
      await expect(find({ regex })).rejects.toMatchObject({ code: 'invalid_input' });
    },
  );

  test('a hostile regular expression takes no longer than a harmless one', async () => {
    expect(await find({ regex: '(a+)+$' })).toEqual([]);
    expect(await find({ regex: '(.*a){12}$' })).toEqual([]);
  });

  test('what looks like the query language of SQLite is words', async () => {
    for (const query of [
      '" OR 1',
      'NEAR(request)',
      'text:request',
      '{',
      'request*',
      '-',
      '"',
      "'; DROP TABLE lines; --",
      '\u{e000}4',
      '^request',
      'AND',
      'a"b',
    ]) {
      await expect(find({ query })).resolves.toBeInstanceOf(Array);
    }
    expect(await find({ query: '\u{e000}3' })).toEqual(await find({ query: '3' }));
  });

  test('a beginning that too many words have is refused', async () => {
    await expect(find({ query: '1*' }, 10, 'oldest')).rejects.toMatchObject({ code: 'too_large' });
  });

  test('stops when the caller is gone', async () => {
    const signal = AbortSignal.abort(new Error('gone'));
    await expect(store.find({}, { order: 'newest', limit: 5 }, { ...call, signal })).rejects.toThrow('gone');
  });
});

test('counts by level and time agree with the lines', async () => {
  const hours = await store.counts({ filter: {}, by: 'level', everyMinutes: 60 }, call);
  expect(hours).toHaveLength(4);
  const errors = await store.counts(
    { filter: { levels: ['error'], services: ['db'] }, by: 'none', everyMinutes: undefined },
    call,
  );
  expect(errors).toMatchObject([{ lines: 720 }]);
});

describe('keeping', () => {
  const opened = (name: string, overrides = {}) =>
    openKeeper(join(folder.path, name), { ...keeping, ...overrides });
  const reading = (name: string) => openReader(join(folder.path, name));
  const all = (name: string) => {
    using reader = reading(name);
    return reader.piece({ filter: {}, order: 'oldest', limit: 10_000, budgetMs: 10_000 }).lines;
  };

  test('lines of one millisecond all have a place, in order, and are found by their time', () => {
    using keeper = opened('crowded');
    const crowd = (from: number) =>
      Array.from({ length: placesPerMs * 3 }, (_, at) => newLine(startMs, `line ${from + at}`));
    keeper.append([{ lines: [newLine(startMs + 1, 'between'), ...crowd(0)], refused: {} }], nowMs);
    keeper.append([{ lines: crowd(1_000), refused: {} }], nowMs);
    using reader = reading('crowded');
    const { lines } = reader.piece({
      filter: { sinceMs: startMs, untilMs: startMs + 1 },
      order: 'oldest',
      limit: 1_000,
      budgetMs: 10_000,
    });
    expect(lines).toHaveLength(placesPerMs * 6);
    expect(new Set(lines.map(({ id }) => id)).size).toBe(placesPerMs * 6);
    expect(lines.every(({ atMs }) => atMs === startMs)).toBe(true);
    expect(momentOf(lines.at(-1)?.id ?? 0)).toBeGreaterThan(startMs);
  });

  test('lines at the very end of a day all have a place', () => {
    using keeper = opened('midnight');
    const last = Date.parse('2026-11-20T23:59:59.999Z');
    const lines = Array.from({ length: placesPerMs * 2 }, (_, at) => newLine(last, `line ${at}`));
    keeper.append([{ lines, refused: {} }], nowMs);
    keeper.append([{ lines: [newLine(last + 1, 'next day'), newLine(last, 'late')], refused: {} }], nowMs);
    expect(all('midnight')).toHaveLength(placesPerMs * 2 + 2);
    expect(messages(all('midnight')).at(-1)).toBe('next day');
    using reader = reading('midnight');
    const filter = { sinceMs: last, untilMs: last + 1 };
    expect(reader.piece({ filter, order: 'oldest', limit: 1_000, budgetMs: 10_000 }).lines).toHaveLength(
      placesPerMs * 2 + 1,
    );
  });

  test('a late line is found in its place', () => {
    using keeper = opened('late');
    keeper.append([{ lines: someLines(3_000), refused: {} }], nowMs);
    keeper.append([{ lines: [newLine(startMs + 500, 'late')], refused: {} }], nowMs);
    expect(messages(all('late')).slice(0, 3)).toEqual([
      expect.stringContaining('request 0 '),
      'late',
      expect.stringContaining('request 1 '),
    ]);
  });

  test('a batch of the same name counts once, also after a start', () => {
    const batch = { lines: someLines(5), refused: {}, owner: 'a', name: 'one' };
    {
      using keeper = opened('named');
      expect(keeper.append([batch, batch], nowMs)).toMatchObject([
        { isRepeated: false },
        { accepted: 5, isRepeated: true },
      ]);
    }
    using keeper = opened('named');
    expect(keeper.append([batch], nowMs)).toMatchObject([{ accepted: 5, isRepeated: true }]);
    expect(keeper.append([{ ...batch, owner: 'b' }], nowMs)).toMatchObject([
      { accepted: 5, isRepeated: false },
    ]);
    expect(all('named')).toHaveLength(10);
  });

  test('what a batch left that was cut off is taken back at the next start', () => {
    const dataDir = join(folder.path, 'cut off');
    {
      using keeper = opened('cut off');
      keeper.append(
        [{ lines: someLines(50), refused: {}, position: { source: 's', position: '50' } }],
        nowMs,
      );
    }
    // As if the process had ended before the register knew of it.
    const [name = ''] = readdirSync(join(dataDir, 'segments')).filter((one) => one.endsWith('.db'));
    const day = Date.parse('2026-11-20T00:00:00Z');
    expect(segmentFile(dataDir, day)).toContain(name);
    {
      using segment = openSegment(dataDir, day, day + 86_400_000);
      segment.append(2, nowMs, someLines(60).slice(50));
    }
    {
      using reader = reading('cut off');
      // Nobody sees it meanwhile.
      expect(reader.piece({ filter: {}, order: 'newest', limit: 100, budgetMs: 10_000 }).lines).toHaveLength(
        50,
      );
    }
    using keeper = opened('cut off');
    expect(keeper.positionOf('s')).toBe('50');
    keeper.append(
      [{ lines: someLines(60).slice(50), refused: {}, position: { source: 's', position: '60' } }],
      nowMs,
    );
    expect(all('cut off')).toHaveLength(60);
    using reader = reading('cut off');
    expect(reader.counts({ filter: {}, by: 'none', everyMinutes: undefined })).toMatchObject([{ lines: 60 }]);
    expect(
      reader.piece({ filter: { query: '"request 55 took"' }, order: 'newest', limit: 9, budgetMs: 10_000 })
        .lines,
    ).toHaveLength(1);
  });

  test('files that nobody knows of go at a start', () => {
    const dataDir = join(folder.path, 'strays');
    opened('strays')[Symbol.dispose]();
    openSegment(dataDir, startMs, startMs + 1)[Symbol.dispose]();
    opened('strays')[Symbol.dispose]();
    expect(readdirSync(join(dataDir, 'segments'))).toEqual([]);
  });

  test('what is too old is refused and counted, and goes with its segment', () => {
    using keeper = opened('old', { days: 2 });
    const dayMs = 86_400_000;
    const lines = [
      newLine(nowMs - 3 * dayMs, 'too old'),
      newLine(nowMs - 1.5 * dayMs, 'old'),
      newLine(nowMs, 'new'),
    ];
    expect(keeper.append([{ lines, refused: {} }], nowMs)).toMatchObject([
      { accepted: 2, refused: { too_old: 1 } },
    ]);
    expect(keeper.retain(nowMs)).toBe(0);
    expect(keeper.retain(nowMs + 2 * dayMs)).toBe(1);
    expect(messages(all('old'))).toEqual(['new']);
  });

  test('when there are too many bytes the oldest segment goes, and never the newest', () => {
    using keeper = opened('large', { bytes: 1 });
    keeper.append([{ lines: someLines(7_200), refused: {}, owner: 'a' }], nowMs);
    const gone = keeper.retain(nowMs);
    expect(gone).toBe(7_200 - all('large').length);
    expect(all('large').length).toBeGreaterThan(0);
    expect(messages(all('large')).at(-1)).toContain('request 7199 ');
  });

  test('a token that would keep more than it may gets nothing stored, and others do', () => {
    using keeper = opened('full', { quota: { items: 10, bytes: 1_000_000 } });
    const outcomes = keeper.append(
      [
        { lines: someLines(11), refused: {}, owner: 'greedy' },
        { lines: someLines(10), refused: {}, owner: 'modest' },
      ],
      nowMs,
    );
    expect(outcomes).toMatchObject([{ code: 'too_large' }, { accepted: 10 }]);
    expect(all('full')).toHaveLength(10);
  });

  test('lines that two take out at once go once, and no other line that has their place by then', () => {
    using keeper = opened('twice');
    using reader = reading('twice');
    const lines = someLines(600).map((line) => ({ ...line, message: `${line.message} secret` }));
    const others = someLines(400).map((line) => ({ ...line, atMs: line.atMs + 1, source: 'ingest:other' }));
    keeper.append([{ lines, refused: {}, owner: 'test' }], nowMs);
    keeper.append([{ lines: others, refused: {}, owner: 'other' }], nowMs);
    const found: LineKey[] = [];
    let segment = 0;
    for (let after: number | undefined = 0; after !== undefined;) {
      const rows = reader.rows({ filter: { query: 'secret' }, after, limit: 600 });
      segment = rows.startMs ?? segment;
      found.push(...rows.lines);
      after = rows.next;
    }
    expect(found).toHaveLength(600);

    expect(keeper.remove(segment, found.slice(0, 200))).toEqual({ 'ingest:test': 200 });
    expect(keeper.remove(segment, found)).toEqual({ 'ingest:test': 400 });
    keeper.append([{ lines: [newLine(startMs, 'in the place of one')], refused: {}, owner: 'test' }], nowMs);
    expect(all('twice')[0]?.id).toBe(found[0]?.id);
    expect(keeper.remove(segment, found)).toEqual({});

    expect(all('twice')).toHaveLength(401);
    const counts = reader.counts({ filter: {}, by: 'source', everyMinutes: undefined });
    expect(Object.fromEntries(counts.map(({ group, lines: many }) => [group, many]))).toEqual({
      'ingest:test': 1,
      'ingest:other': 400,
    });
    const foundBy = (query: string) =>
      reader.piece({ filter: { query }, order: 'oldest', limit: 1_000, budgetMs: 10_000 }).lines.length;
    expect(['secret', 'took', 'place'].map(foundBy)).toEqual([0, 400, 1]);
  });

  const ofServices = (count: number, word: string, owner?: string, atMs = nowMs) => ({
    lines: Array.from({ length: count }, (_, at) =>
      newLine(atMs, 'm', {
        service: `${word}${at}`,
        source: owner === undefined ? 'journal:x' : `ingest:${owner}`,
      }),
    ),
    refused: {},
    owner,
  });

  test('a token that logs under ever new names gets its share, and takes none of others and of what is fetched', () => {
    using keeper = opened('names', { quota: { items: 1_500, bytes: 1_000_000 } });
    const outcomeOf = (...given: Parameters<typeof ofServices>) =>
      keeper.append([ofServices(...given)], nowMs)[0];
    expect(outcomeOf(1_200, 'x', 'greedy')).toMatchObject({
      accepted: mostStreamsOfToken,
      refused: { too_many_services: 200 },
    });
    expect(outcomeOf(1, 'x', 'greedy')).toMatchObject({ accepted: 1 });
    expect(outcomeOf(1, 'y', 'greedy')).toMatchObject({ accepted: 0 });
    expect(outcomeOf(1, 'y', 'modest')).toMatchObject({ accepted: 1 });
    expect(outcomeOf(mostStreams, 'y')).toMatchObject({ accepted: mostStreams });
    expect(outcomeOf(1, 'z')).toMatchObject({ accepted: 0, refused: { too_many_services: 1 } });
  });

  test('lines that were not stored take no room from the services of others', () => {
    using keeper = opened('not stored', { quota: { items: 1_000, bytes: 10_000 } });
    const many = ofServices(900, 'x', 'test');
    const tooMuch = {
      ...many,
      lines: many.lines.map((line) => ({ ...line, message: 'too long for all of them' })),
    };
    expect(keeper.append([tooMuch], nowMs)).toMatchObject([{ code: 'too_large' }]);
    const staging = keeper.begin(ofServices(900, 'y', 'test'), nowMs);
    if ('number' in staging) keeper.leave(staging);
    expect(keeper.append([ofServices(1_000, 'z', 'test')], nowMs)).toMatchObject([{ accepted: 1_000 }]);
  });

  test('services whose lines went by age make room for others', () => {
    using keeper = opened('gone', { days: 2 });
    const dayMs = 86_400_000;
    keeper.append([ofServices(600, 'x', 'test', nowMs - dayMs), ofServices(400, 'y', 'test')], nowMs);
    expect(keeper.append([ofServices(1, 'z', 'test')], nowMs)).toMatchObject([{ accepted: 0 }]);
    const laterMs = nowMs + 2 * dayMs - 3_600_000;
    expect(keeper.retain(laterMs)).toBe(600);
    expect(keeper.append([ofServices(1_000, 'z', 'test', laterMs)], laterMs)).toMatchObject([
      { accepted: 600, refused: { too_many_services: 400 } },
    ]);
  });

  test('what a token may keep counts the fields of its lines', () => {
    const fields = Object.fromEntries(
      Array.from({ length: 50 }, (_, at) => [`field${at}`, 'y'.repeat(8_000)]),
    );
    const batch = { lines: [newLine(nowMs, 'm', { fields })], refused: {}, owner: 'test' };
    using keeper = opened('fields', { quota: { items: 1_000, bytes: 1_000_000 } });
    using register = openToRead(registerFile(join(folder.path, 'fields')));
    expect(keeper.append([batch, batch, batch, { ...batch, owner: 'other' }], nowMs)).toMatchObject([
      { accepted: 1 },
      { accepted: 1 },
      { code: 'too_large' },
      { accepted: 1 },
    ]);
    const kept = register.prepare('SELECT owner, items, bytes FROM kept ORDER BY owner');
    const bytes = 1 + JSON.stringify(fields).length;
    expect(kept.all()).toEqual([
      { owner: 'other', items: 1, bytes },
      { owner: 'test', items: 2, bytes: 2 * bytes },
    ]);
  });

  test('what tokens held before fields were counted is counted anew, and given back as it was counted', () => {
    const dataDir = join(folder.path, 'counted');
    const lines = someLines(7_200).slice(3_500, 3_700);
    {
      using keeper = opened('counted');
      keeper.append([{ lines, refused: {}, owner: 'test' }], nowMs);
    }
    const file = registerFile(dataDir);
    const before = openAgain(file);
    // As the version before left it: messages alone were counted.
    before.exec('UPDATE holdings SET bytes = items; ALTER TABLE segments DROP COLUMN is_counted');
    before.pragma('user_version = 1');
    before.close();

    using keeper = opened('counted');
    using register = openToRead(file);
    const kept = register.prepare('SELECT items, bytes FROM kept');
    const sums = register.prepare('SELECT sum(lines) AS items, sum(bytes) AS bytes FROM segments');
    expect(sums.get()).toMatchObject({ items: 200 });
    expect(kept.all()).toEqual([sums.get()]);

    using reader = reading('counted');
    for (let after: number | undefined = 0; after !== undefined;) {
      const found = reader.rows({ filter: {}, after, limit: 1_000 });
      if (found.startMs !== undefined) keeper.remove(found.startMs, found.lines);
      after = found.next;
    }
    expect(kept.all()).toEqual([{ items: 0, bytes: 0 }]);
    expect(sums.get()).toEqual({ items: 0, bytes: 0 });
  });

  test('below the threshold of its service a line is counted and not stored', () => {
    const lines = someLines(10);
    {
      using keeper = opened('quiet');
      keeper.setThreshold('web', 'error');
    }
    using keeper = opened('quiet');
    expect(keeper.append([{ lines, refused: { unreadable: 2 } }], nowMs)).toMatchObject([
      { accepted: 5, refused: { below_level: 5, unreadable: 2 } },
    ]);
    keeper.setThreshold('web', undefined);
    keeper.setThreshold('*', 'error');
    expect(keeper.append([{ lines, refused: {} }], nowMs)).toMatchObject([{ accepted: 1 }]);
  });
});

describe('through threads', () => {
  test('what comes in is followed in the order in which it came, late lines too', async () => {
    await using own = await storeIn(join(folder.path, 'followed'));
    const give = async (message: string, time: string) =>
      own.ingest({ owner: 't', service: 'x', lines: [{ message, time }] });
    await give('first', '2026-11-20T10:00:00Z');
    await give('late', '2026-11-19T10:00:00Z');
    const one = await own.arrivals({}, [0, 0], 1, call);
    expect(messages(one.lines)).toEqual(['first']);
    await give('third', '2026-11-20T09:00:00Z');
    const rest = await own.arrivals({}, one.next, 10, call);
    expect(messages(rest.lines)).toEqual(['late', 'third']);
    expect(await own.arrivals({}, rest.next, 10, call)).toMatchObject({
      lines: [],
      isComplete: true,
      hasGap: false,
    });
  });

  test('many senders at once lose nothing', async () => {
    await using own = await storeIn(join(folder.path, 'many'));
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, sender) =>
        own.ingest({
          owner: `t${sender % 3}`,
          service: 'x',
          lines: Array.from({ length: 20 }, (__, at) => `line ${at} of ${sender}`),
        }),
      ),
    );
    expect(outcomes.every(({ accepted }) => accepted === 20)).toBe(true);
    expect(own.holdings().lines).toBe(4_000);
    expect(own.kept().holdings.reduce((sum, { items }) => sum + items, 0)).toBe(4_000);
  });

  test('what most lines have is looked for line by line, and what few have by the index, with the same result', async () => {
    await using own = await storeIn(join(folder.path, 'common'));
    const words = ['café', 'caféteria', 'cafés', 'tea', 'tea-pot', 'CAFE'];
    const send = async (owner: string, count: number) =>
      own.ingest({
        owner,
        service: owner,
        lines: Array.from(
          { length: count },
          (_, at) => `${at % 2 === 0 ? 'ERROR' : 'DEBUG'} ${words[at % 6] ?? ''}`,
        ),
      });
    await send('many', 1_200);
    await send('few', 60);
    for (const [query, of] of [
      ['-cafe', 4 / 6],
      ['-cafe*', 2 / 6],
      ['-"tea-pot" -cafes', 4 / 6],
      ['', 1],
    ] as const) {
      for (const [source, count] of [
        ['many', 1_200],
        ['few', 60],
      ] as const) {
        let lines = 0;
        const filter = { query, sources: [`ingest:${source}`] };
        for await (const piece of own.scan(filter, { order: 'oldest' }, call)) lines += piece.lines.length;
        expect(lines, `${query} of ${source}`).toBe(count * of);
      }
    }
    const errors = { levels: ['error', 'fatal'], sources: ['ingest:many'] } as const;
    expect(await own.purge({ ...errors, query: '-tea' }, call)).toMatchObject({ lines: 400 });
    expect(await own.purge(errors, call)).toMatchObject({ lines: 200 });
    expect(own.holdings()).toMatchObject({ lines: 660 });
  });

  test('what is purged is nowhere on disk any more, and counted', async () => {
    const dataDir = join(folder.path, 'purged');
    const secret = 'zanzibarquokka';
    {
      await using own = await storeIn(dataDir);
      await own.ingest({
        owner: 't',
        service: 'x',
        lines: Array.from({ length: 300 }, (_, at) =>
          at % 3 === 0 ? `${secret}${at} leaked` : `harmless ${at}`,
        ),
      });
      expect(await own.purge({ query: 'leaked' }, call)).toEqual({
        lines: 100,
        bySource: { 'ingest:t': 100 },
        isScrubbed: true,
      });
      expect(own.holdings()).toMatchObject({ lines: 200, tallies: { purged: 100 } });
      expect(own.kept().holdings).toMatchObject([{ owner: 't', items: 200 }]);
      expect(await own.counts({ filter: {}, by: 'none', everyMinutes: undefined }, call)).toMatchObject([
        { lines: 200 },
      ]);
      expect((await own.find({ query: 'leaked' }, { order: 'newest', limit: 5 }, call)).lines).toEqual([]);
    }
    for (const name of readdirSync(dataDir, { recursive: true, encoding: 'utf8' }).filter((one) =>
      /db(?:-wal)?$/.test(one),
    )) {
      expect(readFileSync(join(dataDir, name)).includes(secret), name).toBe(false);
    }
  });

  test('of several purges at once each says what it took out, and nothing is given back twice', async () => {
    await using own = await storeIn(join(folder.path, 'at once'), { linesPerSegment: 1_000_000 });
    const send = async (service: string, count: number) =>
      own.ingest({
        owner: 't',
        service,
        lines: Array.from({ length: count }, (_, at) => `secret ${at} of ${service}`),
      });
    await send('app', 1_200);
    await send('keep', 400);

    const purges = ['anna', 'bert', 'carl', 'dora'].map(async (caller) =>
      own.purge({ services: ['app'] }, { ...call, caller }),
    );
    const taken = await Promise.all(purges);

    expect(taken.reduce((sum, { lines }) => sum + lines, 0)).toBe(1_200);
    expect(own.holdings()).toMatchObject({ lines: 400, tallies: { purged: 1_200 } });
    expect(own.kept().holdings).toMatchObject([{ owner: 't', items: 400 }]);
    expect(await own.counts({ filter: {}, by: 'service', everyMinutes: undefined }, call)).toMatchObject([
      { group: 'keep', lines: 400 },
    ]);
    expect((await own.find({ query: 'secret' }, { order: 'newest', limit: 500 }, call)).lines).toHaveLength(
      400,
    );
  });

  test('services of which a purge leaves no line make room for others', async () => {
    await using own = await storeIn(join(folder.path, 'services gone'));
    const send = async (word: string, count: number) =>
      own.ingest({
        owner: 't',
        service: 'x',
        lines: Array.from({ length: count }, (_, at) => ({
          message: at % 2 ? 'odd' : 'even',
          service: `${word}${at}`,
        })),
      });
    await own.ingest({ owner: 'other', service: 'kept', lines: ['odd', 'even'] });
    expect(await send('a', 1_000)).toMatchObject({ accepted: 1_000 });
    expect(await send('b', 1)).toMatchObject({ accepted: 0, refused: { too_many_services: 1 } });

    expect(await own.purge({ query: 'odd' }, call)).toMatchObject({ lines: 501 });

    expect(await send('b', 501)).toMatchObject({ accepted: 500, refused: { too_many_services: 1 } });
    const services = own.sources().map(({ service }) => service);
    expect(services).toHaveLength(1_001);
    expect(services).toEqual(expect.arrayContaining(['kept', 'a0', 'b0', 'b499']));
  });

  test('a purge of all takes whole segments', async () => {
    await using own = await storeIn(join(folder.path, 'all'), { linesPerSegment: 100 });
    for (let at = 0; at < 5; at += 1) {
      await own.ingest({
        owner: 't',
        service: 'x',
        lines: Array.from({ length: 100 }, (_, line) => ({
          message: `${line}`,
          time: new Date(startMs + at * 1_000 + line).toISOString(),
        })),
      });
    }
    expect(await own.purge({ untilMs: startMs + 3_000 }, call)).toMatchObject({ lines: 300 });
    expect(await own.purge({ untilMs: nowMs }, call)).toMatchObject({ lines: 200 });
    expect(own.holdings()).toMatchObject({ lines: 0, segments: 0 });
    expect(own.kept().holdings).toEqual([]);
  });
});
