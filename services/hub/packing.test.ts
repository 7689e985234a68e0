import { hash } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { mostBodyBytes } from './limits.ts';
import type { Packed } from './message.ts';
import {
  beginningOf,
  bodyOf,
  jsonOf,
  packedBodyField,
  packingOf,
  unpackedBody,
  type PackedBody,
  jsonText,
} from './packing.ts';

const text = (length: number) => 'all work and no play. '.repeat(Math.ceil(length / 22)).slice(0, length);
describe('A body', () => {
  test('comes back as it was, packed at any level, at once or by another thread', async () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.string({ unit: fc.constantFrom('a', 'é', '🚢', '"', '\\', '\0'), maxLength: 500 }),
    );
    await fc.assert(
      fc.asyncProperty(
        value,
        fc.constantFrom(0, 1, 3, 9),
        fc.constantFrom(1, 40_000),
        async (one, level, times) => {
          const body = { one, filler: 'ab'.repeat(times) };
          const packed = await packingOf(level).pack(jsonText(body));

          expect(await jsonOf(packed)).toBe(JSON.stringify(body));
          expect(await bodyOf(packed)).toEqual(JSON.parse(JSON.stringify(body)));
          expect(packed.sizeBytes).toBe(Buffer.byteLength(JSON.stringify(body)));
        },
      ),
      { numRuns: 30 },
    );
  });

  test.each<[string, unknown, number, Packed['encoding'], boolean]>([
    ['a short one as it is', { a: text(1_000) }, 3, 'json', true],
    ['one from 1,024 bytes packed', { a: text(1_024 - 8) }, 3, 'zstd', true],
    ['one at level 0 as it is', { a: text(100_000) }, 0, 'json', true],
    ['one that is longer packed by another thread', { a: text(100_000) }, 3, 'zstd', false],
  ])('is kept: %s', async (_, body, level, encoding, isAtOnce) => {
    const packed = packingOf(level).pack(jsonText(body));

    expect(packed instanceof Promise).toBe(!isAtOnce);
    const kept = await packed;
    expect(kept.encoding).toBe(encoding);
    expect(kept.bytes.length < kept.sizeBytes).toBe(encoding === 'zstd');
    expect(bodyOf(kept) instanceof Promise).toBe(!isAtOnce);
  });

  test.each([0, 3])('packed at level %d is told by its beginning without the rest of it', async (level) => {
    // Hardly shorter when it is packed.
    const digits = Array.from({ length: 40_000 }, (_, at) => hash('sha256', `${at}`, 'base64')).join('🚢');
    const whole = JSON.stringify({ digits });
    const kept = await packingOf(level).pack(whole);
    const cut = { ...kept, bytes: kept.bytes.subarray(0, kept.bytes.length / 2) };

    for (const length of [1, 53, 2_000])
      // oxlint-disable-next-line no-await-in-loop -- three
      expect(await beginningOf(cut, length)).toBe(whole.slice(0, length).toWellFormed());
    expect(await beginningOf(await packingOf(level).pack('{"a":1}'), 100)).toBe('{"a":1}');
  });

  test('that is longer than 10 MB is refused', () => {
    expect(() => packingOf(3).pack(jsonText('x'.repeat(mostBodyBytes - 1)))).toThrow(
      expect.objectContaining({ code: 'too_large' }),
    );
  });
});

test.each([{ a: 'x\ud800' }, { 'x\udc00': 1 }, ['\udc00\ud800']])(
  'A body with half a character is refused: %j',
  (body) => {
    expect(() => packingOf(3).pack(jsonText(body))).toThrow(
      expect.objectContaining({ code: 'invalid_input' }),
    );
  },
);

test.each(['\\ud800', '\\\\ud800', '\\\\\\udfff 🚢'])(
  'A body that tells of half a character is taken: %j',
  async (told) => {
    expect(await bodyOf(await packingOf(3).pack(jsonText({ told })))).toEqual({ told });
  },
);

