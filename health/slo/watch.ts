/** Looks at the fleet every few seconds, off the loop of the polls: counts events, judges budgets, opens and resolves alerts. */
import { statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { hostname } from 'node:os';

import type { CatalogueEntry } from '#config/catalogue.ts';
import type { Log } from '#runtime/account/log.ts';
import { ConfigError } from '#runtime/errors.ts';

import { Alerts } from './alerts.ts';
import { AlertStore, alertsFile } from './alert-store.ts';
import type { Counts } from './burn.ts';
import { evidenceOf, type Surroundings } from './evidence.ts';
import { findingsIn, type DiskFacts, type ProcessFacts } from './findings.ts';
import { Ledger, ledgerFile, sourceKey, type Source } from './ledger.ts';
import { Maintenance, maintenanceFile, readRecurring, type RecurringWindow } from './maintenance.ts';
import { filesIn, operatorFolder, ownFolder, readObjectives, type Objective } from './objectives.ts';
import { reportOf, type ObjectiveReport } from './report.ts';
import { Webhooks, type Webhook } from './webhooks.ts';

/** Polls, and calls of tools where they are counted; from an instant on, up to another one. */
export interface Counted {
  readonly polls: (name: string, fromMs: number, toMs: number) => Counts;
  readonly calls?: (name: string, fromMs: number, toMs: number, withinSeconds: number) => Counts;
}

export interface WatchOptions {
  readonly dataDir: string;
  readonly dataRoot: string;
  /** Processes that are meant to run. */
  readonly entries: readonly CatalogueEntry[];
  readonly counted: Counted;
  readonly stateOf: (name: string) => ProcessFacts;
  readonly backupTroubles: () => readonly string[];
  readonly auditTroubles: () => readonly string[];
  readonly webhooks: readonly Webhook[];
  readonly remindMs: number;
  readonly surroundings: Surroundings;
  readonly log: Log;
  readonly now: () => number;
  readonly intervalMs?: number;
  readonly isUnit?: boolean;
}

const intervalMs = 5_000;

export class Watch implements AsyncDisposable {
  readonly maintenance: Maintenance;
  readonly webhooks: Webhooks;
  readonly alerts: Alerts;
  readonly #options: WatchOptions;
  readonly #store: AlertStore;
  readonly #ledger: Ledger;
  readonly #timer: NodeJS.Timeout;
  #objectives: readonly Objective[] = [];
  #recurring: readonly RecurringWindow[] = [];
  #fileTroubles: readonly string[] = [];
  #seenFiles = '';
  #looking: Promise<void> | undefined;
  #isStopped = false;

  /** @throws what keeps a database from opening. */
  constructor(options: WatchOptions) {
    const { dataDir, log, now, webhooks, remindMs, isUnit = false } = options;
    this.#options = options;
    using opened = new DisposableStack();
    this.#store = opened.use(new AlertStore(alertsFile(dataDir), log));
    this.#ledger = opened.use(new Ledger(ledgerFile(dataDir)));
    this.maintenance = new Maintenance(this.#store);
    this.webhooks = new Webhooks({ webhooks, store: this.#store, log, now, host: hostname(), isUnit });
    this.alerts = new Alerts(
      {
        store: this.#store,
        log,
        remindMs,
        isQuiet: (processes, nowMs) => this.maintenance.covers(processes, nowMs),
        evidenceOf: async (processes) => this.#evidenceOf(processes),
        tell: this.webhooks.tell,
      },
      now(),
    );
    // The project's own are right: a test reads them.
    this.#objectives = readObjectives([ownFolder], options.entries);
    this.#readFiles();
    opened.move();
    this.#timer = setInterval(() => void this.look(), options.intervalMs ?? intervalMs);
  }

  get objectives(): readonly Objective[] {
    return this.#objectives;
  }

  /** Why files of the operator cannot be used; what was read before holds on. */
  get fileTroubles(): readonly string[] {
    return this.#fileTroubles;
  }

  /** Whether alerts and messages are on disk. */
  get isKept(): boolean {
    return this.#store.isKept;
  }

  /** How every objective stands now. */
  reports(): readonly ObjectiveReport[] {
    const nowMs = this.#options.now();
    return this.#objectives.map((objective) => reportOf(objective, this.#ledger.windows(objective, nowMs)));
  }

  /** Also asked for by those who cannot wait for the next time. */
  async look(): Promise<void> {
    if (this.#isStopped) return;
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#options.log.error('look_broke', { error }))
      .finally(() => {
        this.#looking = undefined;
      });
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { entries, stateOf, backupTroubles, auditTroubles, now, log } = this.#options;
    this.#readFiles();
    const nowMs = now();
    this.maintenance.plan(this.#recurring, nowMs);
    try {
      await this.#ledger.read(nowMs, (process, span) => this.maintenance.spans(process, span));
    } catch (error) {
      // What is counted stays in memory, and alerts go on.
      log.error('budget_not_written', { error });
    }
    const found = findingsIn({
      processes: entries.map(({ name }) => stateOf(name)),
      objectives: this.#objectives.map((objective) => ({
        objective,
        windows: this.#ledger.windows(objective, nowMs),
      })),
      backupTroubles: backupTroubles(),
      auditTroubles: auditTroubles(),
      disk: await this.#disk(),
      fileTroubles: this.#fileTroubles,
    });
    await this.alerts.take(found, nowMs);
  }

  async #disk(): Promise<DiskFacts | null> {
    const folder = this.#options.dataRoot;
    try {
      const { bavail, blocks, bsize } = await statfs(folder);
      return { folder, freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
    } catch {
      return null;
    }
  }

  /** Of processes that are not well. */
  async #evidenceOf(processes: readonly string[]) {
    const { stateOf, surroundings } = this.#options;
    const unwell = processes.map((name) => stateOf(name)).filter(({ status }) => status !== 'up');
    return evidenceOf(unwell, surroundings);
  }

  /** Reads files of the operator that are new or changed. What cannot be used is told, and the rest goes on. */
  #readFiles(): void {
    const { dataRoot, entries, log } = this.#options;
    const seen = this.#filesNow();
    if (seen === this.#seenFiles) return;
    this.#seenFiles = seen;
    const troubles: string[] = [];
    const attempt = (read: () => void) => {
      try {
        read();
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        log.error('file_refused', { reason: error.message });
        troubles.push(error.message);
      }
    };
    attempt(() => {
      this.#objectives = readObjectives([ownFolder, operatorFolder(dataRoot)], entries);
    });
    attempt(() => {
      this.#recurring = seen.includes(maintenanceFile(dataRoot))
        ? readRecurring(maintenanceFile(dataRoot))
        : [];
    });
    this.#fileTroubles = troubles;
    this.#ledger.follow(this.#sources());
  }

  #filesNow(): string {
    const { dataRoot } = this.#options;
    const folder = operatorFolder(dataRoot);
    try {
      const files = stateIn(folder) === '' ? [] : filesIn(folder);
      return ['read', ...files.map(stateIn), stateIn(maintenanceFile(dataRoot))].join('\n');
    } catch (error) {
      return String(error);
    }
  }

  /** Each once, however many objectives count it. */
  #sources(): readonly Source[] {
    const { polls, calls } = this.#options.counted;
    const sources = new Map<string, Source>();
    for (const { processes, measure } of this.#objectives) {
      for (const process of processes) {
        const looked = (fromMs: number, toMs: number) => {
          const counts = polls(process, fromMs, toMs);
          return counts.total > 0 ? counts : null;
        };
        const counts =
          measure.count === 'polls'
            ? looked
            : (fromMs: number, toMs: number) =>
                // Where nobody looked, no call is not the same as none.
                looked(fromMs, toMs) && (calls?.(process, fromMs, toMs, measure.withinSeconds) ?? null);
        sources.set(sourceKey(process, measure), { process, measure, counts });
      }
    }
    return [...sources.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#looking;
    await this.webhooks[Symbol.asyncDispose]();
    try {
      this.#ledger.save(this.#options.now());
    } catch (error) {
      this.#options.log.error('budget_not_written', { error });
    }
    this.#ledger[Symbol.dispose]();
    this.#store[Symbol.dispose]();
  }
}

/** By which a change of a file is seen; empty where there is none. */
function stateIn(path: string): string {
  const state = statSync(path, { throwIfNoEntry: false });
  return state ? `${path} ${state.ino} ${state.mtimeMs} ${state.size}` : '';
}
