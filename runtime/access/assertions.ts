/**
 * What the gateway says of its callers in place of their tokens, which it never passes on: whose token it is, for which
 * service, and until when, signed with a key (Ed25519, RFC 8032) that only the gateway has. A service finds the token in the
 * list that it reads anyway, so that name, scope and revocation are the same as when the client comes by itself.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { writeFileAtomic } from '../files.ts';
import type { Effect } from '../tool.ts';
import { effects } from '../tool.ts';
import type { Caller, TokenRegistry } from './tokens.ts';

/** How long one is good for: long enough for a call that waits for a restart, too short to be worth stealing. */
export const assertionMs = 30_000;
const prefix = 'fla_';
/** Assertions that have been checked, the newest of them: a gateway uses each for many calls. */
const mostKnown = 4_096;

/** The file with the key that proves assertions, beside the list of tokens: every process of the fleet reads it. */
export const publicKeyFile = (dataRoot: string) => join(dataRoot, 'gateway-key.pem');

/** In the gateway's own folder; no backup has it. */
export const signingKeyFile = 'signing-key.pem';

const claimsSchema = z.strictObject({
  /** The service that it is made for. */
  for: z.string(),
  untilMs: z.number(),
  /** Hash of the caller's token; or, where the gateway asks for itself, how far. */
  token: z.string().optional(),
  own: z.enum(effects).optional(),
});
type Claims = z.output<typeof claimsSchema>;

/** Makes a pair of keys: the secret one as the text of a file, the other where the fleet looks for it. */
export function makeSigningKey(dataRoot: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  writeFileAtomic(publicKeyFile(dataRoot), publicKey.export({ type: 'spki', format: 'pem' }), 0o640);
  return privateKey.export({ type: 'pkcs8', format: 'pem' });
}

/** The gateway's key: the credential that systemd hands it, or else the one in its folder, made where there is none. */
export function signingKey(dataDir: string): KeyObject {
  const { CREDENTIALS_DIRECTORY: handed } = process.env;
  const given = handed === undefined ? undefined : join(handed, 'signing-key');
  if (given !== undefined && existsSync(given)) return createPrivateKey(readFileSync(given, 'utf8'));
  const file = join(dataDir, signingKeyFile);
  const dataRoot = dirname(dataDir);
  if (existsSync(file) && existsSync(publicKeyFile(dataRoot)))
    return createPrivateKey(readFileSync(file, 'utf8'));
  const pem = makeSigningKey(dataRoot);
  writeFileAtomic(file, pem, 0o600);
  return createPrivateKey(pem);
}

/** Signs, and signs again when half of an assertion's time is over. */
export class Assertions {
  readonly #key: KeyObject;
  readonly #made = new Map<string, { readonly text: string; readonly renewMs: number }>();

  constructor(key: KeyObject) {
    this.#key = key;
  }

  /** Says at `service` that the token with this hash calls. */
  ofToken(hash: string, service: string, nowMs: number): string {
    return this.#assertion(
      `${service} ${hash}`,
      { for: service, untilMs: nowMs + assertionMs, token: hash },
      nowMs,
    );
  }

  /** Lets the gateway itself list what is there for callers who may go as far as `own`. */
  ofGateway(own: Effect, service: string, nowMs: number): string {
    return this.#assertion(`${service} ${own}`, { for: service, untilMs: nowMs + assertionMs, own }, nowMs);
  }

  #assertion(key: string, claims: Claims, nowMs: number): string {
    const made = this.#made.get(key);
    // A clock that was set back must not leave one of the future in use.
    if (made && nowMs < made.renewMs && nowMs > made.renewMs - assertionMs) return made.text;
    if (this.#made.size >= mostKnown) this.#made.clear();
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const signature = sign(null, Buffer.from(payload), this.#key).toString('base64url');
    const text = `${prefix}${payload}.${signature}`;
    this.#made.set(key, { text, renewMs: nowMs + assertionMs / 2 });
    return text;
  }
}

interface Known {
  readonly caller: Caller;
  readonly untilMs: number;
}

/** Checks assertions at one service. */
export class AssertionReader {
  readonly #service: string;
  readonly #file: string;
  readonly #tokens: Pick<TokenRegistry, 'ofHash' | 'isCurrent'>;
  readonly #known = new Map<string, Known>();
  /** Who the gateway is when it asks for itself, by how far; the same objects as long as the key is. */
  #own = new Map<Effect, Caller>();
  #key: KeyObject | undefined;
  #seen = '';

  constructor(dataRoot: string, service: string, tokens: Pick<TokenRegistry, 'ofHash' | 'isCurrent'>) {
    this.#file = publicKeyFile(dataRoot);
    this.#service = service;
    this.#tokens = tokens;
  }

  static isOne(secret: string): boolean {
    return secret.startsWith(prefix);
  }

  /** @returns `undefined` for what the gateway did not sign, is for another service, too old, or of a token that is no good any more. */
  verify(text: string, nowMs: number): Caller | undefined {
    const known = this.#known.get(text);
    if (known && nowMs < known.untilMs && this.isCurrent(known.caller, nowMs)) return known.caller;
    this.#known.delete(text);
    const claims = this.#claims(text, nowMs);
    if (!claims) return undefined;
    const caller =
      claims.own === undefined ? this.#tokens.ofHash(claims.token ?? '', nowMs) : this.#ownOf(claims.own);
    if (!caller) return undefined;
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(text, { caller, untilMs: claims.untilMs });
    return caller;
  }

  /** Whether a caller that `verify` found may still do the same. */
  isCurrent(caller: Caller, nowMs: number): boolean {
    for (const own of this.#own.values()) if (own === caller) return true;
    return this.#tokens.isCurrent(caller, nowMs);
  }

  #claims(text: string, nowMs: number): Claims | undefined {
    const [payload = '', signature = ''] = text.slice(prefix.length).split('.', 2);
    const key = this.#currentKey();
    if (!key || !verify(null, Buffer.from(payload), key, Buffer.from(signature, 'base64url')))
      return undefined;
    const claims = claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()));
    const isGood =
      claims.for === this.#service && nowMs < claims.untilMs && claims.untilMs <= nowMs + 2 * assertionMs;
    return isGood ? claims : undefined;
  }

  /** A new key ends what was known by the old one. */
  #currentKey(): KeyObject | undefined {
    try {
      const { ino, mtimeMs } = statSync(this.#file);
      if (this.#seen === `${ino} ${mtimeMs}`) return this.#key;
      this.#key = createPublicKey(readFileSync(this.#file, 'utf8'));
      this.#seen = `${ino} ${mtimeMs}`;
    } catch {
      // There is no gateway, or its key cannot be read: nobody is let in by it.
      this.#key = undefined;
      this.#seen = '';
    }
    this.#known.clear();
    this.#own = new Map();
    return this.#key;
  }

  #ownOf(effect: Effect): Caller {
    let own = this.#own.get(effect);
    if (!own) {
      own = { name: 'gateway', scope: [`${this.#service}:${effect}`], hash: '' };
      this.#own.set(effect, own);
    }
    return own;
  }
}
