/** The receiving end of `runtime/data/snapshot.ts`: believes nothing that it has not counted and hashed itself. */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { DamagedDataError } from '#runtime/errors.ts';
import { frameSchema, type Held } from '#runtime/data/snapshot.ts';

import { isSafePath } from './manifest.ts';

export interface ReceivedFile {
  /** Inside the folder. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly isDatabase: boolean;
  /** It was not sent, for we have it. */
  readonly isHeld: boolean;
}

const longestLineBytes = 64 * 1024;

/**
 * Writes the files of a snapshot into a new folder. `told` hears what is going on.
 *
 * @throws DamagedDataError when the stream is not whole, or says itself why it broke off.
 */
export async function receiveSnapshot(
  stream: AsyncIterable<Uint8Array>,
  folder: string,
  told: (path: string, receivedBytes: number) => void,
  held: Held = new Map(),
): Promise<readonly ReceivedFile[]> {
  const input = new Input(stream);
  const files: ReceivedFile[] = [];
  let receivedBytes = 0;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (;;) {
    const frame = await input.frame();
    if (frame.kind === 'failed') throw new DamagedDataError(frame.reason);
    if (frame.kind === 'working') told(frame.path, receivedBytes);
    if (frame.kind === 'end') {
      if (frame.files !== files.length) throw broken(`${files.length} of ${frame.files} files came`);
      await input.end(); // the owner has cleaned up by then
      return files;
    }
    if (frame.kind === 'hash') throw broken('a hash without its file');
    if (frame.kind === 'held') {
      const { path, bytes, sha256 } = frame;
      if (held.get(path) !== sha256) throw broken(`it has no ${JSON.stringify(path)}, which is not held`);
      files.push({ path, bytes, sha256, isDatabase: false, isHeld: true });
    }
    if (frame.kind !== 'file') continue;
    const { path, bytes, isDatabase } = frame;
    if (!isSafePath(path)) throw broken(`it has a file at ${JSON.stringify(path)}`);
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    const hash = createHash('sha256');
    {
      await using handle = await open(target, 'wx', 0o600);
      for await (const chunk of input.bytes(bytes)) {
        hash.update(chunk);
        await handle.writeFile(chunk);
        receivedBytes += chunk.length;
        told(path, receivedBytes);
      }
    }
    const sha256 = hash.digest('hex');
    const closing = await input.frame();
    if (closing.kind === 'failed') throw new DamagedDataError(closing.reason);
    if (closing.kind !== 'hash' || closing.sha256 !== sha256) throw broken(`${path} came changed`);
    files.push({ path, bytes, sha256, isDatabase, isHeld: false });
  }
}

function broken(what: string): DamagedDataError {
  return new DamagedDataError(`The snapshot is not whole: ${what}.`);
}

/** Lines and bytes in turn, from chunks of any size. */
class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffered: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async #more(): Promise<Buffer> {
    const { done, value } = await this.#chunks.next();
    if (done) throw broken('it ends too early');
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }

  async frame() {
    let end = this.#buffered.indexOf(0x0a);
    while (end < 0) {
      if (this.#buffered.length > longestLineBytes) throw broken('it is no stream of ours');
      this.#buffered = Buffer.concat([this.#buffered, await this.#more()]);
      end = this.#buffered.indexOf(0x0a);
    }
    const text = this.#buffered.subarray(0, end).toString('utf8');
    this.#buffered = this.#buffered.subarray(end + 1);
    try {
      return frameSchema.parse(JSON.parse(text));
    } catch {
      throw broken('it is no stream of ours');
    }
  }

  async end(): Promise<void> {
    const { done } = await this.#chunks.next();
    if (!done || this.#buffered.length > 0) throw broken('it goes on after its end');
  }

  async *bytes(count: number): AsyncGenerator<Buffer, void> {
    for (let left = count; left > 0;) {
      const chunk = this.#buffered.length > 0 ? this.#buffered : await this.#more();
      const part = chunk.subarray(0, left);
      this.#buffered = chunk.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }
}
