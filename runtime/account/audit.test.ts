import {
  appendFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test, vi } from 'vitest';

import { runModule } from '../../tests/support/child.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import { DamagedDataError } from '../errors.ts';
import { readHead, type AuditEvent, type Head } from './audit-chain.ts';
import { verifyAudit } from './audit-proof.ts';
import { AuditTrail, callsEndAt, type TrailOptions } from './audit.ts';

const fail = (error: unknown) => expect.fail(String(error));

const event = (target: string): AuditEvent => ({
  time: '2026-11-20T12:00:00.000Z',
  caller: 'test',
  method: 'tools/call',
  target,
  outcome: 'ok',
  durationMs: 1,
  requestBytes: 2,
  responseBytes: 3,
  traceId: '0af7651916cd43dd8448eb211c80319c',
});

async function write(folder: string, count: number, options: TrailOptions = {}): Promise<void> {
  await using trail = await AuditTrail.open(folder, fail, options);
  for (let i = 1; i <= count; i++) {
    trail.append(event(`tool_${i}`));
    await trail.sync();
  }
}

const firstSegment = (folder: string) => join(folder, 'audit-000001.jsonl');

/** Rewrites the first segment line by line. */
function rewrite(folder: string, change: (lines: string[]) => readonly string[]): void {
  const lines = readFileSync(firstSegment(folder), 'utf8').trimEnd().split('\n');
  writeFileSync(firstSegment(folder), `${change(lines).join('\n')}\n`);
}

async function faultsAfter(change: (lines: string[]) => readonly string[]): Promise<readonly string[]> {
  using folder = temporaryFolder();
  await write(folder.path, 5);
  rewrite(folder.path, change);
  return (await verifyAudit(folder.path)).faults;
}

describe('A chain', () => {
  test('holds over several runs of the process', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 3);
    await write(folder.path, 2);

    expect(await verifyAudit(folder.path)).toMatchObject({ records: 5, faults: [] });
  });

  test('without a record yet is whole, and one that was taken away is not', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 0);
    expect(await verifyAudit(folder.path)).toMatchObject({ records: 0, faults: [] });

    rmSync(folder.path, { recursive: true });

    expect((await verifyAudit(folder.path)).faults).toEqual([expect.stringMatching(/head\.json is missing/)]);
  });

  test('that went on after its head was taken away tells so for ever', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 10);
    rewrite(folder.path, (lines) => lines.slice(0, 5));
    rmSync(join(folder.path, 'head.json'));

    await write(folder.path, 1);

    expect((await verifyAudit(folder.path)).faults).toEqual([
      expect.stringMatching(/:6 tells that head\.json was gone/),
    ]);
  });

  test('goes on in a new segment when one is full, and over a restart there', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 10, { segmentBytes: 1_000 });
    await write(folder.path, 10, { segmentBytes: 1_000 });

    const segments = readdirSync(folder.path).filter((name) => name.startsWith('audit-'));
    expect(segments.length).toBeGreaterThan(4);
    expect(await verifyAudit(folder.path)).toMatchObject({ records: 20, faults: [] });
  });

  test('is whole at every moment while it is written', async () => {
    using folder = temporaryFolder();
    await using trail = await AuditTrail.open(folder.path, fail, { segmentBytes: 10_000 });
    const written = new AbortController();
    const writer = (async () => {
      for (let i = 0; i < 150; i++) {
        trail.append(event(`tool_${i}`));
        await trail.sync();
      }
      written.abort();
    })();

    const verdicts = [];
    while (!written.signal.aborted) verdicts.push(await verifyAudit(folder.path));
    await writer;

    expect(verdicts.length).toBeGreaterThan(1);
    expect(verdicts.flatMap(({ faults }) => faults)).toEqual([]);
  });

  test('takes many records that come at once in the order in which they came', async () => {
    using folder = temporaryFolder();
    await using trail = await AuditTrail.open(folder.path, fail);
    for (let i = 0; i < 1_000; i++) trail.append(event(`tool_${i}`));

    await Promise.all(Array.from({ length: 10 }, async () => trail.sync()));

    expect(trail.backlog).toBe(0);
    expect(await verifyAudit(folder.path)).toMatchObject({ records: 1_000, faults: [] });
  });
});

