/**
 * Bearer tokens. `<data>/tokens.json` holds names, scopes, expiries and hashes; every process of the fleet reads it, and
 * reads it again when it changes. The secrets themselves are shown once, except the first one, which lies in
 * `<data>/token` for the command line of the same user.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { catalogue, type CatalogueEntry, type Only } from '#config/catalogue.ts';

import { ConfigError, UsageError } from '../errors.ts';
import { removeHalfWritten, writeFileAtomic } from '../files.ts';
import { confirms, type Confirm } from './confirm.ts';
import { ratePattern } from './rate.ts';
import type { Scope } from './scope.ts';

const recordSchema = z.strictObject({
  name: z.string(),
  /** SHA-256 of the secret, hex. The secret has 256 random bits, so that no salt or slow hash is needed. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  scope: z.array(z.string()),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().nullable(),
  /** The tools that it is made for, in the words of choice.ts; all that the scope allows unless given. */
  tools: z.array(z.string()).optional(),
  /** How often it may call through the gateway, like `600/min`. */
  rate: z.string().regex(ratePattern).optional(),
  /** Tokens that an answer through the gateway may have, 0 for any number; as the gateway's setting says unless given. */
  resultTokens: z.int().min(0).optional(),
  /** Which calls through the gateway a person has to agree to; as its setting says unless given. */
  confirm: z.enum(confirms).optional(),
});

/** What a token's `resultTokens` may be, apart from 0. */
export const resultTokens = { least: 1_000, most: 1_000_000, usual: 25_000 };

const fileSchema = z.strictObject({ tokens: z.array(recordSchema) });

export type TokenRecord = z.output<typeof recordSchema>;

/** Who calls: a token's name and what it may use. */
export interface Caller {
  readonly name: string;
  readonly scope: Scope;
  /** The words of its choice of tools; `undefined` for all that the scope allows. */
  readonly tools?: readonly string[] | undefined;
  readonly rate?: string | undefined;
  readonly resultTokens?: number | undefined;
  readonly confirm?: Confirm | undefined;
  /** Of the token's secret: tells a token from a later one of the same name. */
  readonly hash: string;
  /** Of a process of the fleet that asks for itself: the only thing that it may do. @see Signs */
  readonly only?: Only;
}

const registryFile = (dataRoot: string) => join(dataRoot, 'tokens.json');

/** The file with the first token's secret, readable by its owner alone. */
export const firstTokenFile = (dataRoot: string) => join(dataRoot, 'token');

/** @throws ConfigError when the file is not what this program writes. */
export function readTokens(dataRoot: string): readonly TokenRecord[] {
  const file = registryFile(dataRoot);
  if (!existsSync(file)) return [];
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).tokens;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined) {
      throw new ConfigError(`${file} cannot be read (${code}): check its owner and permissions.`, {
        cause: error,
      });
    }
    throw new ConfigError(
      `${file} cannot be read as a list of tokens. Restore it, or remove it to make new tokens.`,
      {
        cause: error,
      },
    );
  }
}

export interface NewToken {
  readonly name: string;
  readonly scope: Scope;
  readonly expiresAt: Date | null;
  readonly tools?: readonly string[] | undefined;
  readonly rate?: string | undefined;
  readonly resultTokens?: number | undefined;
  readonly confirm?: Confirm | undefined;
}

/** @returns the secret, which is kept nowhere. @throws UsageError when the name is taken or is none. */
export async function createToken(dataRoot: string, token: NewToken): Promise<string> {
  if (!/^[a-zA-Z0-9][\w.-]{0,63}$/.test(token.name)) {
    throw new UsageError(
      `"${token.name}" cannot name a token: use up to 64 letters, digits, dots, hyphens and underscores.`,
    );
  }
  if (catalogue.some(({ name, signs }: CatalogueEntry) => name === token.name && signs)) {
    throw new UsageError(
      `"${token.name}" is a process of the fleet, and records name it so. Choose another name.`,
    );
  }
  const secret = newSecret();
  await changeTokens(dataRoot, (tokens) => {
    if (tokens.some((existing) => existing.name === token.name)) {
      throw new UsageError(
        `There is a token named ${token.name} already. Revoke it first, or choose another name.`,
      );
    }
    return [...tokens, recordOf(secret, token)];
  });
  return secret;
}

