/** The only importer of tar and age: a folder into one file and back, believing nothing that the file says. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';

import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { create, Parser, type ReadEntry } from 'tar';
import { z } from 'zod';

import { ConfigError, DamagedDataError, exitOf, UnavailableError } from '#runtime/errors.ts';

import { manifestName, manifestSchema, signatureName, type Manifest, type ManifestFile } from './manifest.ts';
import { signerOf } from './signature.ts';

/** Hears how many bytes have been worked on. */
export type Told = (bytes: number) => void;

type Bytes = AsyncIterable<Uint8Array>;

const ageMagic = 'age-encryption.org/v1';
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const zstdLevel = 3;
const longestManifestBytes = 32 * 1024 * 1024;
const longestSignatureBytes = 1_024;
const tarBlockBytes = 512;
/** What a tar ends with. */
const tarEndBytes = 2 * tarBlockBytes;
const slackBytes = 64 * 1024;
/** What tar adds to a file: headers, a long name, padding. */
const entryBytes = 4_096;

/** A key pair that lives as long as one backup, which it proves: the lasting identity may be far from this host. */
export async function passingKey(): Promise<{ readonly identity: string; readonly recipient: string }> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** @throws ConfigError when nothing can be encrypted to it. */
export function checkRecipient(recipient: string): void {
  try {
    new Encrypter().addRecipient(recipient);
  } catch (cause) {
    throw new ConfigError(`${recipient} is no age recipient: check FLOTILLA_BACKUP_RECIPIENT.`, { cause });
  }
}

/** Identities from a file as `age-keygen` writes it. @throws ConfigError when there is none in it. */
export function readIdentities(file: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ConfigError(`The age identity in ${file} cannot be read: check FLOTILLA_BACKUP_IDENTITY.`, {
      cause,
    });
  }
  const identities = text.split('\n').filter((line) => line.startsWith('AGE-SECRET-KEY-'));
  if (identities.length === 0) throw new ConfigError(`There is no age identity in ${file}.`);
  return identities.map((identity) => identity.trim());
}

interface Packed {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Writes the files into a new archive, which is on disk when this resolves. @returns its hash. */
export async function writeArchive(
  folder: string,
  paths: readonly string[],
  archive: string,
  recipients: readonly string[],
  told: Told,
): Promise<Packed> {
  let packedBytes = 0;
  async function* counted(source: Bytes): Bytes {
    for await (const chunk of source) {
      told((packedBytes += chunk.length));
      yield chunk;
    }
  }
  const tar = Readable.from(create({ cwd: folder, portable: true, noDirRecurse: true }, [...paths]));
  return pack(counted(tar), archive, recipients);
}

/** Packs one file as archives are packed. It is on disk when this resolves. */
export async function packFile(from: string, to: string, recipients: readonly string[]): Promise<Packed> {
  return pack(createReadStream(from), to, recipients);
}

async function pack(source: Bytes, to: string, recipients: readonly string[]): Promise<Packed> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  await pipeline(
    source,
    createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: zstdLevel } }),
    (plain: Bytes) => (recipients.length > 0 ? encrypted(plain, recipients) : plain),
    async function* hashed(packed: Bytes) {
      for await (const chunk of packed) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(to, { flags: 'wx', mode: 0o600, flush: true }),
  );
  return { sizeBytes, sha256: hash.digest('hex') };
}

/**
 * Unpacks a file that was packed alone, which is on disk when this resolves. @returns `false` when no identity opens it.
 *
 * @throws DamagedDataError when it is not what was packed.
 */
export async function unpackFile(
  packed: string,
  { bytes, sha256 }: Pick<ManifestFile, 'bytes' | 'sha256'>,
  identities: readonly string[],
  target: string,
): Promise<boolean> {
  const hash = createHash('sha256');
  const isSealed = await isEncrypted(packed);
  if (isSealed && identities.length === 0) return false;
  let size = 0;
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  try {
    await pipeline(
      createReadStream(packed),
      (source: Bytes) => (isSealed ? decrypted(source, identities) : source),
      createZstdDecompress(),
      async function* checked(source: Bytes) {
        for await (const chunk of source) {
          hash.update(chunk);
          if ((size += chunk.length) > bytes) throw goesOn(packed);
          yield chunk;
        }
      },
      createWriteStream(target, { flags: 'wx', mode: 0o600, flush: true }),
    );
  } catch (error) {
    rmSync(target, { force: true });
    const explained = explain(packed, error);
    if (explained instanceof ConfigError) return false;
    throw explained;
  }
  if (size !== bytes || hash.digest('hex') !== sha256)
    throw new DamagedDataError(`${packed} is damaged: it is not what was packed.`);
  return true;
}

