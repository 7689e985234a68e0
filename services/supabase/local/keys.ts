/** Keys and passwords of the pair: made once, kept in its folder. */
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

export interface Secrets {
  readonly jwtSecret: string;
  readonly ownerPassword: string;
  readonly authenticatorPassword: string;
  readonly readerPassword: string;
}

const secret = () => randomBytes(24).toString('hex');

export function keptSecrets(file: string): Secrets {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Secrets;
  const made: Secrets = {
    jwtSecret: secret(),
    ownerPassword: secret(),
    authenticatorPassword: secret(),
    readerPassword: secret(),
  };
  writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
  return made;
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A key as Supabase makes them: a token that names the role, valid for ten years. */
export function keyFor(role: 'anon' | 'service_role', { jwtSecret }: Secrets, nowMs: number): string {
  const issuedAt = Math.floor(nowMs / 1_000);
  const claims = { role, iss: 'flotilla', iat: issuedAt, exp: issuedAt + tenYearsSeconds };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', jwtSecret).update(signed).digest('base64url')}`;
}

const tenYearsSeconds = 10 * 365 * 24 * 3_600;
