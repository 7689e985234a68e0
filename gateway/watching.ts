/** Which documents the gateway's clients want to hear of, and who tells of them. */
import type { Routes } from './routes.ts';
import type { Behind } from './surface.ts';

/** It can be told which documents somebody wants to hear of. */
export interface Watched extends Behind {
  watch(uris: readonly string[]): Promise<void>;
  unwatch(uris: readonly string[]): void;
}

/** What one token may listen for, on all of its streams and in all of its sessions. */
const mostUris = 1_000;
const mostChars = 200_000;
/** Of all tokens: what a service is told has to fit into one message. */
const mostCharsOfAll = 2_000_000;
/** Nobody says when a session of an older revision is over: what it subscribed to is forgotten when others of its token need the room. */
const mostOfSessions = 500;
/** A service that does not say that it has heard is told again when it is seen next. */
const tellMs = 5_000;

interface Wishes {
  /** By document, on how many streams. */
  readonly counts: Map<string, number>;
  /** The newest last. */
  readonly ofSessions: Set<string>;
}

export class Watching {
  readonly #tokens = new Map<string, Wishes>();

  /** For as long as a stream is open. @returns how to say that it has ended; `undefined` where it is too much */
  async open(
    token: string,
    uris: readonly string[],
    routes: Routes<Watched>,
  ): Promise<(() => void) | undefined> {
    const wishes = this.#room(token, uris);
    if (!wishes) return undefined;
    for (const uri of uris) wishes.counts.set(uri, (wishes.counts.get(uri) ?? 0) + 1);
    await tell(uris, routes);
    return () => {
      for (const uri of uris) {
        const left = (wishes.counts.get(uri) ?? 1) - 1;
        if (left > 0) wishes.counts.set(uri, left);
        else wishes.counts.delete(uri);
      }
      this.#forget(token, uris, routes);
    };
  }

  /** For a session of an older revision. @returns whether there is room for it */
  async keep(token: string, uri: string, routes: Routes<Watched>): Promise<boolean> {
    const wishes = this.#room(token, [uri]);
    if (!wishes) return false;
    wishes.ofSessions.delete(uri);
    wishes.ofSessions.add(uri);
    const [oldest = ''] = wishes.ofSessions;
    if (wishes.ofSessions.size > mostOfSessions) {
      wishes.ofSessions.delete(oldest);
      this.#forget(token, [oldest], routes);
    }
    await tell([uri], routes);
    return true;
  }

  #room(token: string, uris: readonly string[]): Wishes | undefined {
    const wishes = this.#tokens.get(token) ?? {
      counts: new Map<string, number>(),
      ofSessions: new Set<string>(),
    };
    const own = new Set([...wishes.counts.keys(), ...wishes.ofSessions, ...uris]);
    if (own.size > mostUris || charsIn(own) > mostChars) return undefined;
    const added = uris.filter((uri) => !this.#isWanted(uri));
    if (charsIn(this.#wanted()) + charsIn(added) > mostCharsOfAll) return undefined;
    this.#tokens.set(token, wishes);
    return wishes;
  }

  #wanted(): Set<string> {
    return new Set(
      [...this.#tokens.values()].flatMap(({ counts, ofSessions }) => [...counts.keys(), ...ofSessions]),
    );
  }

  #isWanted(uri: string): boolean {
    return [...this.#tokens.values()].some(
      ({ counts, ofSessions }) => counts.has(uri) || ofSessions.has(uri),
    );
  }

  #forget(token: string, uris: readonly string[], routes: Routes<Watched>): void {
    const wishes = this.#tokens.get(token);
    if (wishes && wishes.counts.size + wishes.ofSessions.size === 0) this.#tokens.delete(token);
    for (const uri of uris) if (!this.#isWanted(uri)) routes.document(uri)?.behind.unwatch([uri]);
  }
}

async function tell(uris: readonly string[], routes: Routes<Watched>): Promise<void> {
  const byUpstream = Map.groupBy(uris, (uri) => routes.document(uri)?.behind);
  const late = new Promise<void>((resolve) => void setTimeout(resolve, tellMs).unref());
  const told = [...byUpstream].map(async ([upstream, own]) => upstream?.watch(own));
  await Promise.race([Promise.all(told), late]);
}

function charsIn(uris: Iterable<string>): number {
  let chars = 0;
  for (const uri of uris) chars += uri.length;
  return chars;
}
