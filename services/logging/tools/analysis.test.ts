import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { quotaOf } from '#runtime/quotas.ts';
import { invoke } from '#runtime/testing.ts';
import type { AnyTool } from '#runtime/tool.ts';

import type { Analysed } from '../loki/reading.ts';
import { baselineDays, corpusOf, dayMs, startMs, type PlantedLine } from '../patterns/corpus.fixture.ts';
import type { NewLine } from '../store/line.ts';
import { openStore, type Store } from '../store/store.ts';
import {
  analyzeLokiLabels,
  listLokiLabelNames,
  listLokiLabelValues,
  queryLokiLogs,
  queryLokiStats,
} from './loki.ts';
import { findErrorPatternLogs, queryLokiPatterns } from './patterns.ts';

const minuteMs = 60_000;
const nowMs = Date.parse('2026-11-20T12:00:00Z');

/** One line a minute in the last two hours, the newest first in `lines`. */
const lines: readonly NewLine[] = Array.from({ length: 120 }, (_, at) => ({
  atMs: nowMs - (at + 1) * minuteMs,
  level: at % 10 === 0 ? 'error' : 'info',
  service: at % 2 === 0 ? 'api' : 'web',
  source: 'test',
  message: `GET /things/${at} took=${at}ms status=${at % 10 === 0 ? 500 : 200}`,
  fields: { user: `u${at % 3}` },
}));
const corpus = corpusOf(1_000, { errorsOnly: true });

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let folder: string;
let store: Store;
let planted: Store;

async function stored(name: string, all: readonly (NewLine | PlantedLine)[]): Promise<Store> {
  const quota = quotaOf(1_000, 1_000_000);
  const opened = await openStore(
    {
      dataDir: join(folder, name),
      keeping: { days: 3_650, bytes: 1e9, quota, linesPerSegment: 1_000_000 },
      feeds: undefined,
      readsJournal: false,
    },
    quota,
    quiet,
  );
  for (let at = 0; at < all.length; at += 10_000) {
    const { accepted, refused } = await opened.ingest({
      owner: 'test',
      service: 'none',
      lines: all.slice(at, at + 10_000).map(({ atMs, message, level, service, fields }) => ({
        time: new Date(atMs).toISOString(),
        message,
        level,
        service,
        fields,
      })),
    });
    expect({ accepted, refused }).toMatchObject({ accepted: Math.min(10_000, all.length - at) });
  }
  return opened;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'analysis-'));
  [store, planted] = await Promise.all([stored('usual', lines), stored('planted', corpus.lines)]);
});
afterAll(async () => {
  await Promise.all([store[Symbol.asyncDispose](), planted[Symbol.asyncDispose]()]);
  rmSync(folder, { recursive: true });
});

const query = async (args: Readonly<Record<string, unknown>>) =>
  invoke(queryLokiLogs, args, { store }, { nowMs });

