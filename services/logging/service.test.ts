import { appendFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import { maxOtlpBytes, maxUnpackedBytes } from '#runtime/otlp/route.ts';

import { modernClient } from '../../tests/support/clients.ts';
import { messagesIn } from '../../scripts/bench/message.ts';
import { callTool, codeOf, send } from '../../tests/support/rpc.ts';
import { serve, temporaryFolder, type Served } from '../../tests/support/serve.ts';
import { journalLine, readAll } from './feeds/journal.ts';
import { asJson, asProtobuf, someRecords } from './otlp/otlp.fixture.ts';
import logging from './service.ts';

const folder = temporaryFolder();
const followed = join(folder.path, 'followed.log');
const readable = join(folder.path, 'readable');
let served: Served;
beforeAll(async () => {
  mkdirSync(readable);
  writeFileSync(followed, '2026-11-20T10:00:00Z ERROR the first line\n');
  served = await serve(logging, {
    FLOTILLA_LOGGING_FILES: followed,
    FLOTILLA_LOGGING_ROOTS: readable,
    FLOTILLA_LOGGING_KEEP_DAYS: '3650',
  });
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

interface Structured {
  readonly lines: readonly {
    readonly message: string;
    readonly time: string;
    readonly service: string;
    readonly before?: readonly { readonly message: string }[];
  }[];
  readonly next_cursor?: string;
  readonly truncated?: true;
}

async function call<Value = Structured>(
  tool: string,
  args: Readonly<Record<string, unknown>>,
): Promise<Value> {
  const answer = await callTool(served, tool, args);
  if (answer.result?.['isError']) throw new Error(JSON.stringify(answer.result['content']));
  return answer.result?.['structuredContent'] as Value;
}

const messages = ({ lines }: Structured) => lines.map(({ message }) => message);

/** A token that the service knows already. */
async function tokenFor(name: string, scope: readonly string[]) {
  const secret = await createToken(served.dataRoot, { name, scope, expiresAt: null });
  const headers = { authorization: `Bearer ${secret}` };
  await vi.waitFor(async () =>
    expect((await fetch(`${served.url}/admin/audit`, { headers })).status).not.toBe(401),
  );
  return { secret };
}

describe('OTLP', () => {
  /** As the only field, or the second, which is a list in both. */
  const inMessage = (bytes: Uint8Array, number = 2) =>
    new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
  const post = async (
    body: string | Buffer,
    headers: Readonly<Record<string, string>>,
    token = served.token,
  ) =>
    fetch(`${served.url}/v1/logs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, ...headers },
      body,
    });
  const protobuf = { 'content-type': 'application/x-protobuf' };
  const json = { 'content-type': 'application/json' };

  test('takes both ways, packed or not, and what it took is found by word, level and trace', async () => {
    const bytes = Buffer.from(asProtobuf(someRecords));
    const answers = [
      await post(bytes, protobuf),
      await post(gzipSync(bytes), { ...protobuf, 'content-encoding': 'gzip' }),
      await post(asJson(someRecords), { 'content-type': 'application/json; charset=utf-8' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers.map(({ headers }) => headers.get('content-type'))).toEqual([
      'application/x-protobuf',
      'application/x-protobuf',
      'application/json',
    ]);
    expect(await answers[0]?.arrayBuffer()).toHaveProperty('byteLength', 0);
    expect(await answers[2]?.json()).toEqual({});

    const found = await call('search_logs', {
      query: 'broke',
      level: 'error',
      service: 'shop',
      source: 'otlp:first',
    });
    expect(found.lines).toHaveLength(3);
    expect(found.lines[0]).toMatchObject({
      time: '2026-11-29T04:00:00.123Z',
      fields: { 'http.status': '500', scope: 'checkout' },
    });
    const trace = await call<Structured & { services: string[] }>('get_trace', {
      correlation_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    });
    expect(trace).toMatchObject({ services: ['shop'], lines: [{}, {}, {}] });
  });

  test('a text that is no UTF-8 is shown, and costs no other record', async () => {
    const record = inMessage(inMessage(Buffer.from([0x0a, 0x05, 0x6c, 0x61, 0x6d, 0x65, 0xff]), 5));
    const answer = await post(Buffer.from(inMessage(inMessage(record), 1)), protobuf);
    expect(answer.status).toBe(200);
    const { lines } = await call('search_logs', { regex: '^lame' });
    expect(lines).toMatchObject([{ message: String.raw`lame\xff` }]);
  });

  test('says how many records it did not take', async () => {
    const old = asJson(someRecords).replaceAll('1795924', '0000001');
    const answer = await post(old, json);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      partialSuccess: { rejectedLogRecords: '2', errorMessage: 'too_old: 2' },
    });
  });

  test('refuses what it cannot read, and says why', async () => {
    const manyRecords = inMessage(inMessage(Buffer.alloc(400_000, Buffer.from([0x12, 0]))), 1);
    const bomb = gzipSync(Buffer.alloc(maxUnpackedBytes + 1));
    const cases: readonly (readonly [number, string | Buffer, Readonly<Record<string, string>>])[] = [
      [400, 'no json', json],
      [400, Buffer.from([0xff, 0xff]), protobuf],
      [400, Buffer.from([0x7b, 0xff, 0x7d]), json],
      [400, 'not packed', { ...json, 'content-encoding': 'gzip' }],
      [415, '{}', { 'content-type': 'text/plain' }],
      [415, '{}', { ...json, 'content-encoding': 'br' }],
      [413, bomb, { ...json, 'content-encoding': 'gzip' }],
      [413, Buffer.alloc(maxOtlpBytes + 1), json],
      // 200,000 empty records, in 400 bytes.
      [413, gzipSync(manyRecords), { ...protobuf, 'content-encoding': 'gzip' }],
      [413, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}${',{}'.repeat(100_000)}]}]}]}`, json],
    ];
    for (const [status, body, headers] of cases) {
      const answer = await post(body, headers);
      expect(answer.status).toBe(status);
      await answer.arrayBuffer();
    }
    const answer = await post('no json', json);
    expect(await answer.json()).toEqual({ message: 'The body is not JSON.' });
  });

  test('needs a token that may write here', async () => {
    const { secret: reader } = await tokenFor('reader', ['logging:read']);
    const { secret: other } = await tokenFor('other', ['memory']);
    expect((await post('{}', json, 'wrong')).status).toBe(401);
    expect((await post('{}', json, reader)).status).toBe(403);
    expect((await post('{}', json, other)).status).toBe(403);
    expect(
      (await fetch(`${served.url}/v1/logs`, { headers: { authorization: `Bearer ${served.token}` } })).status,
    ).toBe(405);
  });
});