/** Every process refuses the token within a second. @throws UsageError when there is none of that name. */
export async function revokeToken(dataRoot: string, name: string): Promise<void> {
  await changeTokens(dataRoot, (tokens) => {
    const left = tokens.filter((token) => token.name !== name);
    if (left.length === tokens.length)
      throw new UsageError(`There is no token named ${name}. See: flotilla token list`);
    return left;
  });
}

/** The file in a process's own folder with the secret of a token that is its own; no backup has it. */
export const ownTokenFile = 'own-token';

/**
 * The secret of a token that a process has for itself, to ask others with: the credential that systemd hands it, or else
 * the one in its folder, made anew where there is none that is good. One of its name with another scope is somebody else's.
 *
 * @throws UsageError where the name is taken.
 */
export async function ownToken(
  dataDir: string,
  token: { readonly name: string; readonly scope: Scope },
): Promise<string> {
  const handed = join(process.env['CREDENTIALS_DIRECTORY'] ?? '', 'token');
  if (process.env['CREDENTIALS_DIRECTORY'] !== undefined && existsSync(handed))
    return readFileSync(handed, 'utf8').trim();
  const dataRoot = dirname(dataDir);
  const file = join(dataDir, ownTokenFile);
  const known = readTokens(dataRoot).find(({ name }) => name === token.name);
  if (known && known.scope.join(' ') === token.scope.join(' ')) {
    const secret = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    if (hashOf(secret).toString('hex') === known.hash) return secret;
    await revokeToken(dataRoot, token.name);
  }
  const secret = await createToken(dataRoot, { ...token, expiresAt: null });
  writeFileAtomic(file, `${secret}\n`);
  return secret;
}

/** Makes the first token, which may use everything, unless there are tokens already. */
export async function ensureFirstToken(dataRoot: string): Promise<void> {
  if (existsSync(registryFile(dataRoot))) return;
  await changeTokens(dataRoot, (tokens) => {
    // Several processes may start at once: whoever came first has made it.
    if (existsSync(registryFile(dataRoot))) return tokens;
    const secret = newSecret();
    // The secret goes first: after a crash in between, the next start makes another one.
    writeFileAtomic(firstTokenFile(dataRoot), `${secret}\n`);
    return [recordOf(secret, { name: 'first', scope: ['*'], expiresAt: null })];
  });
}

function newSecret(): string {
  return `flt_${randomBytes(32).toString('base64url')}`;
}

function recordOf(secret: string, token: NewToken): TokenRecord {
  return {
    name: token.name,
    hash: hashOf(secret).toString('hex'),
    scope: [...token.scope],
    createdAt: new Date().toISOString(),
    expiresAt: token.expiresAt?.toISOString() ?? null,
    ...(token.tools && { tools: [...token.tools] }),
    ...(token.rate !== undefined && { rate: token.rate }),
    ...(token.resultTokens !== undefined && { resultTokens: token.resultTokens }),
    ...(token.confirm !== undefined && { confirm: token.confirm }),
  };
}

/** One writer at a time, of this and of any other process. */
async function changeTokens(
  dataRoot: string,
  change: (tokens: readonly TokenRecord[]) => readonly TokenRecord[],
): Promise<void> {
  // Whoever only reads the list, as most commands do, loads no database.
  const { lockFolder } = await import('../database.ts');
  for (let attempt = 0; attempt < 100; attempt++) {
    using lock = lockFolder(join(dataRoot, 'tokens.lock'));
    if (lock) {
      removeHalfWritten(dataRoot, (name) => name === 'tokens.json' || name === 'token');
      const contents = fileSchema.parse({ tokens: change(readTokens(dataRoot)) });
      writeFileAtomic(registryFile(dataRoot), `${JSON.stringify(contents, null, 2)}\n`);
      return;
    }
    await sleep(50);
  }
  throw new ConfigError(`The list of tokens in ${dataRoot} is being changed by another program. Try again.`);
}

function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** How old what was seen of the file may be; a revoked token is dead after this, well within a second. */
const longestBlindMs = 300;
const shortestLookMs = 2;

