/** All foreign servers, as `upstreams.json` says now: it is read again when it changes. */
import { statSync } from 'node:fs';

import type { Log } from '#runtime/account/log.ts';

import { findingKinds, subjectOf } from './findings.ts';
import { pinsFile } from './pins.ts';
import { openReferences } from './references.ts';
import type { Taken } from './offer.ts';
import type { ForeignEvent, ForeignServer } from './server.ts';
import { isLocal, readUpstreams, type Upstream } from './upstreams-file.ts';

export interface MountsParts {
  readonly file: string;
  readonly secretsFile: string;
  /** The gateway's own folder. */
  readonly dataDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly now: () => number;
  /** What the fleet has: names of tools and prompts with the service of each, and the schemes of its resources. */
  readonly fleet: () => Pick<Taken, 'tools' | 'prompts' | 'schemes'>;
  readonly firstDelayMs?: number;
}

/** `server` is the one it is about; none where the file has changed. */
type Listener = (event: ForeignEvent, server?: ForeignServer) => void;

const lookEveryMs = 300;

export class Mounts implements AsyncDisposable {
  readonly #parts: MountsParts;
  readonly #listeners = new Set<Listener>();
  readonly #timer: NodeJS.Timeout;
  #servers = new Map<string, ForeignServer>();
  #seen: string | undefined;
  #problem: string | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(parts: MountsParts) {
    this.#parts = parts;
    this.#reading = this.#read();
    this.#timer = setInterval(() => {
      this.#reading = this.#reading.then(async () => this.#read());
    }, lookEveryMs).unref();
  }

  /** In the order of the file. */
  get servers(): readonly ForeignServer[] {
    return [...this.#servers.values()];
  }

  /** What is wrong with the file; the servers that it named before stay. For `Readiness.warnings`. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** @returns what ends it. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** When the fleet's own names have changed. */
  arrange(): void {
    const { tools, prompts, schemes } = this.#parts.fleet();
    const taken = {
      tools: new Map(tools),
      prompts: new Map(prompts),
      uris: new Map<string, string>(),
      schemes,
    };
    for (const server of this.servers) {
      server.arrange(taken);
      const { surface, names, name } = server;
      const take = (owners: Map<string, string>, taking: readonly string[]) => {
        for (const one of taking) if (!owners.has(one)) owners.set(one, name);
      };
      take(taken.tools, names.tools);
      take(taken.prompts, names.prompts);
      for (const { uri } of surface.resources) taken.uris.set(String(uri), name);
      for (const { uriTemplate } of surface.resourceTemplates) taken.uris.set(String(uriTemplate), name);
    }
  }

  /** For `/health`, `flotilla upstream list` and the dashboard: nothing secret, and no text of others but in findings. */
  describe(): Readonly<Record<string, unknown>> {
    return {
      ...(this.#problem !== undefined && { problem: this.#problem }),
      servers: this.servers.map(
        ({ name, state, title, era, surface, held, findings, refused, pid, starts }) => ({
          name,
          ...state,
          title,
          era,
          pid,
          starts,
          tools: surface.tools.length,
          prompts: surface.prompts.length,
          resources: surface.resources.length + surface.resourceTemplates.length,
          held: held.map((pin) => subjectOf(pin)),
          findings: findings.map(({ kind, subject }) => `${subject} ${findingKinds[kind]}`),
          refused: refused.map(({ subject, reason }) => `${subject}: ${reason}`),
        }),
      ),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#reading;
    await Promise.all(this.servers.map(async (server) => server[Symbol.asyncDispose]()));
  }

  async #read(): Promise<void> {
    const { file, log } = this.#parts;
    const seen = stamp(file);
    if (seen === this.#seen) return;
    this.#seen = seen;
    let upstreams: readonly Upstream[];
    try {
      upstreams = readUpstreams(file);
      this.#problem = undefined;
    } catch (error) {
      // A slip of the pen takes nothing down.
      this.#problem = (error as Error).message;
      log.error('upstreams_refused', { reason: this.#problem });
      return;
    }
    try {
      await this.#become(upstreams);
      // Also where the last of them is gone.
      this.#tell({ kind: 'state' });
    } catch (error) {
      // The next change of the file is another try.
      this.#problem = `The servers of ${file} cannot be mounted: ${(error as Error).message}`;
      log.error('upstreams_not_mounted', { error });
    }
  }

  async #become(upstreams: readonly Upstream[]): Promise<void> {
    const before = this.#servers;
    const leaving = [...before.values()].filter((server) => {
      const next = upstreams.find(({ name }) => name === server.name);
      return !next || connectionOf(next) !== connectionOf(server.upstream);
    });
    await Promise.all(leaving.map(async (server) => server[Symbol.asyncDispose]()));
    // The SDK's client is loaded with the first server, and costs nothing where there is none.
    const { ForeignServer: Server } = upstreams.length > 0 ? await import('./server.ts') : {};
    const next = new Map<string, ForeignServer>();
    this.#servers = next;
    for (const upstream of upstreams) {
      const kept = before.get(upstream.name);
      if (kept && !leaving.includes(kept)) {
        kept.update(upstream);
        next.set(upstream.name, kept);
      } else if (Server) next.set(upstream.name, this.#start(Server, upstream));
    }
    this.arrange();
  }

  #start(Server: typeof ForeignServer, upstream: Upstream): ForeignServer {
    const { log, now, dataDir, secretsFile, environment, firstDelayMs } = this.#parts;
    if (isLocal(upstream) && upstream.sandbox === 'none' && upstream.enabled)
      log.info('upstream_unconfined', { upstream: upstream.name });
    const server: ForeignServer = new Server({
      upstream,
      // Secrets are read anew with each: they may have changed.
      references: openReferences(secretsFile, environment),
      pinsFile: pinsFile(dataDir, upstream.name),
      log,
      now,
      told: (event) => {
        if (event.kind !== 'resource') this.arrange();
        this.#tell(event, server);
      },
      ...(firstDelayMs !== undefined && { firstDelayMs }),
    });
    return server;
  }

  #tell(event: ForeignEvent, server?: ForeignServer): void {
    for (const listener of this.#listeners) listener(event, server);
  }
}

/** What needs a new connection when it changes. */
function connectionOf(upstream: Upstream): string {
  const { approved: _, prefix: __, timeoutMs: ___, ...rest } = upstream;
  return JSON.stringify(rest);
}

function stamp(file: string): string {
  try {
    const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
    return stat ? `${stat.mtimeNs} ${stat.size} ${stat.ino}` : '';
  } catch (error) {
    // Whoever reads it says what is wrong, once; it is read again when this is another one.
    return `unseen: ${(error as NodeJS.ErrnoException).code}`;
  }
}