describe('lines of clients', () => {
  test('are read as what they are, cleaned, and found with what stands around them', async () => {
    const lines = [
      '2026-11-21T10:00:00Z INFO begin',
      '{"time":"2026-11-21T10:00:01Z","level":"error","msg":"login failed","password":"hunter2"}',
      '2026-11-21T10:00:02Z WARN \u001b[31mred\u001b[0m \u001b]0;title\u0007 token=hunter2hunter2',
      { message: 'end', time: '2026-11-21T10:00:03Z', level: 'debug', fields: { step: 4 } },
    ];
    expect(await call('ingest_logs', { lines, service: 'app', batch_id: 'b' })).toEqual({
      accepted: 4,
      refused: {},
      repeated: false,
    });
    expect(await call('ingest_logs', { lines, service: 'app', batch_id: 'b' })).toEqual({
      accepted: 4,
      refused: {},
      repeated: true,
    });

    const found = await call('search_logs', { query: 'login', service: 'app', context: 1 });
    expect(found).toMatchObject({
      lines: [
        {
          message: 'login failed',
          level: 'error',
          fields: { password: '[redacted]' },
          before: [{ message: 'INFO begin' }],
          after: [{ message: 'WARN red  token=[redacted]' }],
        },
      ],
    });
    expect(
      messages(
        await call('search_logs', {
          service: 'app',
          since: '2026-11-21',
          until: '2026-11-22',
          level: 'warn',
          order: 'oldest',
        }),
      ),
    ).toHaveLength(2);
    expect(messages(await call('get_errors', { service: 'app', since: '2026-11-21' }))).toEqual([
      'login failed',
    ]);
  });

  test('are paged to the end, also when an answer holds fewer than were asked for', async () => {
    const lines = Array.from({ length: 60 }, (_, at) => ({
      message: `${String(at).padStart(3, '0')} ${'x'.repeat(2_000)}`,
      time: '2026-11-22T10:00:00Z',
    }));
    await call('ingest_logs', { lines, service: 'paged' });
    for (const tool of ['search_logs', 'export_logs']) {
      const args = { service: 'paged', limit: 50 };
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const answer: Structured & { content?: string } = await call(tool, {
          ...args,
          ...(cursor !== undefined && { cursor }),
        });
        seen.push(
          ...(answer.content === undefined
            ? messages(answer)
            : answer.content
                .trimEnd()
                .split('\n')
                .map((line) => (JSON.parse(line) as { message: string }).message)),
        );
        cursor = answer.next_cursor;
      } while (cursor !== undefined);
      expect(seen.map((message) => message.slice(0, 3)).toSorted()).toEqual(
        lines.map(({ message }) => message.slice(0, 3)),
      );
    }
    expect(codeOf(await callTool(served, 'search_logs', { service: 'other', limit: 50, cursor: 'x' }))).toBe(
      'invalid_input',
    );
  });

  test('are exported as CSV that no table takes for a formula', async () => {
    await call('ingest_logs', { lines: [{ message: '=1+1, "quoted"' }], service: 'table' });
    const { content } = await call<{ content: string }>('export_logs', { service: 'table', format: 'csv' });
    expect(content.trimEnd().split('\r\n')).toMatchObject([
      'time,observed,level,service,source,message,trace_id,fields',
      expect.stringContaining(`,"'=1+1, ""quoted""",`),
    ]);
  });

  test('are followed by tail_logs, none twice and none left out', async () => {
    const { next_cursor: start } = await call('tail_logs', { service: 'tail' });
    await call('ingest_logs', { lines: Array.from({ length: 7 }, (_, at) => `line ${at}`), service: 'tail' });
    const first = await call('tail_logs', { service: 'tail', limit: 5, cursor: start }).catch(
      () => undefined,
    );
    // The cursor is of the call without a limit.
    expect(first).toBeUndefined();
    const seen: string[] = [];
    let cursor = start;
    for (let round = 0; round < 3; round += 1) {
      const answer = await call('tail_logs', { service: 'tail', cursor });
      seen.push(...messages(answer));
      cursor = answer.next_cursor;
      if (round === 0) await call('write_log', { message: 'line 7', service: 'tail' });
    }
    expect(seen).toEqual(Array.from({ length: 8 }, (_, at) => `line ${at}`));
  });

  test('below the level that was set are counted and not stored', async () => {
    expect(await call('set_log_level', { service: 'quiet', level: 'warn' })).toMatchObject({
      levels: { quiet: 'warn' },
    });
    expect(await call('write_log', { message: 'x', service: 'quiet' })).toEqual({
      stored: false,
      refused: { below_level: 1 },
    });
    expect(await call('write_log', { message: 'x', service: 'quiet', level: 'error' })).toMatchObject({
      stored: true,
    });
    await call('set_log_level', { service: 'quiet', level: 'default' });
    expect(await call('list_log_sources', {})).toMatchObject({ levels: {}, tallies: { below_level: 1 } });

    // Whoever may only add lines keeps out nobody else's.
    const { secret: token } = await tokenFor('collector', ['logging:write']);
    const refused = await callTool({ ...served, token }, 'set_log_level', { service: '*', level: 'fatal' });
    expect(codeOf(refused)).toBe('forbidden');
  });

  test('are deleted with confirm alone, and never all of them by mistake', async () => {
    await call('ingest_logs', { lines: ['one wrong', 'two wrong', 'right'], service: 'purge' });
    expect(await call('purge_logs', { service: 'purge', query: 'wrong' })).toEqual({
      deleted: 0,
      would_delete: 2,
      by_source: { 'ingest:first': 2 },
    });
    expect(codeOf(await callTool(served, 'purge_logs', { confirm: true }))).toBe('invalid_input');
    for (const query of [' ', '"', '""', '-""']) {
      const refused = await callTool(served, 'purge_logs', { query, confirm: true });
      expect(codeOf(refused), query).toBe('invalid_input');
    }
    expect(await call('purge_logs', { service: 'purge', query: 'wrong', confirm: true })).toEqual({
      deleted: 2,
      by_source: { 'ingest:first': 2 },
    });
    expect(messages(await call('search_logs', { service: 'purge' }))).toEqual(['right']);
  });

  test('are counted over time', async () => {
    const lines = [0, 10, 70].map((minute) => ({
      message: 'x',
      level: minute === 70 ? 'error' : 'info',
      time: new Date(Date.UTC(2026, 10, 23, 10, minute)).toISOString(),
    }));
    await call('ingest_logs', { lines, service: 'stats' });
    expect(await call('get_log_stats', { service: 'stats', interval: '1h' })).toEqual({
      lines: 3,
      text_bytes: 3,
      groups: { info: 2, error: 1 },
      intervals: [
        { time: '2026-11-23T10:00:00.000Z', lines: 2, groups: { info: 2 } },
        { time: '2026-11-23T11:00:00.000Z', lines: 1, groups: { error: 1 } },
      ],
    });
  });
});

