/** The way out, against a server that does what servers do on bad days. Rows come from the real PostgREST elsewhere. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { opened } from '../opened.fixture.ts';
import { standIn, userId, type StandIn } from '../project.fixture.ts';

const key = 'canary-key-0123456789';
let project: StandIn;
type Opened = Awaited<ReturnType<typeof opened>>;
let reader: Opened;
let writer: Opened;

beforeAll(async () => {
  project = await standIn();
  const settings = { FLOTILLA_SUPABASE_URL: project.url, FLOTILLA_SUPABASE_KEY: key };
  reader = await opened(settings);
  writer = await opened({ ...settings, FLOTILLA_SUPABASE_MODE: 'write' });
});
beforeEach(() => {
  project.odd.clear();
  project.files.clear();
  project.asked.length = 0;
});
afterAll(async () => {
  await reader[Symbol.asyncDispose]();
  await writer[Symbol.asyncDispose]();
  await project[Symbol.asyncDispose]();
});

const answers =
  (status: number, body: unknown, headers: Record<string, string> = {}) =>
  (_incoming: IncomingMessage, outgoing: ServerResponse) => {
    outgoing.writeHead(status, { 'content-type': 'application/json', ...headers });
    outgoing.end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** These, one after the other; the last one for all that comes after. */
const inTurn = (...odd: ReturnType<typeof answers>[]): ReturnType<typeof answers> => {
  let count = 0;
  return (incoming, outgoing) => odd[Math.min(count++, odd.length - 1)]?.(incoming, outgoing);
};

const table = '/rest/v1/item';
const atOnce = { 'retry-after': '0' };
const hangsUp = (incoming: IncomingMessage) => incoming.socket.destroy();

describe('what is asked again', () => {
  test.each([
    ['429', answers(429, { message: 'slow down' }, atOnce)],
    ['503 without a body', answers(503, '', { 'content-type': 'text/plain', ...atOnce })],
    ['502 of a proxy', answers(502, '<html>bad gateway</html>', { 'content-type': 'text/html', ...atOnce })],
    ['a schema that is being loaded', answers(503, { code: 'PGRST002', message: 'Could not query' }, atOnce)],
    ['a database without room', answers(500, { code: '53300', message: 'too many connections' }, atOnce)],
    ['a connection that breaks', hangsUp],
  ])('a read after %s', async (_what, odd) => {
    project.odd.set(table, inTurn(odd, odd, answers(200, [{ id: 1 }])));
    expect(await reader.call('select_rows', { table: 'item' })).toMatchObject({ rows: [{ id: 1 }] });
    expect(project.asked).toHaveLength(3);
  });

  test('and after some times no more', async () => {
    project.odd.set(table, answers(503, { message: 'down' }, atOnce));
    expect(await reader.refusal('select_rows', { table: 'item' })).toMatchObject({ code: 'unavailable' });
    expect(project.asked).toHaveLength(4);
  });

  test('not when it is to be left alone for long: the caller is told when', async () => {
    project.odd.set(table, answers(429, { message: 'slow down' }, { 'retry-after': '3600' }));
    await expect(reader.call('select_rows', { table: 'item' })).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterMs: 3_600_000,
    });
    expect(project.asked).toHaveLength(1);
  });

  test.each([
    ['insert_rows', { table: 'item', rows: [{ id: 1 }] }],
    ['delete_rows', { table: 'item', filters: [{ column: 'id', operator: 'eq', value: 1 }] }],
    ['postgrestRequest', { method: 'POST', path: '/item', body: { id: 1 } }],
  ])('never what changes: %s', async (name, args) => {
    for (const [odd, advice] of [
      [answers(503, { message: 'down' }), 'later'],
      [hangsUp, 'look before you repeat it'],
    ] as const) {
      project.asked.length = 0;
      project.odd.set(table, odd);
      const { code, words } = await writer.refusal(name, args);
      expect(code).toBe('unavailable');
      expect(words).toContain(advice);
      expect(project.asked).toHaveLength(1);
    }
  });

  test('not what Postgres refused', async () => {
    project.odd.set(table, answers(500, { code: 'P0001', message: 'raised' }));
    expect((await reader.refusal('select_rows', { table: 'item' })).code).toBe('conflict');
    expect(project.asked).toHaveLength(1);
  });

  test('not for somebody who is gone', async () => {
    const stop = new AbortController();
    project.odd.set(table, (incoming, outgoing) => {
      answers(503, {}, { 'retry-after': '5' })(incoming, outgoing);
      setImmediate(() => stop.abort());
    });
    await expect(
      reader.call('select_rows', { table: 'item' }, { signal: stop.signal }),
    ).rejects.toMatchObject({
      code: 'cancelled',
    });
    expect(project.asked).toHaveLength(1);
  });
});

test('a server that says nothing is left when the call is taken back', async () => {
  const stop = new AbortController();
  const closed = Promise.withResolvers<void>();
  project.odd.set(table, (incoming) => {
    incoming.on('close', closed.resolve);
    stop.abort();
  });
  await expect(reader.call('select_rows', { table: 'item' }, { signal: stop.signal })).rejects.toMatchObject({
    code: 'cancelled',
  });
  await closed.promise;
});