/** Differs when the file was replaced, written to, or can no longer be looked at. */
function stateOf(file: string): string {
  try {
    const { ino, mtimeNs, size } = statSync(file, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

interface Token extends TokenRecord {
  /** The whole record, to tell a changed one by. */
  readonly text: string;
  readonly digest: Buffer;
  readonly expiresAtMs: number;
}

/** The tokens as they are now: the file is looked at when somebody is to be known, and nobody asks for long while nothing happens. */
export class TokenRegistry {
  readonly #dataRoot: string;
  readonly #onUnreadable: (error: unknown) => void;
  #seen: string;
  #lookedAtMs = performance.now();
  #tokens: readonly Token[] = [];

  /** A file that becomes unreadable refuses everyone until it can be read again: safe, and told to `onUnreadable`. */
  constructor(dataRoot: string, on: { readonly unreadable?: (error: unknown) => void } = {}) {
    this.#dataRoot = dataRoot;
    this.#onUnreadable = on.unreadable ?? (() => {});
    // Looked at before it is read, so that no change falls between: `fs.watchFile` would miss one there.
    this.#seen = stateOf(registryFile(dataRoot));
    this.#load(readTokens(dataRoot));
  }

  /** All of them; one that has not changed is the same object. */
  all(): readonly TokenRecord[] {
    this.#lookUnlessWithin(shortestLookMs);
    return this.#tokens;
  }

  #look(): void {
    this.#lookedAtMs = performance.now();
    const state = stateOf(registryFile(this.#dataRoot));
    if (state === this.#seen) return;
    this.#seen = state;
    this.#reload();
  }

  /** A record that has not changed stays the same object: that is how a caller is known to be current. */
  #load(records: readonly TokenRecord[]): void {
    this.#tokens = records.map((record) => {
      const text = JSON.stringify(record);
      const known = this.#tokens.find((token) => token.text === text);
      const expiresAtMs = record.expiresAt === null ? Infinity : Date.parse(record.expiresAt);
      return known ?? { ...record, text, digest: Buffer.from(record.hash, 'hex'), expiresAtMs };
    });
  }

  /** @returns whether it was. */
  #lookUnlessWithin(ms: number): boolean {
    if (performance.now() < this.#lookedAtMs + ms) return false;
    this.#look();
    return true;
  }

  #reload(): void {
    try {
      this.#load(readTokens(this.#dataRoot));
    } catch (error) {
      this.#tokens = [];
      this.#onUnreadable(error);
    }
  }

  /** Compares with every token in the same time, whichever fits. @returns `undefined` for an unknown, revoked or expired one. */
  verify(secret: string, nowMs: number): Caller | undefined {
    const digest = hashOf(secret);
    this.#lookUnlessWithin(longestBlindMs);
    const found = this.#find(digest, nowMs);
    // It may have been made a moment ago; whoever guesses makes us look no more often than this.
    return found ?? (this.#lookUnlessWithin(shortestLookMs) ? this.#find(digest, nowMs) : undefined);
  }

  #find(digest: Buffer, nowMs: number): Caller | undefined {
    let found: Caller | undefined;
    for (const token of this.#tokens) {
      if (timingSafeEqual(digest, token.digest) && nowMs < token.expiresAtMs) found = token;
    }
    return found;
  }

  /** The caller whose token has this hash, as it is now; `undefined` when it is no good. */
  ofHash(hash: string, nowMs: number): Caller | undefined {
    const find = () => this.#tokens.find((token) => token.hash === hash && nowMs < token.expiresAtMs);
    this.#lookUnlessWithin(longestBlindMs);
    return find() ?? (this.#lookUnlessWithin(shortestLookMs) ? find() : undefined);
  }

  /** Whether the token with this hash is still good. */
  isAlive(hash: string, nowMs: number): boolean {
    this.#lookUnlessWithin(longestBlindMs);
    return this.#tokens.some((token) => token.hash === hash && nowMs < token.expiresAtMs);
  }

  /** Whether a caller that `verify` found may still do the same: its token was neither revoked nor given another scope. */
  isCurrent(caller: Caller, nowMs: number): boolean {
    this.#lookUnlessWithin(longestBlindMs);
    return this.#tokens.some((token) => token === caller && nowMs < token.expiresAtMs);
  }
}