describe('Old segments', () => {
  const segments = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('audit-'));

  test('go when all are larger than what is kept, which the chain tells, and it holds', async () => {
    using folder = temporaryFolder();

    await write(folder.path, 40, { segmentBytes: 1_000, keepBytes: 4_000 });

    expect(segments(folder.path).length).toBeLessThan(7);
    const { records, faults, notes } = await verifyAudit(folder.path);
    expect(faults).toEqual([]);
    expect(records).toBeLessThan(20);
    expect(notes).toEqual([expect.stringMatching(/^records 1 to \d+ went by their age or number$/)]);
    await write(folder.path, 1);
    expect((await verifyAudit(folder.path)).faults).toEqual([]);
  });

  test('go by their age, no more than two at a time: a clock may be fast', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 40, { segmentBytes: 1_000 });
    const before = segments(folder.path);
    const old = new Date(Date.now() - 11 * 24 * 3_600_000);
    for (const name of before) utimesSync(join(folder.path, name), old, old);

    await write(folder.path, 4, { segmentBytes: 1_000, keepDays: 10 });

    const after = segments(folder.path);
    expect(before.filter((name) => !after.includes(name))).toEqual(before.slice(0, 2));
    expect((await verifyAudit(folder.path)).faults).toEqual([]);
  });

  test('stay also when the copy begins while they are about to go', async () => {
    using folder = temporaryFolder();
    await using trail = await AuditTrail.open(folder.path, fail, { segmentBytes: 1_000, keepBytes: 2_000 });
    for (let round = 0; round < 8; round += 1) {
      /* oxlint-disable no-await-in-loop -- one after the other */
      for (let n = 0; n < 3; n += 1) trail.append(event('tool'));
      await trail.sync();
      using _cut = await trail.cut();
      const copied = segments(folder.path);
      for (let n = 0; n < 3; n += 1) {
        trail.append(event('tool'));
        await trail.sync();
        await sleep(1);
      }
      expect(segments(folder.path)).toEqual(expect.arrayContaining(copied));
      /* oxlint-enable no-await-in-loop */
    }
    for (let n = 0; n < 30; n += 1) {
      trail.append(event('tool'));
      await trail.sync(); // oxlint-disable-line no-await-in-loop -- one after the other
    }
    await vi.waitFor(async () => {
      trail.append(event('tool'));
      await trail.sync();
      expect(segments(folder.path)).not.toContain('audit-000001.jsonl');
    });
  });

  test('stay while a copy is made, and where they were tampered with', async () => {
    using folder = temporaryFolder();
    const options = { segmentBytes: 1_000, keepBytes: 2_000 };
    {
      await using trail = await AuditTrail.open(folder.path, fail, options);
      using cut = await trail.cut();
      for (let i = 0; i < 30; i++) {
        trail.append(event('tool'));
        await trail.sync();
      }
      expect(segments(folder.path).length).toBeGreaterThan(7);
      expect(cut).toMatchObject({ head: { sequence: 0 }, segment: 'audit-000001.jsonl', sizeBytes: 0 });
    }
    rewrite(folder.path, () => ['nonsense']);
    writeFileSync(join(folder.path, 'audit-000003.jsonl'), 'nonsense\n');
    const before = segments(folder.path);

    await write(folder.path, 10, options);

    expect(segments(folder.path)).toEqual(expect.arrayContaining(before));
  });
});

test('A trail does not go on in a link, nor in what it did not write', async () => {
  using folder = temporaryFolder();
  const elsewhere = join(folder.path, 'elsewhere');
  const path = join(folder.path, 'audit');
  await write(path, 1);
  renameSync(firstSegment(path), elsewhere);
  symlinkSync('../elsewhere', firstSegment(path));

  await expect(AuditTrail.open(path, fail)).rejects.toThrow(DamagedDataError);

  rmSync(firstSegment(path));
  writeFileSync(firstSegment(path), '');
  truncateSync(firstSegment(path), 2 ** 40);
  await expect(AuditTrail.open(path, fail)).rejects.toThrow(/is nothing that was written here/);
});

