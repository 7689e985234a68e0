/** Bodies as they are kept: JSON, packed where that is shorter; and bodies that senders hand over packed. */
import { createHash, hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  constants,
  createZstdDecompress,
  gunzip,
  gunzipSync,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
  type ZstdOptions,
} from 'node:zlib';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { isDeeper } from '#runtime/depth.ts';
import { jsonPieces } from '#runtime/json-text.ts';
import { hasEndlessNumber } from '#runtime/numbers.ts';
import { isTooComplex, mostOfCalls } from '#runtime/wire/complexity.ts';

import { deepestBody, mostBodyBytes } from './limits.ts';
import type { Packed } from './message.ts';

/** Shorter ones are hardly made shorter. */
const packedFromBytes = 1_024;
/** What is longer is packed by another thread. */
const mostAtOnceBytes = 65_536;
/** What a frame may ask for in memory beside its content, as a power of two: 16 MB. */
const largestWindowLog = 24;

/** Some milliseconds of work. */
const hashedAtOnceBytes = 1_048_576;

const compressed = promisify(zstdCompress);
const decompressed = promisify(zstdDecompress);
const gunzipped = promisify(gunzip);

export type Packing = ReturnType<typeof packingOf>;

/** @param level of zstd: the higher, the smaller and slower; 0 packs nothing. */
export function packingOf(level: number) {
  return {
    /**
     * At once for short bodies.
     *
     * @throws ToolError too_large.
     */
    pack(json: string): Packed | Promise<Packed> {
      const bytes = Buffer.from(json);
      const sizeBytes = bytes.length;
      if (sizeBytes > mostBodyBytes) throw tooLarge(sizeBytes);
      const plain: Packed = { encoding: 'json', bytes, sizeBytes };
      if (level === 0 || sizeBytes < packedFromBytes) return plain;
      const options: ZstdOptions = {
        params: { [constants.ZSTD_c_compressionLevel]: level },
        pledgedSrcSize: sizeBytes,
      };
      const shorter = (packed: Uint8Array): Packed =>
        packed.length < sizeBytes ? { encoding: 'zstd', bytes: packed, sizeBytes } : plain;
      return sizeBytes <= mostAtOnceBytes
        ? shorter(zstdCompressSync(bytes, options))
        : compressed(bytes, options).then(shorter);
    },
  };
}

/** Whether to walk through it once more holds the loop for long: each walk is a turn of its own then. */
export const isLong = (json: string): boolean => json.length > mostAtOnceBytes;

/** @throws ToolError invalid_input for what could not be given back. */
export async function bodyText(value: unknown): Promise<string> {
  requireFlat(value);
  let text = '';
  for (const piece of jsonPieces(value)) {
    if (isLong(piece)) await setImmediate(); // oxlint-disable-line no-await-in-loop -- others are served between them
    text += piece;
  }
  if (isLong(text)) await setImmediate();
  requireWhole(text);
  return text;
}

/** SHA-256 of two texts, one after the other: a long one in pieces. */
export function digestOf(said: string, json: string): string | Promise<string> {
  return isLong(json) ? digestOfLong(said, json) : hash('sha256', said + json, 'base64url');
}

async function digestOfLong(said: string, json: string): Promise<string> {
  const digest = createHash('sha256').update(said);
  const bytes = Buffer.from(json);
  for (let at = 0; at < bytes.length; at += hashedAtOnceBytes) {
    digest.update(bytes.subarray(at, at + hashedAtOnceBytes));
    await setImmediate(); // oxlint-disable-line no-await-in-loop -- others are served between them
  }
  return digest.digest('base64url');
}

/** @throws ToolError invalid_input for what could not be given back. */
export function jsonText(value: unknown): string {
  requireFlat(value);
  const text = JSON.stringify(value);
  requireWhole(text);
  return text;
}

/** Whoever is given what is nested deeper may fail at it, and with it at all that comes beside it. */
function requireFlat(value: unknown): void {
  if (isDeeper(value, deepestBody))
    throw new ToolError(
      'invalid_input',
      `It has lists and objects that lie in each other more than ${deepestBody} times.`,
      {
        hint: 'Send it flatter, or as a text.',
      },
    );
}

function requireWhole(text: string): void {
  if (hasHalfCharacter(text))
    throw new ToolError('invalid_input', 'It has text that is not well-formed Unicode: half of a character.');
}

const backslash = 0x5c;
const nearCharacters = 64;

/** JSON writes half a character as an escape that begins with `ud`, and nothing else. Where one escape is, others are often near. */
function hasHalfCharacter(json: string): boolean {
  for (let at = json.indexOf('\\'); at >= 0; at = json.indexOf('\\', at)) {
    for (const until = at + nearCharacters; at < until; at += 1) {
      if (json.charCodeAt(at) !== backslash) continue;
      if (json[at + 1] === 'u' && json[at + 2] === 'd') return true;
      at += 1;
    }
  }
  return false;
}

