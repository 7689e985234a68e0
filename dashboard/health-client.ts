/** What health knows of the fleet, asked over HTTP with a deadline. */
import { z } from 'zod';

import { overviewSchema, type Overview } from '#runtime/process/overview.ts';

/** An answer, or why there is none. */
export type Reading =
  | { readonly overview: Overview }
  | { readonly overview: undefined; readonly failure: string };

const deadlineMs = 1_000;
const mostBytes = 8 * 1024 * 1024;

/** `secret` says who asks; details come of one process, where its name is given. */
export async function readHealth(port: number, secret: string, name?: string): Promise<Reading> {
  const query = name === undefined ? '' : `?process=${encodeURIComponent(name)}`;
  try {
    const response = await fetch(`http://127.0.0.1:${port}/overview${query}`, {
      headers: { authorization: `Bearer ${secret}` },
      signal: AbortSignal.timeout(deadlineMs),
      redirect: 'error',
    });
    if (response.status === 401 || response.status === 403) {
      await response.body?.cancel();
      return failed('health does not let the dashboard read: its key is not known there');
    }
    const overview = overviewSchema.safeParse(JSON.parse(await textOf(response)));
    return overview.success ? { overview: overview.data } : failed(differs(port));
  } catch (error) {
    return failed(failureOf(error, port));
  }
}

const failed = (failure: string) => ({ overview: undefined, failure });
const differs = (port: number) => `another program, or another version of health, answers on port ${port}`;

async function textOf(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of response.body ?? []) {
    sizeBytes += part.length;
    // Leaving the loop ends the connection.
    if (sizeBytes > mostBytes) throw new SyntaxError('too long an answer');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function failureOf(error: unknown, port: number): string {
  if (error instanceof DOMException) return `no answer within ${deadlineMs} ms on port ${port}`;
  if (error instanceof SyntaxError || error instanceof z.ZodError) return differs(port);
  return `connection to port ${port} refused or broken`;
}