test('A trail that was restored is a chain of its own, which goes on from the archive and says so', async () => {
  using folder = temporaryFolder();
  await write(folder.path, 3);
  const before = readHead(folder.path);

  await write(folder.path, 1, { restoredFrom: 'archive.tar.zst' });

  const { records, faults, notes } = await verifyAudit(folder.path);
  expect({ records, faults }).toEqual({ records: 5, faults: [] });
  expect(notes).toEqual([
    expect.stringMatching(/^restored on .*up to record 3 it is that of archive\.tar\.zst$/),
  ]);
  expect(readHead(folder.path)).not.toMatchObject({ chain: (before as Head).chain });
});

test('A write that fails is told, and tried again with what came since, in order', async () => {
  using folder = temporaryFolder();
  const [here, away] = [join(folder.path, 'here'), join(folder.path, 'away')];
  await using trail = await AuditTrail.open(here, () => {}, { segmentBytes: 200 });
  trail.append(event('tool_1'));
  await trail.sync();
  renameSync(here, away); // no next segment can be made
  trail.append(event('tool_2'));
  await expect(trail.sync()).rejects.toThrow(/ENOENT/);
  expect(trail).toMatchObject({ failing: true, backlog: 1 });

  renameSync(away, here);
  trail.append(event('tool_3'));
  await trail.sync();

  expect(trail).toMatchObject({ failing: false, backlog: 0 });
  expect(await verifyAudit(here)).toMatchObject({ records: 3, faults: [] });
});

test('While the disk takes nothing, what waits does not grow without end, and what was left out is told later', async () => {
  using folder = temporaryFolder();
  const [here, away] = [join(folder.path, 'here'), join(folder.path, 'away')];
  await using trail = await AuditTrail.open(here, () => {}, { segmentBytes: 200 });
  trail.append(event('first'));
  await trail.sync();
  renameSync(here, away);
  expect(trail.full).toBe(false);
  for (let i = 0; i < 2 * callsEndAt + 29_000; i++) trail.append(event('refused'));
  await expect(trail.sync()).rejects.toThrow(/ENOENT/);
  expect(trail).toMatchObject({ full: true, backlog: 2 * callsEndAt + 20_000 });

  renameSync(away, here);
  await trail.sync();
  await trail.sync();

  expect(trail.full).toBe(false);
  expect(await verifyAudit(here)).toMatchObject({ records: 2 * callsEndAt + 20_002, faults: [] });
  expect(readFileSync(join(here, 'audit-000002.jsonl'), 'utf8')).toMatch(
    /refusals_not_recorded.*"requestBytes":9000/,
  );
});

test('Strangers cannot fill the disk: some of them are recorded, the others counted, and callers are unaffected', async () => {
  using folder = temporaryFolder();
  await using trail = await AuditTrail.open(folder.path, fail);

  for (let i = 0; i < 1_000; i++) trail.appendStranger({ ...event(''), outcome: 'unauthenticated' });
  trail.append(event('tool_1'));
  await trail.sync();
  await trail.sync();

  const records = readFileSync(firstSegment(folder.path), 'utf8');
  expect(records.match(/unauthenticated/g)).toHaveLength(20);
  expect(records).toMatch(/tool_1/);
  expect(records).toMatch(/refusals_not_recorded.*"requestBytes":980/);
  expect(await verifyAudit(folder.path)).toMatchObject({ records: 22, faults: [] });
});