describe('files', () => {
  test('a followed file is stored as it grows, and its source can be read', async () => {
    await vi.waitFor(
      async () =>
        expect(messages(await call('search_logs', { source: `file:${followed}` }))).toEqual([
          'ERROR the first line',
        ]),
      10_000,
    );
    await using client = await modernClient(served);
    const uri = `log://${encodeURIComponent(`file:${followed}`)}/tail`;
    const { contents } = await client.readResource({ uri });
    expect(contents).toMatchObject([{ text: expect.stringContaining('the first line') as string }]);
    appendFileSync(
      followed,
      '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY-----\nand one more\n',
    );
    await vi.waitFor(async () => {
      const again = await client.readResource({ uri });
      expect(again.contents).toMatchObject([{ text: expect.stringContaining('and one more') as string }]);
    }, 10_000);
    expect(await call('search_logs', { query: 'MIIEpAIB' })).toMatchObject({ lines: [] });
    await expect(client.readResource({ uri: 'log://nobody/tail' })).rejects.toThrow('nobody');
  });

  test('subscribers of a source hear of new lines, also of those that no call brought', async () => {
    const uri = `log://${encodeURIComponent(`file:${followed}`)}/tail`;
    const stream = await send(served, 'subscriptions/listen', {
      notifications: { resourceSubscriptions: [uri] },
    });
    const messages = messagesIn(stream);
    expect((await messages.next()).value).toMatchObject({
      method: 'notifications/subscriptions/acknowledged',
    });
    appendFileSync(followed, 'for subscribers\n');
    expect((await messages.next()).value).toMatchObject({
      method: 'notifications/resources/updated',
      params: { uri },
    });
    await messages.return(undefined);
  });

  test('read_log_file gives the last lines of files that may be read, cleaned', async () => {
    const file = join(readable, 'app.log');
    writeFileSync(
      file,
      `${Array.from({ length: 300 }, (_, at) => `line ${at}`).join('\n')}\npassword=hunter2 \u001b[31mred\n`,
    );
    const { lines, truncated } = await call<{ lines: string[]; truncated?: true }>('read_log_file', {
      log_path: file,
      lines: 2,
    });
    expect({ lines, truncated }).toEqual({ lines: ['line 299', 'password=[redacted] red'], truncated: true });
    expect(await call('read_log_file', { log_path: followed })).toMatchObject({
      lines: expect.arrayContaining(['2026-11-20T10:00:00Z ERROR the first line']) as unknown,
    });
    writeFileSync(join(readable, 'empty'), '');
    expect(await call('read_log_file', { log_path: join(readable, 'empty') })).toEqual({
      lines: [],
      count: 0,
    });
    writeFileSync(join(readable, 'long'), 'x'.repeat(20_000_000));
    writeFileSync(
      join(readable, 'key'),
      '-----BEGIN PRIVATE KEY-----\nMIIEpAIB\n-----END PRIVATE KEY-----\nafter\n',
    );
    expect(await call('read_log_file', { log_path: join(readable, 'key') })).toMatchObject({
      lines: ['[redacted]', 'after'],
    });
    expect(await call('read_log_file', { log_path: join(readable, 'long') })).toMatchObject({
      count: 1,
      truncated: true,
    });
  });

  test('no other file can be read, however it is named', async () => {
    const secret = join(folder.path, 'secret');
    writeFileSync(secret, 'x');
    symlinkSync(secret, join(readable, 'link'));
    symlinkSync('/etc', join(readable, 'folder'));
    const codes = [];
    for (const path of [
      secret,
      join(readable, 'link'),
      join(readable, 'folder', 'passwd'),
      `${readable}/../secret`,
      '/etc/passwd',
      '/proc/self/environ',
      `${followed}/../secret`,
      '/nowhere/at/all',
      served.dataRoot,
      join(served.dataRoot, 'token'),
    ]) {
      codes.push(codeOf(await callTool(served, 'read_log_file', { log_path: path })));
    }
    expect(new Set(codes)).toEqual(new Set(['forbidden']));
    expect(codeOf(await callTool(served, 'read_log_file', { log_path: 'readable/app.log' }))).toBe(
      'invalid_input',
    );
    expect(codeOf(await callTool(served, 'read_log_file', { log_path: readable }))).toBe('invalid_input');
    expect(codeOf(await callTool(served, 'read_log_file', { log_path: join(readable, 'missing') }))).toBe(
      'not_found',
    );
  });
});