describe('query_loki_logs', () => {
  test('gives the lines of the last hour, the newest first, and goes on page by page', async () => {
    const seen: (string | undefined)[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await query({
        logql: '{service="api"}',
        limit: 7,
        ...(cursor !== undefined && { cursor }),
      });
      seen.push(...page.data.map(({ line }) => line));
      expect(page.metadata.resultsTruncated).toBe(page.next_cursor !== undefined);
      cursor = page.next_cursor;
      pages += 1;
    } while (cursor !== undefined);
    expect(seen).toEqual(
      lines
        .filter(({ atMs, service }) => service === 'api' && atMs >= nowMs - 3_600_000)
        .map(({ message }) => message),
    );
    expect(pages).toBe(Math.ceil(seen.length / 7));
  });

  test('shows labels, what a parser took out, and the fields that are left', async () => {
    const { data } = await query({
      logql: '{level="error"} | logfmt | took > 55ms',
      direction: 'forward',
      startRfc3339: 'now-2h',
      limit: 1,
    });
    expect(data).toEqual([
      {
        timestamp: '2026-11-20T10:09:00.000Z',
        line: 'GET /things/110 took=110ms status=500',
        labels: { service: 'api', level: 'error', source: 'ingest:test' },
        parsed: { took: '110ms', status: '500', user: 'u2' },
      },
    ]);
  });

  test('a text is found wherever it stands, whole words or parts of them', async () => {
    const found = async (text: string) =>
      (await query({ logql: `{} |= "${text}"`, limit: 100 })).data.map(({ line }) => line);
    const expected = (text: string) =>
      lines
        .filter(({ atMs, message }) => atMs >= nowMs - 3_600_000 && message.includes(text))
        .map(({ message }) => message);
    for (const text of [
      'ings/17 took=17ms sta',
      'took=17ms',
      'GET /things/5',
      '=200',
      'ET /thing',
      'Took',
      '',
      's/17 took=1.ms',
    ]) {
      expect(await found(text)).toEqual(expected(text));
    }
  });

  test('compact has each stream once', async () => {
    const { data, streams } = await query({ logql: '{level="info"}', limit: 10, format: 'compact' });
    expect(data).toEqual([]);
    expect(streams?.map(({ labels, lines: all }) => [labels['service'], all.length])).toEqual([
      ['web', 6],
      ['api', 4],
    ]);
  });

  test('a metric at one time, and over time', async () => {
    const { data } = await query({
      logql: 'sum by (service) (count_over_time({level="info"}[1h]))',
      queryType: 'instant',
    });
    expect(data.map(({ labels, value }) => [labels, value])).toEqual([
      [{ service: 'web' }, 29],
      [{ service: 'api' }, 24],
    ]);
    const over = await query({
      logql: 'sum(count_over_time({}[10m]))',
      stepSeconds: 1_200,
      endRfc3339: '2026-11-20T12:00:00Z',
    });
    expect(over.data).toEqual([
      {
        labels: {},
        values: ['11:00', '11:20', '11:40']
          .map((time) => ({ timestamp: `2026-11-20T${time}:00.000Z`, value: 10 }))
          .concat([{ timestamp: '2026-11-20T12:00:00.000Z', value: 9 }]),
      },
    ]);
  });

  test('says what there is when nothing was found', async () => {
    const { hints } = await query({ logql: '{service="apy"}' });
    expect(hints?.summary).toMatch(/No service matches service="apy". There are: .*api/);
    expect((await query({ logql: '{service="api"} |= "nothing"' })).hints?.summary).toMatch(/Widen the time/);
    expect((await query({ logql: 'sum(count_over_time({service="none"}[1h]))' })).hints?.summary).toMatch(
      /no row/,
    );
    expect((await query({ logql: '{service="api"} | pattern "no <x>"' })).hints?.summary).toMatch(
      /PatternParserErr 10/,
    );
  });
});

test('query_loki_stats counts what a selector matches', async () => {
  const stats = async (logql: string) =>
    invoke(queryLokiStats, { logql, startRfc3339: 'now-3h' }, { store }, { nowMs });
  expect(await stats('{}')).toMatchObject({ streams: 2, chunks: 2, entries: 120 });
  expect(await stats('{service=~"a.*", level!="error"}')).toMatchObject({ streams: 1, entries: 48 });
  expect(await stats('{service="none"}')).toEqual({ streams: 0, chunks: 0, entries: 0, bytes: 0 });
});

