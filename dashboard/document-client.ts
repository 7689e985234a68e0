/** What another process of the fleet tells the dashboard, asked over HTTP with a deadline, in bounds, and looked over. */
import { z } from 'zod';

import { overviewSchema, type Overview } from '#runtime/process/overview.ts';

/** An answer, or why there is none. */
export type Reading =
  | { readonly overview: Overview }
  | { readonly overview: undefined; readonly failure: string };

interface Asking {
  readonly name: string;
  readonly port: number;
  /** Says who asks. */
  readonly secret: string;
  readonly deadlineMs: number;
  readonly mostBytes: number;
}

/** With details of one process, where its name is given. */
export async function readHealth(port: number, secret: string, name?: string): Promise<Reading> {
  const query = name === undefined ? '' : `?process=${encodeURIComponent(name)}`;
  const asking = { name: 'health', port, secret, deadlineMs: 1_000, mostBytes: 8 * 1024 * 1024 };
  const { document, failure } = await readDocument(`/overview${query}`, overviewSchema, asking);
  return document ? { overview: document } : { overview: undefined, failure };
}

export async function readDocument<Document>(
  path: string,
  schema: z.ZodType<Document>,
  asking: Asking,
): Promise<
  | { readonly document: Document; readonly failure?: never }
  | { readonly document?: never; readonly failure: string }
> {
  const { name, port, secret, deadlineMs, mostBytes } = asking;
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${secret}` },
      signal: AbortSignal.timeout(deadlineMs),
      redirect: 'error',
    });
    if (response.status === 401 || response.status === 403) {
      await response.body?.cancel();
      return { failure: `${name} does not let the dashboard read: its key is not known there` };
    }
    return { document: schema.parse(JSON.parse(await textOf(response, mostBytes))) };
  } catch (error) {
    return { failure: failureOf(error, asking) };
  }
}

async function textOf(response: Response, mostBytes: number): Promise<string> {
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

function failureOf(error: unknown, { name, port, deadlineMs }: Asking): string {
  if (error instanceof DOMException) return `no answer within ${deadlineMs} ms on port ${port}`;
  if (error instanceof SyntaxError || error instanceof z.ZodError)
    return `another program, or another version of ${name}, answers on port ${port}`;
  return `connection to port ${port} refused or broken`;
}
