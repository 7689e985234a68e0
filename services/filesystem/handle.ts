/**
 * What is held open, to look at and to read. A disk of this host answers at once, and asking it directly costs a tenth of
 * what asking through a thread of Node's pool does; anything else is asked through the pool, where waiting holds up nobody
 * but those who ask too. Contents are read directly only where they are small.
 */
import * as fs from 'node:fs';

import { smallFileBytes } from './limits.ts';
import { isLocal } from './mounts.ts';

/** Linux's O_PATH, which Node does not name: a descriptor to look at and go on from. It opens no device and waits for no pipe. */
const O_PATH = 0o10000000;
export const asFolder = O_PATH | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW;
export const asAnything = O_PATH | fs.constants.O_NOFOLLOW;

/** At once where it is local: a promise costs as much as the question. */
export type Now<Value> = Value | Promise<Value>;

export class Handle implements Disposable, AsyncDisposable {
  readonly fd: number;
  /** Where it was when it was opened, without links. */
  readonly path: string;
  readonly isLocal: boolean;

  constructor(fd: number, path: string, isLocal: boolean) {
    this.fd = fd;
    this.path = path;
    this.isLocal = isLocal;
  }

  stat(): Now<fs.Stats> {
    return this.isLocal ? fs.fstatSync(this.fd) : asked((done) => fs.fstat(this.fd, done));
  }

  preciseStat(): Now<fs.BigIntStats> {
    return this.isLocal
      ? fs.fstatSync(this.fd, { bigint: true })
      : asked((done) => fs.fstat(this.fd, { bigint: true }, done));
  }

  /** How many bytes there were. Through the pool, so that others are served meanwhile, where it is much. */
  read(buffer: Buffer, position: number): Now<number> {
    return this.isLocal && buffer.length <= smallFileBytes + 1
      ? fs.readSync(this.fd, buffer, 0, buffer.length, position)
      : this.readInPool(buffer, position);
  }

  async readInPool(buffer: Buffer, position: number): Promise<number> {
    return asked((done) => fs.read(this.fd, buffer, 0, buffer.length, position, done));
  }

  /** All of it, through the pool: it may have to wait for the disk. */
  async write(contents: Uint8Array): Promise<void> {
    for (let from = 0; from < contents.length;) {
      const start = from;
      // oxlint-disable-next-line no-await-in-loop -- one part after the other
      from += await asked<number>((done) => fs.write(this.fd, contents, start, done));
    }
  }

  /** @throws what the system says. */
  async chown(uid: number, gid: number): Promise<void> {
    return asked<void>((done) => fs.fchown(this.fd, uid, gid, done));
  }

  /** Waits for the disk. */
  async sync(): Promise<void> {
    return asked<void>((done) => fs.fsync(this.fd, done));
  }

  close(): Now<void> {
    return this.isLocal ? fs.closeSync(this.fd) : asked<void>((done) => fs.close(this.fd, done));
  }

  /** For one that is local. */
  [Symbol.dispose](): void {
    fs.closeSync(this.fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * @param place where that is, without links: what decides how it is asked for.
 * @param above the folder that it lies in.
 */
export function openHandle(path: string | Buffer, flags: number, place: string, above?: Handle): Now<Handle> {
  return isLocal(place, above)
    ? new Handle(fs.openSync(path, flags), place, true)
    : asked<number>((done) => fs.open(path, flags, done)).then((fd) => new Handle(fd, place, false));
}

/** Makes a file, through the pool. */
export async function makeFile(path: string, mode: number, place: string, above: Handle): Promise<Handle> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  return new Handle(
    await asked<number>((done) => fs.open(path, flags, mode, done)),
    place,
    isLocal(place, above),
  );
}

/** What `openHandle` does where it is local and can be opened; otherwise nothing. */
export function openAtOnce(path: string, flags: number, place: string, above?: Handle): Handle | undefined {
  if (!isLocal(place, above)) return undefined;
  try {
    return new Handle(fs.openSync(path, flags), place, true);
  } catch {
    return undefined;
  }
}

/** Of what has a name in an open folder; nothing when nothing has. Links are not followed. */
export async function statOf(folder: Handle, path: string): Promise<fs.Stats | undefined> {
  return folder.isLocal
    ? fs.lstatSync(path, { throwIfNoEntry: false })
    : askedUnlessMissing((done) => fs.lstat(path, done));
}

export async function preciseStatOf(folder: Handle, path: string): Promise<fs.BigIntStats | undefined> {
  return folder.isLocal
    ? fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    : askedUnlessMissing((done) => fs.lstat(path, { bigint: true }, done));
}

async function askedUnlessMissing<Value>(
  ask: Parameters<typeof asked<Value>>[0],
): Promise<Value | undefined> {
  try {
    return await asked(ask);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function asked<Value>(
  ask: (done: (error: Error | null, value: Value) => void) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    ask((error, value) => {
      if (error) reject(error);
      else resolve(value);
    });
  });
}