test('labels, their values, and what they hold', async () => {
  const given = { startRfc3339: 'now-3h' };
  const { labels } = await invoke(listLokiLabelNames, given, { store }, { nowMs });
  expect(labels).toEqual(['level', 'service', 'source', 'user']);
  const values = async (labelName: string) =>
    (await invoke(listLokiLabelValues, { labelName, ...given }, { store }, { nowMs })).values;
  expect(await values('service')).toEqual(['api', 'web']);
  expect(await values('level')).toEqual(['error', 'info']);
  expect(await values('user')).toEqual(['u0', 'u1', 'u2']);
  const analysis = await invoke(
    analyzeLokiLabels,
    { logql: '{level="error"} | logfmt', ...given },
    { store },
    { nowMs },
  );
  expect(analysis.lines).toBe(12);
  expect(analysis.labels.find(({ label }) => label === 'status')).toEqual({
    label: 'status',
    lines: 12,
    values: 1,
    top: [{ value: '500', lines: 12 }],
  });
});

test('query_loki_patterns groups lines, with their counts over time', async () => {
  const { patterns, lines: count } = await invoke(
    queryLokiPatterns,
    { logql: '{service="api", level="info"}', startRfc3339: 'now-2h', step: '1h' },
    { store },
    { nowMs },
  );
  expect(count).toBe(48);
  expect(patterns).toEqual([
    {
      pattern: '<method> <path> took=<num> status=<num>',
      service: 'api',
      level: 'info',
      first: '2026-11-20T10:01:00.000Z',
      last: '2026-11-20T11:57:00.000Z',
      example: 'GET /things/118 took=118ms status=200',
      totalCount: 48,
      samples: [
        { time: '2026-11-20T10:00:00.000Z', lines: 24 },
        { time: '2026-11-20T11:00:00.000Z', lines: 24 },
      ],
    },
  ]);
});

describe('find_error_pattern_logs', () => {
  const endMs = startMs + (baselineDays + 1) * dayMs;
  const day = { start: new Date(endMs - dayMs).toISOString(), end: new Date(endMs).toISOString() };

  test('finds what was planted, and little else', async () => {
    const { errors, error_lines: count } = await invoke(
      findErrorPatternLogs,
      { ...day, name: 'release' },
      { store: planted },
      { nowMs },
    );
    const named = (text: string) =>
      corpus.lines.find(({ message }) => message.startsWith(text.replace(/…$/, '')))?.planted;
    const found = errors
      .filter(({ verdict }) => verdict !== 'unconfirmed')
      .map(({ example }) => named(example));
    expect(new Set(found)).toEqual(new Set(corpus.isNew));
    expect(found).toHaveLength(corpus.isNew.length);
    expect(count).toBe(corpus.lines.filter(({ atMs }) => atMs >= endMs - dayMs).length);
  });

  test('without anything to compare with, nothing is called new', async () => {
    const { errors, baseline_start: baselineStart } = await invoke(
      findErrorPatternLogs,
      { start: 'now-2h' },
      { store },
      { nowMs },
    );
    expect(errors.map(({ verdict }) => verdict)).toEqual(['unconfirmed']);
    expect(baselineStart).toBe('2026-11-20T10:00:00.000Z');
  });

  test('can be asked for some lines only', async () => {
    const { errors, error_lines: count } = await invoke(
      findErrorPatternLogs,
      { start: 'now-2h', labels: { user: 'u2' } },
      { store },
      { nowMs },
    );
    expect(errors[0]?.lines).toBe(count);
    expect(count).toBe(
      lines.filter(({ level, fields }) => level === 'error' && fields['user'] === 'u2').length,
    );
  });
});

