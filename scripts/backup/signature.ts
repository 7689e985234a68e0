/**
 * Who made an archive: its manifest is signed with Ed25519, by a key that lies neither in the archives nor among them. What
 * no known key has signed may have been made by anybody: it brings no tokens along.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign as signBytes,
  verify,
  type KeyObject,
} from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { z } from 'zod';

import type { HostSettings } from '#config/settings.ts';
import { ConfigError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { whyUnreachable } from '../reach.ts';

/** A signature of ours over anything else is none over a manifest. */
const purpose = 'flotilla backup manifest\n';
const prefix = 'ed25519:';

/** A public key in words: what a person keeps, and gives to `restore --trust`. */
export const publicKeySchema = z.string().regex(/^ed25519:[\w-]{43}$/);

const signatureSchema = z.strictObject({
  key: publicKeySchema,
  signature: z.string().regex(/^[\w-]{86}$/),
});

/** The setting, a credential of the unit, or a file beside the data folder: what takes the data does not take the key. */
export function keyFile(host: HostSettings): string {
  if (host.FLOTILLA_BACKUP_KEY !== undefined) return resolve(host.FLOTILLA_BACKUP_KEY);
  const credentials = process.env['CREDENTIALS_DIRECTORY'];
  const credential = credentials === undefined ? undefined : join(credentials, 'backup-key');
  if (credential !== undefined && existsSync(credential)) return credential;
  return `${resolve(host.FLOTILLA_DATA)}-backup-key`;
}

/** Made where there is none. @throws ConfigError when it can be neither read nor made. */
export function signingKey(host: HostSettings): KeyObject {
  const file = keyFile(host);
  if (!existsSync(file)) makeKey(file);
  return readKey(file);
}

/** @throws ConfigError when it cannot be written. */
export function makeKey(file: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  try {
    writeFileAtomic(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  } catch (cause) {
    throw new ConfigError(
      `The key that signs backups cannot be made at ${file}: ${cause instanceof Error ? cause.message : String(cause)}. See FLOTILLA_BACKUP_KEY.`,
      { cause },
    );
  }
}

function readKey(file: string): KeyObject {
  try {
    const key = createPrivateKey(readFileSync(file));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (cause) {
    const words = whyUnreachable(cause) ?? `The key in ${file} cannot be read: check FLOTILLA_BACKUP_KEY.`;
    throw new ConfigError(words, { cause });
  }
  throw new ConfigError(`The key in ${file} is none of Ed25519: check FLOTILLA_BACKUP_KEY.`);
}

/** The public half of this host's key; `undefined` where no backup was ever made. */
export function ownKey(host: HostSettings): string | undefined {
  const file = keyFile(host);
  return existsSync(file) ? nameOf(readKey(file)) : undefined;
}

export function nameOf(privateKey: KeyObject): string {
  return `${prefix}${createPublicKey(privateKey).export({ format: 'jwk' }).x}`;
}

export function sign(manifest: string, privateKey: KeyObject): string {
  const signature = signBytes(null, Buffer.from(purpose + manifest), privateKey).toString('base64url');
  return `${JSON.stringify({ key: nameOf(privateKey), signature })}\n`;
}

/** @returns whose signature it is; `undefined` where it is none over this manifest. */
export function signerOf(manifest: Buffer, text: string): string | undefined {
  try {
    const { key, signature } = signatureSchema.parse(JSON.parse(text));
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.slice(prefix.length) };
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    const signed = Buffer.concat([Buffer.from(purpose), manifest]);
    return verify(null, signed, publicKey, Buffer.from(signature, 'base64url')) ? key : undefined;
  } catch {
    return undefined;
  }
}
