/**
 * What processes of the fleet say of who calls, signed with a key (Ed25519, RFC 8032) that only the one who says it has: for
 * which service, and until when. The gateway says whose token it is, in place of the token, which it never passes on: a service
 * finds it in the list that it reads anyway, so that name, scope and revocation are the same as when the client comes by
 * itself. Those that speak in their own name are believed as far as the catalogue says (`signs`), whatever their key signed.
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
import { basename, dirname, join } from 'node:path';

import { z } from 'zod';

import { catalogue, entryOf, onlyAt, type CatalogueEntry, type Only, type Signs } from '#config/catalogue.ts';

import { writeFileAtomic } from '../files.ts';
import { effects, type Effect } from '../tool.ts';
import { covers } from './scope.ts';
import type { Caller, TokenRegistry } from './tokens.ts';

/** How long one is good for: long enough for a call that waits for a restart, too short to be worth stealing. */
export const assertionMs = 30_000;
const prefix = 'fla_';
/** Assertions that have been checked, the newest of them: a gateway uses each for many calls. */
const mostKnown = 4_096;

/** Who signs, and how far each is believed. */
const signers: ReadonlyMap<string, Signs> = new Map(
  catalogue.flatMap(({ name, signs }: CatalogueEntry) => (signs ? [[name, signs]] : [])),
);
/** Whose an assertion is that does not say it: those of older versions. */
const unnamedSigner = 'gateway';

/** The file with the key that proves what this process signed, beside the list of tokens: every process of the fleet reads it. */
export const publicKeyFile = (dataRoot: string, signer: string) => join(dataRoot, `${signer}-key.pem`);

/** In the signer's own folder; no backup has it. */
export const signingKeyFile = 'signing-key.pem';

const claimsSchema = z.strictObject({
  /** The service that it is made for. */
  for: z.string(),
  untilMs: z.number(),
  /** Hash of the caller's token; or, where the signer asks for itself, how far. */
  token: z.string().optional(),
  own: z.enum(effects).optional(),
});
type Claims = z.output<typeof claimsSchema>;

/** Makes a pair of keys: the secret one as the text of a file, the other where the fleet looks for it. */
export function makeSigningKey(dataRoot: string, signer: string): string {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  writeFileAtomic(publicKeyFile(dataRoot, signer), publicKey.export({ type: 'spki', format: 'pem' }), 0o640);
  return privateKey.export({ type: 'pkcs8', format: 'pem' });
}

/** The key of the process whose folder it is: the credential that systemd hands it, or else the one there, made where there is none. */
export function signingKey(dataDir: string): KeyObject {
  const { CREDENTIALS_DIRECTORY: handed } = process.env;
  const given = handed === undefined ? undefined : join(handed, 'signing-key');
  if (given !== undefined && existsSync(given)) return createPrivateKey(readFileSync(given, 'utf8'));
  const file = join(dataDir, signingKeyFile);
  const [dataRoot, signer] = [dirname(dataDir), basename(dataDir)];
  if (existsSync(file) && existsSync(publicKeyFile(dataRoot, signer)))
    return createPrivateKey(readFileSync(file, 'utf8'));
  const pem = makeSigningKey(dataRoot, signer);
  writeFileAtomic(file, pem, 0o600);
  return createPrivateKey(pem);
}

/** Signs, and signs again when half of an assertion's time is over. */
export class Assertions {
  readonly #signer: string;
  readonly #key: KeyObject;
  readonly #made = new Map<string, { readonly text: string; readonly renewMs: number }>();

  constructor(signer: string, key: KeyObject) {
    this.#signer = signer;
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

  /** Says that the signer itself asks, as one who may go as far as `own`. */
  ofSelf(own: Effect, service: string, nowMs: number): string {
    return this.#assertion(`${service} ${own}`, { for: service, untilMs: nowMs + assertionMs, own }, nowMs);
  }

  #assertion(key: string, claims: Claims, nowMs: number): string {
    const made = this.#made.get(key);
    // A clock that was set back must not leave one of the future in use.
    if (made && nowMs < made.renewMs && nowMs > made.renewMs - assertionMs) return made.text;
    if (this.#made.size >= mostKnown) this.#made.clear();
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const signature = sign(null, Buffer.from(payload), this.#key).toString('base64url');
    const text = `${prefix}${payload}.${signature}.${this.#signer}`;
    this.#made.set(key, { text, renewMs: nowMs + assertionMs / 2 });
    return text;
  }
}

/** A signer that was taken over may sign anything. */
function claimsIn(payload: string): Claims | undefined {
  try {
    return claimsSchema.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString())).data;
  } catch {
    return undefined;
  }
}

