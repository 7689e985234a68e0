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

async function answer({ number, sql }: { readonly number: number; readonly sql: string }): Promise<void> {
  const translation = await translationOf(sql);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage({ number, ...translation });
}

parentPort?.on('message', (asked: Parameters<typeof answer>[0]) => void answer(asked));