describe('A body that its sender has packed', () => {
  const body = { text: text(5_000), n: [1, 2, { three: null }] };
  const json = Buffer.from(JSON.stringify(body));
  const packs = {
    gzip: (bytes: Uint8Array) => gzipSync(bytes, { level: 1 }),
    zstd: (bytes: Uint8Array) => zstdCompressSync(bytes),
    json: (bytes: Uint8Array) => Buffer.from(bytes),
  };
  const handedOver = (
    encoding: PackedBody['encoding'],
    bytes: Uint8Array,
    sizeBytes = bytes.length,
  ): PackedBody => ({ encoding, data: packs[encoding](bytes).toString('base64'), size_bytes: sizeBytes });

  test.each(['gzip', 'zstd', 'json'] as const)('with %s is unpacked', async (encoding) => {
    const long = Buffer.from(JSON.stringify({ long: text(300_000) }));

    expect(await unpackedBody(packedBodyField.parse(handedOver(encoding, json)))).toEqual(body);
    expect(await unpackedBody(handedOver(encoding, long))).toEqual(JSON.parse(long.toString()));
  });

  const bomb = Buffer.alloc(100_000_000, 0x20);

  test.each(['gzip', 'zstd'] as const)(
    'with %s to more than it says is refused before it takes memory',
    async (encoding) => {
      const data = packs[encoding](bomb).toString('base64');
      const before = process.memoryUsage.rss();

      for (const sizeBytes of [1_000, mostBodyBytes])
        await expect(unpackedBody({ encoding, data, size_bytes: sizeBytes })).rejects.toThrow(
          `unpacks to more than the ${sizeBytes} bytes`,
        );
      expect(process.memoryUsage.rss() - before).toBeLessThan(bomb.length / 2);
    },
  );

  test('with a window of 128 MB is refused', async () => {
    // A frame whose header asks for a window of 2^27 bytes, with one raw block of one byte.
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x09, 0x00, 0x00, 0x35]);
    const modest = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (24 - 10) << 3, 0x09, 0x00, 0x00, 0x35]);

    expect(await unpackedBody({ encoding: 'zstd', data: modest.toString('base64'), size_bytes: 1 })).toBe(5);
    await expect(
      unpackedBody({ encoding: 'zstd', data: frame.toString('base64'), size_bytes: 1 }),
    ).rejects.toThrow('is not packed with zstd');
  });

  test.each<[string, PackedBody, string, RegExp]>([
    [
      'shorter than it says',
      handedOver('gzip', json, json.length + 1),
      'invalid_input',
      /unpacks to \d+ bytes/,
    ],
    ['longer than it says, not packed', handedOver('json', json, 5), 'invalid_input', /unpacks to \d+ bytes/],
    ['longer than is allowed', handedOver('json', json, mostBodyBytes + 1), 'too_large', /are allowed/],
    [
      'packed in another way',
      { ...handedOver('gzip', json), encoding: 'zstd' },
      'invalid_input',
      /not packed with zstd/,
    ],
    [
      'packed in yet another way',
      { ...handedOver('json', json), encoding: 'gzip' },
      'invalid_input',
      /not packed with gzip/,
    ],
    [
      'cut',
      { encoding: 'gzip', data: gzipSync(json).subarray(0, -9).toString('base64'), size_bytes: json.length },
      'invalid_input',
      /not whole/,
    ],
    [
      'cut, with zstd',
      {
        encoding: 'zstd',
        data: zstdCompressSync(json).subarray(0, -9).toString('base64'),
        size_bytes: json.length,
      },
      'invalid_input',
      /not whole|unpacks to/,
    ],
    [
      'followed by something else',
      {
        encoding: 'gzip',
        data: Buffer.concat([gzipSync(json), Buffer.from('more')]).toString('base64'),
        size_bytes: json.length,
      },
      'invalid_input',
      /not packed with gzip/,
    ],
    ['no base64', { encoding: 'json', data: 'not base64!', size_bytes: 6 }, 'invalid_input', /no base64/],
    ['no JSON', handedOver('gzip', Buffer.from('{"a":')), 'invalid_input', /no JSON/],
    ['of a number that is none', handedOver('gzip', Buffer.from('{"a":[1e999]}')), 'invalid_input', /1e999/],
    ['no UTF-8', handedOver('zstd', Buffer.from([0x22, 0xff, 0x22])), 'invalid_input', /no JSON/],
    [
      'too complex',
      handedOver('zstd', Buffer.from(`[${'0,'.repeat(100_001)}0]`)),
      'too_large',
      /keys and values/,
    ],
  ])('is refused when it is %s', async (_, given, code, words) => {
    await expect(unpackedBody(given)).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
  });

  test.each([
    {},
    { encoding: 'brotli', data: 'eA==', size_bytes: 1 },
    { encoding: 'json', data: '', size_bytes: 1 },
    { encoding: 'json', data: 'eA==', size_bytes: 0 },
    { encoding: 'json', data: 'eA==', size_bytes: 1.5 },
    { encoding: 'json', data: 'eA==', size_bytes: 1, more: 1 },
  ])('%j is not taken for one', (given) => {
    expect(packedBodyField.safeParse(given).success).toBe(false);
  });
});
