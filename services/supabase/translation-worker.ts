/** The thread of `translation.ts`. */
import { parentPort } from 'node:worker_threads';

import { processSql, renderHttp } from '@supabase/sql-to-rest';

import type { Translation } from './translation.ts';

const maxMessageLength = 300;

async function translationOf(sql: string): Promise<Translation> {
  try {
    const { method, fullPath } = await renderHttp(await processSql(sql));
    return { method, path: fullPath };
  } catch (error) {
    const { message, hint } = error as Error & { readonly hint?: string };
    return { error: message.slice(0, maxMessageLength), hint };
  }
}

parentPort?.on('message', ({ number, sql }: { readonly number: number; readonly sql: string }) => {
  void translationOf(sql).then((translation) => parentPort?.postMessage({ number, ...translation }));
});