describe('Verification finds', () => {
  test('a changed record', async () => {
    const faults = await faultsAfter((lines) => lines.map((line) => line.replace('tool_3', 'tool_X')));

    expect(faults).toEqual([expect.stringMatching(/^audit-000001\.jsonl:4 does not follow/)]);
  });

  test('a changed last record', async () => {
    const faults = await faultsAfter((lines) => lines.map((line) => line.replace('tool_5', 'tool_X')));

    expect(faults).toEqual([
      expect.stringMatching(/^audit-000001\.jsonl:5 is not the record that was written/),
    ]);
  });

  test('a missing record', async () => {
    const faults = await faultsAfter((lines) => lines.toSpliced(2, 1));

    expect(faults).toEqual([expect.stringMatching(/:3 has number 4 where 3 is due/)]);
  });

  test('records in another order', async () => {
    const faults = await faultsAfter(([a = '', b = '', c = '', ...rest]) => [a, c, b, ...rest]);

    expect(faults.length).toBeGreaterThan(0);
  });

  test('a record that was put in', async () => {
    const faults = await faultsAfter((lines) => lines.toSpliced(2, 0, lines[1] ?? ''));

    expect(faults.length).toBeGreaterThan(0);
  });

  test('a line that is no record', async () => {
    const faults = await faultsAfter((lines) => lines.toSpliced(2, 1, 'nonsense'));

    expect(faults[0]).toMatch(/:3 is not a record/);
  });

  describe('among records that were written together', () => {
    const together = async (change: (lines: string[]) => readonly string[], more: number) => {
      using folder = temporaryFolder();
      {
        await using trail = await AuditTrail.open(folder.path, fail);
        for (let i = 1; i <= 10; i++) trail.append(event(`tool_${i}`));
      }
      await write(folder.path, more);
      rewrite(folder.path, change);
      return (await verifyAudit(folder.path)).faults;
    };

    test.each([
      {
        what: 'a changed one',
        more: [],
        change: (lines: string[]) => lines.map((line) => line.replace('tool_4', 'tool_X')),
      },
      {
        what: 'a changed last one',
        more: [],
        change: (lines: string[]) => lines.map((line) => line.replace('tool_10', 'tool_X')),
      },
      {
        what: 'a link that was taken out',
        more: ['audit-000001.jsonl:1 does not say what it follows'],
        change: ([a = '', ...rest]: string[]) => [a.replace(/"previous":"0+",/, ''), ...rest],
      },
    ])('$what', async ({ change, more }) => {
      expect(await together(change, 1)).toEqual([
        ...more,
        expect.stringMatching(/:11 does not follow from one of the 10 records before it, which was changed/),
      ]);
      expect(await together(change, 0)).toEqual([
        ...more,
        expect.stringMatching(/:10 is not the record that was written there/),
      ]);
    });

    test('a missing one, and two that changed places', async () => {
      const missing = await together((lines) => lines.toSpliced(4, 1), 1);
      const swapped = await together(([a = '', b = '', c = '', ...rest]) => [a, c, b, ...rest], 1);

      expect(missing[0]).toMatch(/:5 has number 6 where 5 is due/);
      expect(swapped[0]).toMatch(/:2 has number 3 where 2 is due/);
    });
  });

  test('an end that was cut off', async () => {
    const faults = await faultsAfter((lines) => lines.slice(0, 3));

    expect(faults).toEqual(['the chain ends at record 3, but had come to 5']);
  });

  test('a segment that is gone', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 10, { segmentBytes: 1_000 });
    rmSync(join(folder.path, 'audit-000002.jsonl'));

    expect((await verifyAudit(folder.path)).faults).not.toEqual([]);
  });

  test('a head that is gone or damaged', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 2);
    writeFileSync(join(folder.path, 'head.json'), '{');
    expect((await verifyAudit(folder.path)).faults).toEqual([
      expect.stringContaining('head.json is damaged'),
    ]);
    rmSync(join(folder.path, 'head.json'));
    expect((await verifyAudit(folder.path)).faults).toEqual([
      expect.stringContaining('head.json is missing'),
    ]);
  });

  test.each([
    { what: 'a cut-off end', change: (lines: string[]) => lines.slice(0, 3) },
    {
      what: 'a changed last record',
      change: (lines: string[]) => lines.map((line) => line.replace('tool_5', 'tool_X')),
    },
    {
      what: 'a last line that is no record',
      change: (lines: string[]) => [...lines.slice(0, -1), 'nonsense'],
    },
  ])('$what also after the process went on', async ({ change }) => {
    using folder = temporaryFolder();
    await write(folder.path, 5);
    rewrite(folder.path, change);

    await write(folder.path, 5);

    expect((await verifyAudit(folder.path)).faults.length).toBeGreaterThan(0);
  });

  test('a segment that went missing also after the process went on', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 10, { segmentBytes: 1_000 });
    rmSync(firstSegment(folder.path));

    await write(folder.path, 5, { segmentBytes: 1_000 });

    expect((await verifyAudit(folder.path)).faults.length).toBe(1);
  });
});