describe('the journal', () => {
  test.each(['-H evil', '--file=/etc/passwd', '; id', 'a b', '$(id)', ''])('%s is no unit', async (unit) => {
    expect(codeOf(await callTool(served, 'get_journal_logs', { unit }))).toBe('invalid_input');
  });

  test('is read where the host has one', async (context) => {
    if (!existsSync('/usr/bin/journalctl')) context.skip('this host has no journalctl');
    expect(
      await call<{ lines: unknown }>('get_journal_logs', {
        unit: 'ssh.service',
        priority: 'err',
        since: '1h',
        transport: 'syslog',
        lines: 5,
      }),
    ).toMatchObject({ lines: expect.any(Array) as unknown });
  });

  const entry = {
    __CURSOR: 'c',
    __REALTIME_TIMESTAMP: '1795924800123456',
    PRIORITY: '3',
    SYSLOG_IDENTIFIER: 'sshd',
    _SYSTEMD_UNIT: 'ssh.service',
    _PID: '7',
  };
  test('gives lines: of programs, of ours, with bytes, and too large ones', () => {
    const nowMs = Date.parse('2026-11-29T12:00:00Z');
    const line = (more: object) => journalLine(JSON.stringify({ ...entry, ...more }), nowMs);
    expect(line({ MESSAGE: 'Failed password' })).toMatchObject({
      cursor: 'c',
      line: {
        atMs: 1_795_924_800_123,
        level: 'error',
        service: 'sshd',
        source: 'journal:ssh.service',
        message: 'Failed password',
        fields: { pid: '7' },
      },
    });
    const own =
      '{"time":"2026-11-29T04:00:00.123Z","level":"warn","service":"memory","event":"loop_held","ms":61}';
    expect(line({ MESSAGE: own, SYSLOG_IDENTIFIER: 'flotilla-memory' })).toMatchObject({
      line: {
        level: 'warn',
        service: 'memory',
        source: 'fleet:memory',
        message: 'loop_held',
        fields: { ms: '61' },
      },
    });
    expect(line({ MESSAGE: [0x61, 0xff] })?.line.message).toBe(String.raw`a\xff`);
    expect(line({ MESSAGE: null })?.line.message).toContain('too large');
    expect(journalLine('{"MESSAGE":"x"}', nowMs)).toBeUndefined();
    expect(journalLine('half a li', nowMs)).toBeUndefined();
  });

  test.each([
    ['ssh.service', 'ssh.service'],
    ['init.scope', 'init.scope'],
    ['session-12.scope', 'session-*.scope'],
    ['session-c3.scope', 'session-*.scope'],
    ['run-u17.service', 'run-*.service'],
    ['run-p4711-i4712.service', 'run-*.service'],
    ['run-r0f0e0d0c0b0a09080706050403020100.scope', 'run-*.scope'],
    ['run-backup.service', 'run-backup.service'],
    ['user@1000.service', 'user@*.service'],
    ['user-runtime-dir@1000.service', 'user-runtime-dir@*.service'],
    ['redis@6379.service', 'redis@6379.service'],
    ['postgresql@16-main.service', 'postgresql@16-main.service'],
    ['sshd@17-10.0.0.1:22-10.0.0.2:51234.service', 'sshd@*.service'],
    ['systemd-coredump@3-4711-0.service', 'systemd-coredump@*.service'],
    ['systemd-coredump@3-4711_9182-0.service', 'systemd-coredump@*.service'],
    [`docker-${'0f'.repeat(32)}.scope`, 'docker-*.scope'],
    ['app-gnome-firefox-4711.scope', 'app-gnome-firefox-*.scope'],
    ['vte-spawn-0e4f2a6b-1c3d-4e5f-8a9b-0c1d2e3f4a5b.scope', 'vte-spawn-*.scope'],
  ])('lines of the unit %s have the source journal:%s, and its name', (unit, kind) => {
    const found = journalLine(JSON.stringify({ ...entry, MESSAGE: 'm', _SYSTEMD_UNIT: unit }), Date.now());
    expect(found?.line).toMatchObject({ service: 'sshd', source: `journal:${kind}`, fields: { unit } });
  });

  test('is read no further while the disk takes nothing, and then all of it is stored in order', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    using _ = { [Symbol.dispose]: () => vi.useRealTimers() };
    const journal = new PassThrough();
    const disk = Promise.withResolvers<void>();
    const stored: string[] = [];
    let read = 0;
    const now = () => {
      read += 1;
      return Date.parse('2026-11-29T12:00:00Z');
    };
    const following = readAll(
      journal,
      now,
      async ({ lines }) => {
        await disk.promise;
        stored.push(...lines.map(({ message }) => message));
      },
      () => {},
    );

    let written = 0;
    const isHeld = () => journal.isPaused();
    const isBehind = () => read < written && !isHeld();
    // Fewer at a time than are a batch, and each time long enough for what was gathered to go.
    while (!isHeld() && written < 20_000) {
      const text = Array.from({ length: 1_000 }, (__, at) =>
        JSON.stringify({ ...entry, MESSAGE: `line ${written + at}` }),
      );
      written += text.length;
      journal.write(`${text.join('\n')}\n`);
      for (let turns = 0; turns < 100 && isBehind(); turns += 1) await setImmediate();
      vi.advanceTimersByTime(200);
    }
    expect(isHeld()).toBe(true);
    expect(read).toBeLessThan(written);

    disk.resolve();
    journal.end();
    await following;
    expect(stored).toEqual(Array.from({ length: written }, (__, at) => `line ${at}`));
  });
});