/** The SHA-256 of a file. */
export async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function* encrypted(source: Bytes, recipients: readonly string[]): Bytes {
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  yield* (await encrypter.encrypt(Readable.toWeb(Readable.from(source)))) as unknown as Bytes;
}

async function* decrypted(source: Bytes, identities: readonly string[]): Bytes {
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  yield* (await decrypter.decrypt(Readable.toWeb(Readable.from(source)))) as unknown as Bytes;
}

/** @throws DamagedDataError for a file that is neither. */
export async function isEncrypted(archive: string): Promise<boolean> {
  await using handle = await open(archive, 'r');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(ageMagic.length));
  const head = buffer.subarray(0, bytesRead);
  if (head.toString('latin1') === ageMagic) return true;
  if (head.subarray(0, zstdMagic.length).equals(zstdMagic)) return false;
  throw new DamagedDataError(`${archive} is no backup: it begins with neither zstd's mark nor age's.`);
}

/** What an archive is. */
export interface Unpacked {
  readonly manifest: Manifest;
  /** The public key that signed it; `undefined` for one of an older version, which nobody did. */
  readonly signer: string | undefined;
}

/** What to do with an archive while it is read. */
export interface Unpacking {
  readonly identities: readonly string[];
  /** Where a file goes that is wanted; all are compared with the manifest. */
  readonly target: (file: ManifestFile) => string | undefined;
  /** The folder whose disk must have room for what is wanted. */
  readonly room: string;
  readonly told: Told;
  /** The SHA-256 of the archive as it is noted beside it. */
  readonly noted?: string | undefined;
  /** Sees the manifest before anything is written, and may refuse it by throwing. */
  readonly decide?: (unpacked: Unpacked) => void;
}

/** Not an error, but the end of a reading that wants no more. */
class Peeked extends Error {
  readonly unpacked: Unpacked;

  constructor(unpacked: Unpacked) {
    super('the rest is of no interest');
    this.unpacked = unpacked;
  }
}

/** What an archive says of itself, from its beginning alone: what follows may be damaged. @throws as `unpackArchive` does. */
export async function peekArchive(archive: string, identities: readonly string[]): Promise<Unpacked> {
  const decide = (unpacked: Unpacked) => {
    throw new Peeked(unpacked);
  };
  try {
    return await unpackArchive(archive, {
      identities,
      target: () => undefined,
      room: dirname(archive),
      told: () => {},
      decide,
    });
  } catch (error) {
    if (error instanceof Peeked) return error.unpacked;
    throw error;
  }
}

/**
 * Reads all of an archive, checks every byte against its manifest and writes the wanted files, which are on disk when
 * this resolves. No more is written than the manifest says, and that only where there is room for it.
 *
 * @throws DamagedDataError that says what is wrong with the archive; ConfigError when no identity opens it.
 */
export async function unpackArchive(archive: string, unpacking: Unpacking): Promise<Unpacked> {
  const { identities, noted } = unpacking;
  const isSealed = await isEncrypted(archive);
  if (isSealed && identities.length === 0) {
    throw new ConfigError(`${archive} is encrypted: name the identity's file in FLOTILLA_BACKUP_IDENTITY.`);
  }
  const unpacker = new Unpacker(archive, unpacking);
  const hash = createHash('sha256');
  const decompressor = createZstdDecompress();
  let packedBytes = 0;
  try {
    await pipeline(
      createReadStream(archive),
      async function* hashed(source: Bytes) {
        for await (const chunk of source) {
          hash.update(chunk);
          yield chunk;
        }
      },
      (source: Bytes) => (isSealed ? decrypted(source, identities) : source),
      async function* counted(source: Bytes) {
        for await (const chunk of source) {
          packedBytes += chunk.length;
          yield chunk;
        }
      },
      decompressor,
      async (source: Bytes) => unpacker.read(source),
    );
  } catch (error) {
    await unpacker.settled();
    throw explain(archive, error);
  }
  if (decompressor.bytesWritten < packedBytes) throw goesOn(archive);
  if (noted !== undefined && hash.digest('hex') !== noted) {
    throw new DamagedDataError(
      `${archive} is not the file that was written: it has another SHA-256 than the note beside it.`,
    );
  }
  return unpacker.finished();
}