interface Known {
  readonly caller: Caller;
  readonly untilMs: number;
}

/** A signer as one service knows it. */
interface Signer {
  readonly name: string;
  readonly signs: Signs;
  /** What alone it may do here. */
  readonly only?: Only;
  readonly file: string;
  key: KeyObject | undefined;
  /** Which key that is. */
  seen: string;
  /** Who it is when it asks for itself, by how far; the same objects as long as the key is. */
  own: Map<Effect, Caller>;
}

/** Checks assertions at one service. */
export class AssertionReader {
  readonly #service: string;
  readonly #tokens: Pick<TokenRegistry, 'ofHash' | 'isCurrent'>;
  readonly #signers: ReadonlyMap<string, Signer>;
  readonly #known = new Map<string, Known>();

  constructor(dataRoot: string, service: string, tokens: Pick<TokenRegistry, 'ofHash' | 'isCurrent'>) {
    this.#service = service;
    this.#tokens = tokens;
    this.#signers = new Map(
      [...signers].flatMap(([name, signs]) => {
        const believed = onlyAt(signs, entryOf(service) ?? {});
        const file = publicKeyFile(dataRoot, name);
        return believed
          ? [[name, { name, signs, ...believed, file, key: undefined, seen: '', own: new Map() }]]
          : [];
      }),
    );
  }

  static isOne(secret: string): boolean {
    return secret.startsWith(prefix);
  }

  /** @returns `undefined` for what is not signed, says more than its signer may, is for another service, too old, or of a token that is no good any more. */
  verify(text: string, nowMs: number): Caller | undefined {
    const known = this.#known.get(text);
    if (known && nowMs < known.untilMs && this.isCurrent(known.caller, nowMs)) return known.caller;
    this.#known.delete(text);
    const [payload = '', signature = '', name = unnamedSigner] = text.slice(prefix.length).split('.', 3);
    const signer = this.#signers.get(name);
    const claims = signer && this.#claims(signer, payload, signature, nowMs);
    const caller = claims && this.#callerOf(signer, claims, nowMs);
    if (!caller) return undefined;
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(text, { caller, untilMs: claims.untilMs });
    return caller;
  }

  /** Whether a caller that `verify` found may still do the same. */
  isCurrent(caller: Caller, nowMs: number): boolean {
    for (const { own } of this.#signers.values())
      for (const one of own.values()) if (one === caller) return true;
    return this.#tokens.isCurrent(caller, nowMs);
  }

  #claims(signer: Signer, payload: string, signature: string, nowMs: number): Claims | undefined {
    const key = this.#currentKey(signer);
    if (!key || !verify(null, Buffer.from(payload), key, Buffer.from(signature, 'base64url')))
      return undefined;
    const claims = claimsIn(payload);
    const isGood =
      claims?.for === this.#service && nowMs < claims.untilMs && claims.untilMs <= nowMs + 2 * assertionMs;
    return isGood ? claims : undefined;
  }

  #callerOf({ name, signs, only, own }: Signer, claims: Claims, nowMs: number): Caller | undefined {
    const { token, own: effect } = claims;
    if (effect === undefined) return signs.forTokens ? this.#tokens.ofHash(token ?? '', nowMs) : undefined;
    if (!covers(signs.own, effect)) return undefined;
    let caller = own.get(effect);
    if (!caller) {
      // Whoever only looks sees behind a process that stands in front of others as far as it sees these.
      const where = only === 'canary' ? '*' : this.#service;
      caller = { name, scope: [`${where}:${effect}`], hash: '', ...(only && { only }) };
      own.set(effect, caller);
    }
    return caller;
  }

  /** A new key ends what was known by the old one. */
  #currentKey(signer: Signer): KeyObject | undefined {
    try {
      const { ino, mtimeMs } = statSync(signer.file);
      if (signer.seen === `${ino} ${mtimeMs}`) return signer.key;
      signer.key = createPublicKey(readFileSync(signer.file, 'utf8'));
      signer.seen = `${ino} ${mtimeMs}`;
    } catch {
      // The signer is not there, or its key cannot be read: nobody is let in by it.
      signer.key = undefined;
      signer.seen = '';
    }
    this.#known.clear();
    signer.own = new Map();
    return signer.key;
  }
}
