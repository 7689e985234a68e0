import {
  appendFileSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { genesis, hashOf, headText, readHead, segmentName, type Head } from './audit-chain.ts';
import { verifyAudit, type Anchor } from './audit-proof.ts';
import { AuditTrail } from './audit.ts';

const fail = (error: unknown) => expect.fail(String(error));

async function write(folder: string, count: number, options = {}, caller = 'test'): Promise<void> {
  await using trail = await AuditTrail.open(folder, fail, options);
  for (let i = 1; i <= count; i++) {
    trail.append({
      time: '2026-11-20T12:00:00.000Z',
      caller,
      method: 'tools/call',
      target: `tool_${i}`,
      outcome: 'ok',
      durationMs: 1,
      requestBytes: 2,
      responseBytes: 3,
      traceId: '0af7651916cd43dd8448eb211c80319c',
    });
    await trail.sync();
  }
}

const headOf = (folder: string) => readHead(folder) as Head;
const setHead = (folder: string, change: Partial<Head>) =>
  writeFileSync(join(folder, 'head.json'), headText({ ...headOf(folder), ...change }));
const segment = (folder: string, number = 1) => join(folder, segmentName(number));
const linesOf = (folder: string, number = 1) =>
  readFileSync(segment(folder, number), 'utf8').trimEnd().split('\n');
const setLines = (folder: string, lines: readonly string[], number = 1) =>
  writeFileSync(segment(folder, number), lines.map((line) => `${line}\n`).join(''));

/** The trail as somebody would leave it who removes what came after `count` records, and knows how it is made. */
function cutTo(folder: string, count: number): void {
  const lines = linesOf(folder).slice(0, count);
  setLines(folder, lines);
  setHead(folder, { sequence: count, hash: count === 0 ? genesis : hashOf(lines.at(-1) ?? '') });
}

const seen = (head: Head): Anchor => ({ ...head, seenAt: '2026-11-20T12:00:01.000Z', seenBy: 'health' });

/** Three segments, ten records. */
async function trail() {
  const folder = temporaryFolder();
  const path = join(folder.path, 'audit');
  await write(path, 10, { segmentBytes: 1_200 });
  return { ...folder, path };
}

describe('A trail by itself shows', () => {
  test.each<[string, (folder: string) => void, RegExp]>([
    ['a head below 0', (at) => setHead(at, { sequence: -1 }), /head\.json is damaged/],
    ['a head with a number that is none', (at) => setHead(at, { sequence: 1.5 }), /head\.json is damaged/],
    ['a head at 0 with the hash of a record', (at) => setHead(at, { sequence: 0 }), /head\.json is damaged/],
    [
      'a head at the start, with records there',
      (at) => setHead(at, { sequence: 0, hash: genesis }),
      /records 1 to 10 are beyond head\.json/,
    ],
    [
      'a head that lags',
      (at) => setHead(at, { sequence: 3, hash: hashOf(linesOf(at)[2] ?? '') }),
      /records 4 to 10 are beyond head\.json/,
    ],
    [
      'a head that is a link',
      (at) => {
        renameSync(join(at, 'head.json'), join(at, '..', 'head'));
        symlinkSync('../head', join(at, 'head.json'));
      },
      /head\.json is damaged/,
    ],
    [
      'a record without a hash at the end',
      (at) => appendFileSync(segment(at, 3), '{"sequence":11,"outcome":"ok"}\n'),
      /:\d+ goes on where what was written together had ended/,
    ],
    [
      'a record that follows from the last one',
      (at) =>
        appendFileSync(
          segment(at, 3),
          `${JSON.stringify({ previous: headOf(at).hash, sequence: 11, outcome: 'ok' })}\n`,
        ),
      /records 11 to 11 are beyond head\.json/,
    ],
    [
      'a record with number 0',
      (at) => setLines(at, ['{"previous":"","sequence":0,"outcome":"ok"}', ...linesOf(at)]),
      /000001\.jsonl:1 is not a record/,
    ],
    [
      'a segment under another number',
      (at) => renameSync(segment(at, 3), segment(at, 7)),
      /audit-000007\.jsonl comes where number 3 is due/,
    ],
    [
      'a segment under another name',
      (at) => renameSync(segment(at, 1), join(at, 'audit-1.jsonl')),
      /audit-1\.jsonl does not belong to a trail/,
    ],
    [
      'a segment that is a link to elsewhere',
      (at) => {
        renameSync(segment(at, 2), join(at, '..', 'elsewhere'));
        symlinkSync('../elsewhere', segment(at, 2));
      },
      /audit-000002\.jsonl is no plain file/,
    ],
    [
      'a segment with a second name',
      (at) => linkSync(segment(at, 2), join(at, '..', 'second')),
      /audit-000002\.jsonl is linked/,
    ],
    [
      'a folder where a segment is due',
      (at) => {
        rmSync(segment(at, 3));
        mkdirSync(segment(at, 3));
      },
      /audit-000003\.jsonl is no plain file/,
    ],
    [
      'segments that changed places',
      (at) => {
        renameSync(segment(at, 1), join(at, '..', 'kept'));
        renameSync(segment(at, 2), segment(at, 1));
        renameSync(join(at, '..', 'kept'), segment(at, 2));
      },
      /000001\.jsonl:1 has number|records 1 to \d are gone/,
    ],
    [
      'records that changed places across files',
      (at) => {
        const [first, second] = [linesOf(at, 1), linesOf(at, 2)];
        setLines(at, [...first.slice(0, -1), second[0] ?? ''], 1);
        setLines(at, [first.at(-1) ?? '', ...second.slice(1)], 2);
      },
      /has number 5 where 4 is due|has number \d+ where/,
    ],
    ['a segment twice', (at) => copyFileSync(segment(at, 1), segment(at, 4)), /000004\.jsonl:1 has number 1/],
    ['a beginning that is gone', (at) => rmSync(segment(at, 1)), /records 1 to \d are gone/],
    [
      'a beginning that is gone, with a note that tells of less',
      (at) => {
        rmSync(segment(at, 1));
        appendFileSync(
          segment(at, 3),
          `${JSON.stringify({ previous: headOf(at).hash, sequence: 11, method: 'audit', outcome: 'expired', target: '1-1' })}\n`,
        );
      },
      /records 1 to \d are gone/,
    ],
    [
      'a terabyte of nothing',
      (at) => truncateSync(segment(at, 2), 2 ** 40),
      /audit-000002\.jsonl is longer than any segment/,
    ],
    [
      'a line without an end',
      (at) => truncateSync(segment(at, 2), 2 ** 27),
      /audit-000002\.jsonl:\d+ is longer than any record/,
    ],
  ])('%s', async (_, tamper, fault) => {
    using here = await trail();
    expect(await verifyAudit(here.path)).toEqual({ records: 10, faults: [], notes: [] });

    tamper(here.path);

    const { faults } = await verifyAudit(here.path, [], { headWithin: 0 });
    expect(faults.join('\n')).toMatch(fault);
  });

  test('not more faults than a person reads', async () => {
    using here = await trail();
    setLines(
      here.path,
      Array.from({ length: 10_000 }, () => 'nonsense'),
    );

    const { faults } = await verifyAudit(here.path);

    expect(faults).toHaveLength(51);
    expect(faults.at(-1)).toMatch(/there is more/);
  });
});

describe('What others saw of a trail shows', () => {
  const five = async () => {
    const folder = temporaryFolder();
    await write(folder.path, 5);
    return { ...folder, anchors: [seen(headOf(folder.path))] };
  };

  test('nothing while it goes on', async () => {
    using here = await five();
    await write(here.path, 3);

    expect(await verifyAudit(here.path, here.anchors)).toEqual({ records: 8, faults: [], notes: [] });
  });

  test.each<[string, (folder: string) => void | Promise<void>, string]>([
    [
      'that all of it is gone',
      (at) => rmSync(at, { recursive: true }),
      'the chain ends at record 0, but had come to 5, as health saw on 2026-11-20T12:00:01.000Z',
    ],
    [
      'that it begins anew',
      async (at) => {
        rmSync(at, { recursive: true });
        await write(at, 2);
      },
      'the chain ends at record 2, but had come to 5, as health saw on 2026-11-20T12:00:01.000Z',
    ],
    [
      'that its end is cut off, head and all',
      (at) => cutTo(at, 3),
      'the chain ends at record 3, but had come to 5, as health saw on 2026-11-20T12:00:01.000Z',
    ],
    [
      'that it is as it was before the first record',
      (at) => cutTo(at, 0),
      'the chain ends at record 0, but had come to 5, as health saw on 2026-11-20T12:00:01.000Z',
    ],
    [
      'that it was cut and went on',
      async (at) => {
        cutTo(at, 3);
        await write(at, 4);
      },
      'audit-000001.jsonl:5 is not the record that health saw there on 2026-11-20T12:00:01.000Z',
    ],
    [
      'that another took its place, which holds by itself',
      async (at) => {
        rmSync(at, { recursive: true });
        await write(at, 9, {}, 'other');
      },
      'audit-000001.jsonl:5 is not the record that health saw there on 2026-11-20T12:00:01.000Z',
    ],
    [
      'that what was written apart is one now',
      (at) => {
        const [first = '', ...rest] = linesOf(at);
        const lines = [first, ...rest.map((line) => line.replace(/"previous":"[0-9a-f]+",/, ''))];
        setLines(at, [...lines, lines[4]?.replace('"sequence":5', '"sequence":6') ?? '']);
        setHead(at, { sequence: 6, hash: hashOf(linesOf(at).join('\n')) });
      },
      'audit-000001.jsonl:6 goes on where what was written together had ended',
    ],
  ])('%s', async (_, tamper, fault) => {
    using here = await five();

    await tamper(here.path);

    const { faults } = await verifyAudit(here.path, here.anchors, { headWithin: 0 });
    expect(faults).toContain(fault);
  });
});