/** Thrown to whoever writes an entry when the reading has ended with an error, which says more. */
const brokenOff = new Error('the reading of the archive has ended');

const goesOn = (archive: string) =>
  new DamagedDataError(`${archive} is damaged: something follows after its end.`);

function explain(archive: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Peeked || exitOf(error)) return error;
  if ('syscall' in error) return error; // a full disk, say: the archive may be well
  if (/no identity matched/i.test(error.message)) {
    return new ConfigError(`The identity in FLOTILLA_BACKUP_IDENTITY does not open ${archive}.`);
  }
  // The decompressor had come to an end, and took no more.
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ABORT_ERR' || code === 'ERR_STREAM_PREMATURE_CLOSE') return goesOn(archive);
  return new DamagedDataError(`${archive} is damaged: ${error.message}.`, {
    cause: error,
  });
}

class Unpacker {
  readonly #archive: string;
  readonly #unpacking: Unpacking;
  readonly #due = new Map<string, ManifestFile>();
  #manifest: { readonly text: Buffer; readonly value: Manifest } | undefined;
  /** Once it is known who made it. */
  #unpacked: Unpacked | undefined;
  #reading: Promise<void> | undefined;
  #entry: ReadEntry | undefined;
  #work: Promise<void> = Promise.resolve();
  /** What is wrong with an entry: says more than what the parser finds after it. */
  #refusal: unknown;
  /** Nothing more is taken. */
  #isOver = false;
  #readBytes = 0;
  /** What its entries come to. */
  #tarBytes = tarEndBytes;
  /** What decompression may give: a few bytes can stand for terabytes. */
  #mostBytes = longestManifestBytes + slackBytes;

  constructor(archive: string, unpacking: Unpacking) {
    this.#archive = archive;
    this.#unpacking = unpacking;
  }

  async read(source: Bytes): Promise<void> {
    this.#reading = this.#read(source);
    return this.#reading;
  }

  /** Resolves when no file is open any more, however the reading went. */
  async settled(): Promise<void> {
    await this.#reading?.catch(() => {});
  }

