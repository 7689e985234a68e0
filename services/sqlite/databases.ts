/** All that the tools of this service depend on. */
import { join, resolve } from 'node:path';

import type { Log } from '#runtime/account/log.ts';
import { ConfigError, ToolError } from '#runtime/errors.ts';
import type { Quota } from '#runtime/quotas.ts';
import { contains, type Roots } from '#runtime/roots.ts';
import type { Call } from '#runtime/tool.ts';

import type { Named } from './engine/connections.ts';
import type { Answer, Asked, Kind } from './engine/work.ts';
import { openEngines } from './engines.ts';
import { insightsName, openInsights } from './insights.ts';
import { busyMs, defaultTimeoutMs, pressedIdleMs, pressedLifeMs } from './limits.ts';
import { openTransactions, type Pressed } from './transactions.ts';
import { openUnfinished } from './unfinished.ts';

export interface Settings extends Roots {
  readonly dataDir: string;
  /** Where the default database is, from the first root. */
  readonly defaultDatabase: string;
  readonly isReadOnly: boolean;
  readonly maxBytes: number;
  readonly transactionIdleMs: number;
  /** For tests. */
  readonly busyMs?: number;
  readonly pressed?: Pressed | undefined;
  readonly insightQuota: Quota;
  readonly log: Log;
}

/** Which database, and within what. */
export interface Way {
  readonly database?: string | undefined;
  readonly transaction?: string | undefined;
  readonly timeout_ms?: number | undefined;
}

export interface Manner {
  readonly changes?: boolean;
  /** It goes over whole databases or files, until the deadline of the call. */
  readonly isLong?: boolean;
  /** It looks up now and then whether it is to stop. */
  readonly listens?: boolean;
}

export type Databases = ReturnType<typeof openDatabases>;

export function openDatabases({ roots, linked, warnings, log, ...settings }: Settings) {
  const { dataDir, isReadOnly, maxBytes } = settings;
  const [first] = roots;
  const initial = first === undefined ? undefined : resolve(first, settings.defaultDatabase);
  if (initial !== undefined && !roots.some((root) => contains(root, initial) && root !== initial)) {
    throw new ConfigError(
      `FLOTILLA_SQLITE_DATABASE names ${initial}, which lies in none of the roots: ${roots.join(', ')}.`,
    );
  }
  const insights = openInsights(join(dataDir, insightsName), settings.insightQuota);
  const engines = openEngines(
    { roots, isReadOnly, maxBytes, busyMs: settings.busyMs ?? busyMs },
    join(dataDir, 'engines.tmp'),
    log,
  );
  const writing = openUnfinished(join(dataDir, 'unfinished'));
  const transactions = openTransactions(
    engines,
    settings.transactionIdleMs,
    settings.pressed ?? { lifeMs: pressedLifeMs, idleMs: pressedIdleMs },
  );

  /** A path under the roots, as far as its text says; the engine looks at what is there. */
  function pathOf(given: string): string {
    if (first === undefined) {
      throw new ToolError('forbidden', 'There are no allowed directories.', {
        hint: 'The operator names folders in FLOTILLA_ROOTS or FLOTILLA_SQLITE_ROOTS and restarts the service.',
      });
    }
    const hint = `The allowed directories are ${roots.join(', ')}; a relative path begins in the first of them.`;
    if (/^(~|file:)/.test(given)) {
      throw new ToolError(
        'forbidden',
        `Access denied - paths are taken as they are, without ~ and file: ${given}`,
        { hint },
      );
    }
    const path = resolve(first, given);
    if (roots.includes(path)) {
      throw new ToolError('invalid_input', `This is a directory: ${given}`, { hint: 'Name a file in it.' });
    }
    if (roots.some((root) => contains(root, path))) return path;
    for (const [alias, root] of linked) {
      if (contains(alias, path)) return root + path.slice(alias.length);
    }
    throw new ToolError('forbidden', `Access denied - outside allowed directories: ${given}`, { hint });
  }

  function named(given: string | undefined): Named {
    const path = pathOf(given ?? settings.defaultDatabase);
    return { path, isDefault: path === initial };
  }

  return {
    roots,
    warnings,
    insights,
    transactions,
    transactionIdleMs: settings.transactionIdleMs,
    named,
    pathOf,
    /** @throws ToolError where the operator allows no change, of files beside databases either. */
    requireWritable(): void {
      if (isReadOnly) throw readOnly();
    },
    writing,
    /** Asks an engine. Within a transaction its database is meant. */
    async ask<K extends Kind>(
      call: Call,
      kind: K,
      { database, transaction, timeout_ms: timeoutMs = defaultTimeoutMs }: Way,
      args: Omit<Asked<K>, 'target'>,
      { changes = false, isLong = false, listens = false }: Manner = {},
    ): Promise<Answer<K>> {
      if (changes) this.requireWritable();
      const limit = isLong ? undefined : timeoutMs;
      if (transaction !== undefined) {
        const target = transactions.targetOf(call, transaction);
        if (database !== undefined && named(database).path !== target.path) {
          throw new ToolError(
            'invalid_input',
            `The transaction is for ${target.path}, and not for ${database}.`,
            {
              hint: 'Leave database out within a transaction.',
            },
          );
        }
        const errand = { kind, args: { ...args, target } as unknown as Asked<K>, timeoutMs: limit, listens };
        return transactions.run(call, transaction, errand, changes);
      }
      const target = named(database);
      const errand = { kind, args: { ...args, target } as unknown as Asked<K>, timeoutMs: limit, listens };
      return engines.run(call, errand, { isLong, changes: changes ? target.path : undefined });
    },
    /** Rows of a file are read and looked at before anybody is kept waiting for them. */
    async importCsv(
      call: Call,
      way: Way,
      job: Omit<Asked<'stageCsv'>, 'target'>,
    ): Promise<Answer<'importCsv'>> {
      this.requireWritable();
      if (way.transaction !== undefined) {
        const staged = await this.ask(call, 'stageCsv', way, job, { isLong: true, listens: true });
        const manner = { changes: true, isLong: true, listens: true };
        return this.ask(call, 'importCsv', way, { ...job, staged }, manner);
      }
      const args = { ...job, target: named(way.database) };
      return engines.runInTwo(
        call,
        { kind: 'stageCsv', args, listens: true },
        (staged) => ({ kind: 'importCsv', args: { ...args, staged }, listens: true }),
        args.target.path,
      );
    },
    async begin(
      call: Call,
      { database, timeout_ms: timeoutMs = defaultTimeoutMs }: Way,
      isImmediate: boolean,
    ) {
      this.requireWritable();
      const target = named(database);
      return { ...(await transactions.begin(call, target, isImmediate, timeoutMs)), path: target.path };
    },
    async [Symbol.asyncDispose]() {
      await transactions[Symbol.asyncDispose]();
      await engines[Symbol.asyncDispose]();
      insights[Symbol.dispose]();
    },
  };
}

const readOnly = () =>
  new ToolError('forbidden', 'The operator allows no changes (FLOTILLA_SQLITE_MODE=read-only).', {
    hint: 'read_query reads.',
  });
