/** Answers that the revisions of the protocol ask for, where the SDK or a client could be led astray. */
import { describe, expect, test } from 'vitest';

import { answerIn, eras, headersOf, messageOf, type Era, type Rpc } from '../scripts/bench/message.ts';
import { callTool, rpc } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

const versions = ['2026-07-28', '2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'];

/** Sends the text of a message after `change` was made to it. */
async function sendChanged(
  served: Served,
  era: Era,
  change: (text: string) => string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly answer: Rpc }> {
  const message = messageOf('tools/call', { name: 'echo', arguments: { nonce: 'x' } }, { era, id: 'ID' });
  const response = await fetch(`${served.url}/mcp`, {
    method: 'POST',
    headers: { ...headersOf(served, message, { era }), ...headers },
    body: change(JSON.stringify(message)),
  });
  return { status: response.status, answer: await answerIn(response) };
}

describe.each(eras)('In %s', (era) => {
  test.each(['tools/list', 'resources/list', 'resources/templates/list', 'prompts/list'])(
    'a cursor that %s never gave is refused',
    async (method) => {
      await using served = await serve(wireService().service);

      const { error } = await rpc(served, method, { cursor: 'made-up' }, { era });

      expect(error).toMatchObject({ code: -32_602, message: expect.stringContaining('cursor') as string });
    },
  );

  test.each(['toString', 'constructor', '__proto__', 'hasOwnProperty'])(
    'there is no method %s',
    async (method) => {
      await using served = await serve(wireService().service);

      const { error } = await rpc(served, method, {}, { era });

      expect(error).toMatchObject({ code: -32_601 });
    },
  );

  test('a resource that is not there has the code of its revision, and its address', async () => {
    await using served = await serve(wireService().service);

    const { error } = await rpc(served, 'resources/read', { uri: 'wire://page/2' }, { era });

    expect(error).toMatchObject({
      code: era === 'modern' ? -32_602 : -32_002,
      data: { uri: 'wire://page/2' },
    });
  });

  test.each(['"9007199254740993"', '"007"', '""', '9007199254740991', '-1', '0'])(
    'the id %s comes back as it was sent',
    async (id) => {
      await using served = await serve(wireService().service);

      const { answer } = await sendChanged(served, era, (text) => text.replace('"ID"', id));

      expect(JSON.stringify(answer.id)).toBe(id);
    },
  );

  test.each(['9007199254740993', '1.5', '1e400', '-9007199254740993'])(
    'the id %s, which would come back as another, is refused without one',
    async (id) => {
      await using served = await serve(wireService().service);

      const { status, answer } = await sendChanged(served, era, (text) => text.replace('"ID"', id));

      expect([status, answer.id, answer.error?.code]).toEqual([400, null, -32_600]);
    },
  );

  test('an id of more than 1,000 characters is refused, and says why', async () => {
    await using served = await serve(wireService().service);
    const send = async (length: number) =>
      sendChanged(served, era, (text) => text.replace('"ID"', JSON.stringify('x'.repeat(length))));

    const { status, answer } = await send(1_001);
    expect([status, answer.id, answer.error?.code]).toEqual([400, null, -32_600]);
    expect(answer.error?.message).toContain('longer than 1,000 characters');

    expect((await send(1_000)).answer.id).toBe('x'.repeat(1_000));
  });

  test('a failure is told under both names for now', async () => {
    await using served = await serve(wireService().service);

    const { result } = await callTool(served, 'echo', {}, { era });

    const told = { code: 'invalid_input', message: expect.stringContaining('nonce') as string };
    expect(result?.['_meta']).toMatchObject({ 'dev.flotilla/error': told, 'flotilla/error': told });
  });
});

test('Discovery names every revision that is served', async () => {
  await using served = await serve(wireService().service);

  const { result } = await rpc(served, 'server/discover');

  expect(result?.['supportedVersions']).toEqual(expect.arrayContaining(versions));
});

test('A revision that is not served is refused with all that are', async () => {
  await using served = await serve(wireService().service);
  const unknown = '2099-01-01';

  const { status, answer } = await sendChanged(
    served,
    'modern',
    (text) => text.replace('2026-07-28', unknown),
    { 'mcp-protocol-version': unknown },
  );

  expect([status, answer.error?.code]).toEqual([400, -32_022]);
  expect(answer.error?.data).toMatchObject({
    requested: unknown,
    supported: expect.arrayContaining(versions) as string[],
  });
});

test.each([
  ['capabilities', '{"capabilities":[]}'],
  ['clientInfo', '{"capabilities":{},"clientInfo":"me"}'],
  ['protocolVersion', '{"capabilities":{},"clientInfo":{"name":"a","version":"1"},"protocolVersion":1}'],
])('Wrong %s in initialize are the fault of the caller', async (field, params) => {
  await using served = await serve(wireService().service);
  const whole = { protocolVersion: '2025-11-25', clientInfo: { name: 'a', version: '1' } };

  const { error } = await rpc(
    served,
    'initialize',
    { ...whole, ...(JSON.parse(params) as object) },
    { era: 'legacy' },
  );

  expect(error).toMatchObject({ code: -32_602, message: expect.stringContaining(field) as string });
});

test('Wrong capabilities in the envelope of a request are the fault of the caller', async () => {
  await using served = await serve(wireService().service);

  const { status, answer } = await sendChanged(served, 'modern', (text) =>
    text.replace(
      '"io.modelcontextprotocol/clientCapabilities":{}',
      '"io.modelcontextprotocol/clientCapabilities":[]',
    ),
  );

  expect([status, answer.error?.code]).toEqual([400, -32_602]);
});