describe('After a crash', () => {
  test('a torn last line is cut away and told in a record of its own', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 3);
    appendFileSync(firstSegment(folder.path), '{"sequence":4,"previo');

    await write(folder.path, 1);

    expect(await verifyAudit(folder.path)).toMatchObject({
      records: 5,
      faults: [],
      notes: [expect.stringMatching(/:4 tells of a record that was torn off/)],
    });
    expect(readFileSync(firstSegment(folder.path), 'utf8')).toMatch(
      /"outcome":"torn_record_removed".*"requestBytes":21/,
    );
  });

  test('records that came after the head was written still count', async () => {
    using folder = temporaryFolder();
    await write(folder.path, 3);
    const head = readFileSync(join(folder.path, 'head.json'));
    await write(folder.path, 3);
    writeFileSync(join(folder.path, 'head.json'), head);

    await write(folder.path, 1);

    expect(await verifyAudit(folder.path)).toEqual({
      records: 8,
      faults: [],
      notes: [expect.stringMatching(/:7 tells of a start on .* with records beyond head\.json: 4-6$/)],
    });
  });

  test('by a kill in the middle of writing, what was synced is there and the chain holds', async () => {
    using folder = temporaryFolder();
    await using child = runModule(
      `
        import { AuditTrail } from '#runtime/account/audit.ts';
        const trail = await AuditTrail.open(process.argv[1], (error) => { throw error; });
        for (let i = 1; ; i++) {
          trail.append({ ...JSON.parse(process.argv[2]), target: 'tool_' + i });
          await trail.sync();
          if (i % 50 === 0) console.log(i);
        }
      `,
      [folder.path, JSON.stringify(event(''))],
    );
    await child.line();
    const synced = Number(await child.line());

    await child.kill();
    await write(folder.path, 1);

    const { records, faults } = await verifyAudit(folder.path);
    expect(faults).toEqual([]);
    expect(records).toBeGreaterThan(synced);
  });
});

test('one token that calls without end leaves room for the records of others', async () => {
  using folder = temporaryFolder();
  {
    await using trail = await AuditTrail.open(folder.path, fail, {
      segmentBytes: 200_000,
      keepBytes: 8_000_000,
    });
    trail.appendCall({ ...event('quiet_tool'), caller: 'quiet' }, true);
    for (let part = 0; part < 50; part += 1) {
      for (let call = 0; call < 2_000; call += 1)
        trail.appendCall({ ...event('busy_tool'), caller: 'busy' }, false);
      await trail.sync();
    }
  }

  const records = readdirSync(folder.path)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder.path, name), 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as AuditEvent);
  const busy = records.filter(({ target }) => target === 'busy_tool');
  expect(records.filter(({ caller }) => caller === 'quiet')).toHaveLength(1);
  expect(records.filter(({ outcome }) => outcome === 'calls_counted')).toHaveLength(1);
  expect(busy.length).toBeLessThan(21_000);
  // None of them is lost in silence.
  expect(busy.reduce((sum, { calls = 1 }) => sum + calls, 0)).toBe(100_000);
  expect((await verifyAudit(folder.path)).faults).toEqual([]);
});
