/**
 * Links that sign a browser in, once and soon: what a terminal, its history or a log keeps of one is worth nothing afterwards.
 * They are kept in memory alone.
 */
import { hash, randomBytes } from 'node:crypto';

export const linkMinutes = 10;
/** Of those that nobody opened, the oldest go. */
const mostLinks = 100;

export interface Links {
  /** A code for whoever has the token with this hash. */
  create(tokenHash: string): string;
  /** The hash of the token, the first time and within ten minutes. */
  take(code: string): string | undefined;
}

const keyOf = (code: string) => hash('sha256', code);

export function createLinks(now: () => number): Links {
  /** By the hashes of the codes: how long a look takes tells nothing of a code. */
  const open = new Map<string, { readonly tokenHash: string; readonly endsAtMs: number }>();
  return {
    create(tokenHash) {
      const code = randomBytes(16).toString('base64url');
      open.set(keyOf(code), { tokenHash, endsAtMs: now() + linkMinutes * 60_000 });
      const [oldest] = open.keys();
      if (open.size > mostLinks && oldest !== undefined) open.delete(oldest);
      return code;
    },
    take(code) {
      const found = open.get(keyOf(code));
      open.delete(keyOf(code));
      return found && now() < found.endsAtMs ? found.tokenHash : undefined;
    },
  };
}