  async #read(source: Bytes): Promise<void> {
    const parser = new Parser({
      strict: true,
      onReadEntry: (entry) => {
        // The parser shows the next entry when this one has been read to its end.
        this.#entry = entry;
        entry.on('error', () => {}); // whoever reads it hears of it, but somebody has to listen while nobody reads
        this.#tarBytes += tarBlockBytes + entry.startBlockSize;
        this.#work = this.#work
          .then(async () => (this.#isOver ? entry.resume() : this.#take(entry)))
          .catch((error: unknown) => {
            if (error !== brokenOff) this.#refusal ??= error;
            entry.resume();
          });
      },
    });
    // Of long names.
    parser.on('meta', (text: string) => {
      this.#tarBytes += tarBlockBytes + Math.ceil(Buffer.byteLength(text) / tarBlockBytes) * tarBlockBytes;
    });
    const ended = once(parser, 'end');
    ended.catch(() => {}); // it is awaited below, unless something else is wrong before
    try {
      for await (const chunk of source) {
        this.#unpacking.told((this.#readBytes += chunk.length));
        if (this.#readBytes > this.#mostBytes)
          throw this.#damaged('there is more in it than its manifest says');
        if (!parser.write(chunk)) await this.#room(parser);
        if (this.#refusal !== undefined) throw this.#refusal;
      }
      parser.end();
      await ended;
      await this.#work;
    } catch (error) {
      this.#isOver = true;
      this.#entry?.destroy(error);
      // Its end may show the parser's next entry, which is then waited for as well.
      for (let work; work !== this.#work;) await (work = this.#work);
      throw this.#refusal ?? error;
    }
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  /** Resolves when the parser wants more, or when nobody is reading from it. */
  async #room(parser: Parser): Promise<void> {
    const waiting = new AbortController();
    const drained = once(parser, 'drain', { signal: waiting.signal }).catch(() => {});
    await Promise.race([drained, this.#work]);
    waiting.abort();
  }

  finished(): Unpacked {
    if (!this.#unpacked) throw this.#damaged('it has no manifest, or it is not signed');
    const [lost] = this.#due.keys();
    if (lost !== undefined) throw this.#damaged(`${lost} is missing from it`);
    if (this.#readBytes !== this.#tarBytes) throw goesOn(this.#archive);
    return this.#unpacked;
  }

  #damaged(what: string): DamagedDataError {
    return new DamagedDataError(`${this.#archive} is damaged: ${what}.`);
  }

  async #take(entry: ReadEntry): Promise<void> {
    const { path, type, size } = entry;
    const shown = JSON.stringify(path);
    if (type !== 'File' && type !== 'OldFile') throw this.#damaged(`${shown} is no plain file but a ${type}`);
    if (!this.#manifest) {
      if (path !== manifestName) throw this.#damaged(`it begins with ${shown} where its manifest is due`);
      if (size > longestManifestBytes) throw this.#damaged('its manifest is too long');
      this.#manifest = await this.#readManifest(entry);
      if (this.#manifest.value.format === 1) this.#begin(this.#manifest.value, undefined);
      return;
    }
    if (!this.#unpacked) {
      if (path !== signatureName) throw this.#damaged(`it has ${shown} where its signature is due`);
      if (size > longestSignatureBytes) throw this.#damaged('its signature is too long');
      const signer = signerOf(this.#manifest.text, (await textOf(entry)).toString('utf8'));
      if (signer === undefined) throw this.#damaged('its signature is none over its manifest');
      this.#begin(this.#manifest.value, signer);
      return;
    }
    const due = this.#due.get(path);
    if (!due) throw this.#damaged(`its manifest has no ${shown}, or has it once`);
    this.#due.delete(path);
    if (size !== due.bytes) throw this.#damaged(`${path} has ${size} bytes where ${due.bytes} are due`);
    const sha256 = await hashAndWrite(entry, this.#unpacking.target(due));
    if (sha256 !== due.sha256) throw this.#damaged(`${path} is not what was written (its SHA-256 differs)`);
  }

  async #readManifest(entry: ReadEntry) {
    const text = await textOf(entry);
    try {
      return { text, value: manifestSchema.parse(JSON.parse(text.toString('utf8'))) };
    } catch (error) {
      const [issue] = error instanceof z.ZodError ? error.issues : [];
      throw this.#damaged(`its manifest cannot be understood${issue ? `: it ${issue.message}` : ''}`);
    }
  }

  #begin(manifest: Manifest, signer: string | undefined): void {
    const { room, target, decide } = this.#unpacking;
    decide?.({ manifest, signer });
    this.#unpacked = { manifest, signer };
    this.#mostBytes =
      this.#readBytes + sumOf(manifest.files) + manifest.files.length * entryBytes + slackBytes;
    for (const file of manifest.files) if (!file.apart) this.#due.set(file.path, file);
    const neededBytes = sumOf(manifest.files.filter((file) => target(file) !== undefined));
    const { bavail, bsize } = statfsSync(room);
    if (neededBytes > bavail * bsize) {
      throw new UnavailableError(
        `${this.#archive} needs ${neededBytes} bytes, and there are ${bavail * bsize} free in ${room}.`,
      );
    }
  }
}

async function textOf(entry: ReadEntry): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of entry) parts.push(part);
  return Buffer.concat(parts);
}

const sumOf = (files: readonly ManifestFile[]) => files.reduce((sum, { bytes }) => sum + bytes, 0);

/** @returns the hash of what came, which is on disk then where a target is given. */
async function hashAndWrite(entry: ReadEntry, target: string | undefined): Promise<string> {
  const hash = createHash('sha256');
  if (target !== undefined) mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  await using handle = target === undefined ? undefined : await open(target, 'wx', 0o600);
  for await (const part of entry) {
    hash.update(part);
    await handle?.writeFile(part);
    // Meanwhile: a reader that comes afterwards would wait for ever.
    if (entry.destroyed) throw brokenOff;
  }
  await handle?.sync();
  return hash.digest('hex');
}
