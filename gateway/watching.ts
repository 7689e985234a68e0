/** Which documents the gateway's clients want to hear of, and who tells of them. */
import type { Routes } from './routes.ts';
import type { Upstream } from './upstream.ts';

/** Documents that clients of the older revisions subscribed to, the newest of them: nobody says when such a session is over. */
const mostOfSessions = 10_000;

export class Watching {
  readonly #counts = new Map<string, number>();
  readonly #ofSessions = new Set<string>();

  /** For as long as a stream is open. @returns how to say that it has ended. */
  async open(uris: readonly string[], routes: Routes<Upstream>): Promise<() => void> {
    for (const uri of uris) this.#counts.set(uri, (this.#counts.get(uri) ?? 0) + 1);
    await this.#tell(uris, routes);
    return () => {
      for (const uri of uris) {
        const left = (this.#counts.get(uri) ?? 1) - 1;
        if (left > 0) this.#counts.set(uri, left);
        else this.#counts.delete(uri);
        this.#forget(uri, routes);
      }
    };
  }

  /** For a session of an older revision. */
  async keep(uri: string, routes: Routes<Upstream>): Promise<void> {
    this.#ofSessions.add(uri);
    for (const oldest of this.#ofSessions) {
      if (this.#ofSessions.size <= mostOfSessions) break;
      this.#ofSessions.delete(oldest);
      this.#forget(oldest, routes);
    }
    await this.#tell([uri], routes);
  }

  async #tell(uris: readonly string[], routes: Routes<Upstream>): Promise<void> {
    const byUpstream = Map.groupBy(uris, (uri) => routes.document(uri)?.behind);
    await Promise.all([...byUpstream].map(async ([upstream, own]) => upstream?.watch(own)));
  }

  #forget(uri: string, routes: Routes<Upstream>): void {
    if (!this.#counts.has(uri) && !this.#ofSessions.has(uri)) routes.document(uri)?.behind.unwatch([uri]);
  }
}