test.each([301, 302, 307, 308])(
  'a redirect (%s) is not followed, and takes the key nowhere',
  async (status) => {
    await using elsewhere = await standIn();
    project.odd.set(table, answers(status, '', { location: `${elsewhere.url}/rest/v1/item` }));
    expect(await reader.refusal('select_rows', { table: 'item' })).toMatchObject({
      code: 'unavailable',
      words: expect.stringContaining('redirect') as string,
    });
    expect(elsewhere.asked).toEqual([]);
  },
);

test('an answer is bounded while it is read', async () => {
  let sent = 0;
  project.odd.set(table, (_incoming, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/json' });
    const more = () => {
      while (!outgoing.destroyed && outgoing.write('[1]'.repeat(10_000))) sent += 30_000;
      if (!outgoing.destroyed) outgoing.once('drain', more);
    };
    more();
  });
  expect((await reader.refusal('select_rows', { table: 'item' })).code).toBe('too_large');
  expect(sent).toBeLessThan(20_000_000);
});

test('a key that comes back is not passed on', async () => {
  project.odd.set(table, answers(200, [{ id: 1, echo: `Bearer ${key}` }]));
  expect(JSON.stringify(await reader.call('select_rows', { table: 'item' }))).not.toContain(key);
  project.odd.set(table, answers(400, { message: `bad key ${key}` }));
  expect((await reader.refusal('select_rows', { table: 'item' })).words).not.toContain(key);
  project.odd.set(table, answers(200, `not json ${key}`));
  expect((await reader.refusal('postgrestRequest', { method: 'GET', path: '/item' })).words).not.toContain(
    key,
  );
});

test.each([
  [401, { message: 'no' }, 'forbidden'],
  [403, { msg: 'not allowed', error_code: 'not_admin' }, 'forbidden'],
  [404, { message: 'nope' }, 'not_found'],
  [409, { message: 'there' }, 'conflict'],
  [413, { message: 'large' }, 'too_large'],
  [400, { message: 'bad' }, 'invalid_input'],
  [401, { code: 'PGRST301', message: 'JWT expired' }, 'forbidden'],
  [400, { code: '22P02', message: 'invalid input syntax' }, 'invalid_input'],
  [409, { code: '23505', message: 'duplicate key' }, 'conflict'],
  [500, { code: '57014', message: 'canceling statement due to statement timeout' }, 'timeout'],
])('%s %o is %s', async (status, body, code) => {
  project.odd.set(table, answers(status, body));
  expect((await reader.refusal('select_rows', { table: 'item' })).code).toBe(code);
});

test('files are listed, read, linked, written and removed', async () => {
  const bucket = 'papers';
  const path = 'a/note one.txt';
  expect(await reader.call('list_buckets')).toMatchObject({ buckets: [{ name: bucket, public: false }] });
  expect(await writer.call('upload_storage_object', { bucket, path, text: 'grüße' })).toEqual({
    path,
    size_bytes: 7,
  });
  expect((await writer.refusal('upload_storage_object', { bucket, path, text: 'x' })).code).toBe('conflict');
  await writer.call('upload_storage_object', { bucket, path: 'a/b.bin', base64: 'AP8=' });
  expect(await reader.call('list_storage_objects', { bucket, path: 'a', limit: 1 })).toMatchObject({
    objects: [{ name: 'note one.txt', size_bytes: 7, is_folder: false }],
    truncated: true,
  });
  expect(await reader.call('download_storage_object', { bucket, path })).toMatchObject({ text: 'grüße' });
  expect(await reader.call('download_storage_object', { bucket, path: 'a/b.bin' })).toMatchObject({
    base64: 'AP8=',
  });
  expect(await reader.call('create_signed_url', { bucket, path })).toMatchObject({
    signed_url: expect.stringContaining('token=') as string,
  });
  expect(await writer.call('remove_storage_objects', { bucket, paths: [path, 'a/nope'] })).toEqual({
    removed: [path],
    not_found: ['a/nope'],
  });
  expect((await reader.refusal('download_storage_object', { bucket, path })).code).toBe('not_found');
  project.files.set('papers/large', { bytes: Buffer.alloc(100_000), type: 'text/plain' });
  expect((await reader.refusal('download_storage_object', { bucket, path: 'large' })).code).toBe('too_large');
});

test('users are shown without what lies beside them, and edge functions answer', async () => {
  const users = await reader.call('list_auth_users');
  expect(users).toMatchObject({ users: [{ id: userId, email: 'ada@example.org', providers: ['email'] }] });
  expect(JSON.stringify(users)).not.toContain('not shown');
  expect(await reader.call('get_auth_user', { id: userId })).toMatchObject({ email: 'ada@example.org' });
  expect((await reader.refusal('get_auth_user', { id: userId.replace('1', '2') })).code).toBe('not_found');
  expect(await writer.call('call_edge_function', { name: 'hello', body: { a: 1 } })).toEqual({
    result: { said: 'ada', given: { a: 1 } },
  });
  expect((await writer.refusal('call_edge_function', { name: 'nope' })).code).toBe('not_found');
});
