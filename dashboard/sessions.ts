/**
 * Browser sessions without a store: the cookie names a token by its hash and an end, and is signed. Cookies reach every
 * program on 127.0.0.1, whatever its port, so that the token itself never is one.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

import { ConfigError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';

export const sessionSeconds = 7 * 24 * 3_600;

export interface Sessions {
  /** The cookie's value for the token with this hash. */
  seal(hash: string): string;
  /** The hash in a cookie of ours that has not ended. Whether its token is still alive is not known here. */
  open(value: string): string | undefined;
}

export function createSessions(key: Buffer, now: () => number): Sessions {
  const sign = (text: string) => createHmac('sha256', key).update(text).digest('hex');
  return {
    seal(hash) {
      const text = `${hash}.${now() + sessionSeconds * 1_000}`;
      return `${text}.${sign(text)}`;
    },
    open(value) {
      const [, hash = '', end = '', signature = ''] =
        /^([0-9a-f]{64})\.(\d{1,15})\.([0-9a-f]{64})$/.exec(value) ?? [];
      if (hash === '') return undefined;
      const genuine = timingSafeEqual(Buffer.from(signature), Buffer.from(sign(`${hash}.${end}`)));
      return genuine && now() < Number(end) ? hash : undefined;
    },
  };
}

/** Made at the first start; removing the file ends all sessions at the next one. @throws ConfigError when it is no key. */
export function readSessionKey(file: string): Buffer {
  if (!existsSync(file)) writeFileAtomic(file, `${randomBytes(32).toString('hex')}\n`);
  const text = readFileSync(file, 'utf8').trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new ConfigError(`${file} is not a key. Remove it to make a new one; browsers then sign in again.`);
  }
  return Buffer.from(text, 'hex');
}