describe('bad input is refused, and nothing is done', () => {
  const tools = {
    queryLokiLogs,
    queryLokiStats,
    queryLokiPatterns,
    findErrorPatternLogs,
    listLokiLabelNames,
    listLokiLabelValues,
    analyzeLokiLabels,
  };

  test.each<[keyof typeof tools, Readonly<Record<string, unknown>>, string, RegExp]>([
    ['queryLokiLogs', {}, 'invalid_input', /logql/],
    ['queryLokiLogs', { logql: 5 }, 'invalid_input', /logql/],
    ['queryLokiLogs', { logql: '' }, 'invalid_input', /logql/],
    ['queryLokiLogs', { logql: 'x'.repeat(6_000) }, 'invalid_input', /logql/],
    ['queryLokiLogs', { logql: '{}\0' }, 'invalid_input', /NUL/],
    ['queryLokiLogs', { logql: '{} | label_format a=b' }, 'invalid_input', /label_format is not understood/],
    ['queryLokiLogs', { logql: '{} |~ "(?=x)"' }, 'invalid_input', /regular expression cannot be read/],
    ['queryLokiLogs', { logql: '{} |~ "(x{900}){900}"' }, 'too_large', /too large/],
    ['queryLokiLogs', { logql: '{}', limit: 101 }, 'invalid_input', /limit/],
    ['queryLokiLogs', { logql: '{}', limit: 0 }, 'invalid_input', /limit/],
    ['queryLokiLogs', { logql: '{}', direction: 'up' }, 'invalid_input', /direction/],
    ['queryLokiLogs', { logql: '{}', format: 'xml' }, 'invalid_input', /format/],
    ['queryLokiLogs', { logql: '{}', extra: 1 }, 'invalid_input', /extra/],
    ['queryLokiLogs', { logql: '{}', startRfc3339: 'soon' }, 'invalid_input', /startRfc3339/],
    ['queryLokiLogs', { logql: '{}', startRfc3339: '2026-02-30' }, 'invalid_input', /startRfc3339/],
    [
      'queryLokiLogs',
      { logql: '{}', startRfc3339: 'now', endRfc3339: 'now-1h' },
      'invalid_input',
      /not before the end/,
    ],
    ['queryLokiLogs', { logql: '{}', queryType: 'instant' }, 'invalid_input', /needs a metric/],
    ['queryLokiLogs', { logql: '{}', cursor: 'x' }, 'invalid_input', /cursor/],
    ['queryLokiLogs', { logql: 'rate({}[1m])', stepSeconds: 1 }, 'too_large', /3601 times, at most 1000/],
    ['queryLokiLogs', { logql: 'rate({}[1m])', stepSeconds: 0 }, 'invalid_input', /stepSeconds/],
    ['queryLokiStats', { logql: '{} |= "x"' }, 'invalid_input', /a selector alone/],
    ['queryLokiStats', { logql: '{user="u1"}' }, 'invalid_input', /user is a field/],
    ['queryLokiStats', { logql: 'rate({}[1m])' }, 'invalid_input', /not a metric query/],
    ['queryLokiPatterns', { logql: '{' }, 'invalid_input', /at its end/],
    ['queryLokiPatterns', { logql: '{}', step: 'often' }, 'invalid_input', /step/],
    ['queryLokiPatterns', { logql: '{}', step: '1s' }, 'too_large', /more than 500 steps/],
    ['findErrorPatternLogs', { labels: 'service' }, 'invalid_input', /labels/],
    ['findErrorPatternLogs', { labels: { service: 5 } }, 'invalid_input', /labels/],
    ['findErrorPatternLogs', { baselineDays: 0 }, 'invalid_input', /baselineDays/],
    [
      'findErrorPatternLogs',
      { start: '2026-11-01', baselineDays: 1 },
      'invalid_input',
      /longer than what it is compared with/,
    ],
    ['listLokiLabelNames', { cursor: 'x'.repeat(50_000) }, 'invalid_input', /cursor/],
    ['listLokiLabelValues', {}, 'invalid_input', /labelName/],
    ['listLokiLabelValues', { labelName: 'none' }, 'not_found', /has the label none/],
    ['listLokiLabelValues', { labelName: '__proto__' }, 'not_found', /has the label __proto__/],
    ['analyzeLokiLabels', { logql: 'count_over_time({}[1m])' }, 'invalid_input', /not a metric query/],
  ])('%s %j: %s', async (tool, args, code, message) => {
    await expect(invoke(tools[tool] as AnyTool<Analysed>, args, { store }, { nowMs })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});