test('a link that the operator names is followed, and one that a pattern finds is not', async () => {
  const links = join(folder.path, 'links');
  mkdirSync(links);
  writeFileSync(join(folder.path, 'target'), 'linked');
  for (const name of ['named', 'found.log']) symlinkSync(join(folder.path, 'target'), join(links, name));
  await using own = await serve(logging, {
    FLOTILLA_LOGGING_FILES: `${join(links, 'named')}:${join(links, '*.log')}`,
  });
  const read = async (name: string) => callTool(own, 'read_log_file', { log_path: join(links, name) });
  expect((await read('named')).result?.['structuredContent']).toMatchObject({ lines: ['linked'] });
  expect(codeOf(await read('found.log'))).toBe('forbidden');
  const { result } = await callTool(own, 'search_logs', { source: `file:${join(links, 'found.log')}` });
  expect(result?.['structuredContent']).toMatchObject({ lines: [] });
});

test('a setting that cannot be meant stops the start', async () => {
  await expect(serve(logging, { FLOTILLA_LOGGING_FILES: 'relative.log' })).rejects.toThrow('not absolute');
  await expect(serve(logging, { FLOTILLA_LOGGING_KEEP_DAYS: '0' })).rejects.toThrow(
    'FLOTILLA_LOGGING_KEEP_DAYS',
  );
});