/** The body as JSON; at once for short ones. */
export function jsonOf({ encoding, bytes, sizeBytes }: Packed): string | Promise<string> {
  if (encoding === 'json') return textOf(bytes);
  const options = { maxOutputLength: sizeBytes };
  return sizeBytes <= mostAtOnceBytes
    ? textOf(zstdDecompressSync(bytes, options))
    : decompressed(bytes, options).then(textOf);
}

/** How the JSON of a body begins. No more is unpacked than that takes. */
export async function beginningOf({ encoding, bytes }: Packed, length: number): Promise<string> {
  // No character takes more.
  const enough = 4 * length;
  const parts: Uint8Array[] = [];
  if (encoding === 'json') parts.push(bytes.subarray(0, enough));
  else {
    const unpacking = createZstdDecompress();
    unpacking.end(bytes);
    let size = 0;
    for await (const part of unpacking as AsyncIterable<Uint8Array>) {
      parts.push(part);
      if ((size += part.length) >= enough) break;
    }
  }
  return Buffer.concat(parts).toString().slice(0, length).toWellFormed();
}

/** The body itself; at once for short ones. */
export function bodyOf(packed: Packed): unknown {
  const json = jsonOf(packed);
  return typeof json === 'string' ? JSON.parse(json) : json.then((text) => JSON.parse(text) as unknown);
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();

export const packedBodyField = z.strictObject({
  encoding: z.enum(['gzip', 'zstd', 'json']).describe('How the JSON was packed; json: not at all.'),
  data: z.string().min(1).describe('In base64.'),
  size_bytes: z.int().min(1).describe('Of the JSON, unpacked.'),
});
export type PackedBody = z.infer<typeof packedBodyField>;

/**
 * The body that a sender has packed. No more is unpacked than it says that there is.
 *
 * @throws ToolError invalid_input, or too_large.
 */
export async function unpackedBody({ encoding, data, size_bytes: sizeBytes }: PackedBody): Promise<unknown> {
  if (sizeBytes > mostBodyBytes) throw tooLarge(sizeBytes);
  const packed = bytesOfBase64(data);
  const bytes = await unpack(encoding, packed, sizeBytes);
  if (bytes.length !== sizeBytes)
    throw wrong(`unpacks to ${bytes.length} bytes, where size_bytes says ${sizeBytes}`);
  const isLong = sizeBytes > mostAtOnceBytes;
  // Each step of a long one in a turn of its own.
  if (isLong) await setImmediate();
  if (isTooComplex(bytes))
    throw new ToolError('too_large', `The body has more than ${mostOfCalls} keys and values.`);
  if (isLong) await setImmediate();
  let body: unknown;
  try {
    body = JSON.parse(strictText.decode(bytes));
  } catch {
    throw wrong('is no JSON in UTF-8 when it is unpacked');
  }
  if (hasEndlessNumber(body)) throw wrong('has a number that is too large to be one, such as 1e999');
  return body;
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

async function unpack(
  encoding: PackedBody['encoding'],
  packed: Buffer,
  sizeBytes: number,
): Promise<Uint8Array> {
  if (encoding === 'json') return packed;
  const isShort = sizeBytes <= mostAtOnceBytes && packed.length <= mostAtOnceBytes;
  const bounds = { maxOutputLength: sizeBytes, rejectGarbageAfterEnd: true };
  try {
    if (encoding === 'gzip') return await (isShort ? gunzipSync(packed, bounds) : gunzipped(packed, bounds));
    const options = { ...bounds, params: { [constants.ZSTD_d_windowLogMax]: largestWindowLog } };
    return await (isShort ? zstdDecompressSync(packed, options) : decompressed(packed, options));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw wrong(`unpacks to more than the ${sizeBytes} bytes that size_bytes says`);
    throw wrong(`is not packed with ${encoding}, or not whole`);
  }
}

/** Node passes over what is no base64: then there is less than there should be. */
function bytesOfBase64(data: string): Buffer {
  const bytes = Buffer.from(data, 'base64');
  const digits = data.length - (data.endsWith('==') ? 2 : data.endsWith('=') ? 1 : 0);
  if (bytes.length !== Math.floor((digits * 3) / 4)) throw wrong('is no base64');
  return bytes;
}

const wrong = (what: string) =>
  new ToolError('invalid_input', `The data of the packed body ${what}.`, {
    hint: 'Pack the JSON of the body with gzip or zstd, write that in base64, and say how long the JSON is; or send the body itself.',
  });

const tooLarge = (sizeBytes: number) =>
  new ToolError('too_large', `The body has ${sizeBytes} bytes of JSON; ${mostBodyBytes} are allowed.`, {
    hint: 'Store it elsewhere, and send where it is.',
  });
