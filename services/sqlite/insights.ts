/** The memo: insights that callers add, kept in a database of this service and shared by all tokens. */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';

import { memoBytes } from './limits.ts';

export const memoUri = 'memo://insights';

export const insightsName = 'insights.db';

export function openInsights(file: string, quota: Quota) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const { read, write, probe } = transactionsOf(database);
  const quotas = openQuotas(database, quota, 'Put what several insights say into fewer.');
  const insert = database.prepare<[string, string, string]>(
    'INSERT INTO insight (owner, text, at) VALUES (?, ?, ?)',
  );
  const count = database.prepare<[], number>('SELECT count(*) FROM insight').pluck();
  const newest = database.prepare<[], string>('SELECT text FROM insight ORDER BY id DESC').pluck();
  return {
    /** On disk when the answer is sent. @throws ToolError `too_large`. */
    add: ({ caller, nowMs }: Call, text: string): number =>
      write(() => {
        insert.run(caller, text, new Date(nowMs).toISOString());
        quotas.requireWithin(caller);
        return count.get() ?? 0;
      }),
    /** All of them, or the newest where they are many. */
    memo: (): string =>
      read(() => {
        const all = count.get() ?? 0;
        if (all === 0) return 'No business insights have been discovered yet.';
        const lines: string[] = [];
        let bytes = 0;
        for (const text of newest.iterate()) {
          bytes += Buffer.byteLength(text) + 3;
          if (bytes > memoBytes) break;
          lines.unshift(`- ${text}`);
        }
        return [
          '📊 Business Intelligence Memo 📊\n\nKey Insights Discovered:\n',
          ...(lines.length < all ? [`(${all - lines.length} older ones are not shown.)\n`] : []),
          ...lines,
          ...(all > 1 ? [`\nSummary:\n${all} insights so far.`] : []),
        ].join('\n');
      }),
    probe,
    kept: quotas.kept,
    [Symbol.dispose]: () => database.close(),
  };
}
