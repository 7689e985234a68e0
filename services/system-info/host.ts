/** The machine as its kernel shows it in files. They are read below a root, so that a test can put another machine there. */
import { readdirSync, readFileSync, readlinkSync, statSync, type StatsFs } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';

export interface Host {
  /** Empty for this machine. */
  readonly root: string;
  /** How full a file system is. */
  readonly statfs: (
    path: string,
  ) => Promise<Pick<StatsFs, 'bsize' | 'blocks' | 'bfree' | 'bavail' | 'files' | 'ffree'>>;
  /** The number of the device that a path lies on, as `major:minor`. */
  readonly deviceOf: (path: string) => string;
  /** Folders in which programs of the host lie. */
  readonly programs: readonly string[];
}

export const thisMachine: Host = {
  root: '',
  statfs,
  deviceOf: (path) => deviceNumber(statSync(path).dev),
  programs: ['/usr/bin', '/bin'],
};

/** As glibc takes a device number apart. */
function deviceNumber(device: number): string {
  const bits = BigInt(device);
  const major = ((bits >> 8n) & 0xf_ffn) | ((bits >> 32n) & 0xff_ff_f0_00n);
  const minor = (bits & 0xffn) | ((bits >> 12n) & 0xff_ff_ff_00n);
  return `${major}:${minor}`;
}

/** A figure that cannot be had, and why. */
export class Absent extends Error {
  override readonly name = 'Absent';
  readonly remedy: string | undefined;

  constructor(reason: string, remedy?: string) {
    super(reason);
    this.remedy = remedy;
  }
}

/** @throws Absent with the reason in words. */
export function readText({ root }: Host, path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (error) {
    throw absent(path, error);
  }
}

/** For files that take their time: the kernel asks a device, or each processor. @throws Absent. */
export async function readSlowText({ root }: Host, path: string): Promise<string> {
  try {
    return await readFile(join(root, path), 'utf8');
  } catch (error) {
    throw absent(path, error);
  }
}

/** Nothing, after a time: for a race with what may never answer. */
export async function later(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), ms).unref();
  });
}

/** The names in a folder, in order. @throws Absent. */
export function readNames({ root }: Host, path: string): string[] {
  try {
    return readdirSync(join(root, path)).toSorted();
  } catch (error) {
    throw absent(path, error);
  }
}

/** The last part of where a link leads. @throws Absent. */
export function readLink({ root }: Host, path: string): string {
  try {
    return readlinkSync(join(root, path));
  } catch (error) {
    throw absent(path, error);
  }
}

/** @throws Absent, also for what is no number. */
export function readNumber(host: Host, path: string): number {
  const text = readText(host, path).trim();
  const number = Number(text);
  if (text === '' || !Number.isFinite(number)) throw new Absent(`${path} holds no number`);
  return number;
}

/** For what many machines do not have, so that its absence says nothing. */
export function optional<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Absent) return undefined;
    throw error;
  }
}

const isOf = (...codes: readonly string[]) => new Set(codes);
const missing = isOf('ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'ESRCH');
const denied = isOf('EACCES', 'EPERM');
const unsupported = isOf('EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'ENODATA');

function absent(path: string, error: unknown): Absent {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException;
  if (missing.has(code)) return new Absent(`${path} is not there`);
  if (denied.has(code)) return new Absent(`this service may not read ${path}`);
  if (unsupported.has(code)) return new Absent(`the kernel does not say it: ${path} gives ${code}`);
  return new Absent(`${path} cannot be read (${code})`);
}

export interface Gap {
  readonly field: string;
  readonly reason: string;
  readonly remedy?: string | undefined;
}

/** What is missing from an answer, with the reasons: it goes out as `unavailable`. */
export class Gaps {
  readonly #list: Gap[] = [];

  /** What `read` finds; where it is absent, the reason is kept, and nothing is returned. */
  of<Value>(field: string, read: () => Value): Value | undefined {
    try {
      return read();
    } catch (error) {
      this.#take(field, error);
      return undefined;
    }
  }

  async later<Value>(field: string, read: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await read();
    } catch (error) {
      this.#take(field, error);
      return undefined;
    }
  }

  add(field: string, reason: string, remedy?: string): void {
    this.#list.push({ field, reason, ...(remedy !== undefined && { remedy }) });
  }

  /** For the end of an answer: nothing where nothing is missing. */
  get said(): { readonly unavailable?: Gap[] } {
    // What is missing for one reason is told at once.
    const groups = Map.groupBy(this.#list, ({ reason, remedy }) => `${reason}\n${remedy}`);
    const told = [...groups.values()].flatMap(([first, ...more]) =>
      first ? [{ ...first, field: [first, ...more].map(({ field }) => field).join(', ') }] : [],
    );
    return told.length === 0 ? {} : { unavailable: told };
  }

  #take(field: string, error: unknown): void {
    if (!(error instanceof Absent)) throw error;
    this.add(field, error.message, error.remedy);
  }
}

/** The lines of a text without the empty ones. */
export const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** Control characters of others would act on a terminal. Line ends and tabs stay. */
export const printable = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (control) => (control === '\n' || control === '\t' ? control : ' '));

export const round = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** A share in percent; `undefined` of nothing. */
export const percentOf = (part: number, whole: number): number | undefined =>
  whole > 0 ? round((100 * part) / whole) : undefined;
