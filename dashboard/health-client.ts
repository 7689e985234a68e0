/** What health knows of the fleet, read over HTTP with a deadline. */
import { z } from 'zod';

import { keepingSchema } from '#runtime/process/probe.ts';

const share = z.number().min(0).max(1).nullable();

const processSchema = z.object({
  name: z.string(),
  status: z.enum(['up', 'degraded', 'down', 'absent', 'unknown']),
  latencyMs: z.number().nullable(),
  reason: z.string().nullable(),
  since: z.iso.datetime().nullable(),
  uptime: z.object({ hour: share, day: share }),
  kept: keepingSchema.optional(),
});

const answerSchema = z.object({
  name: z.literal('health'),
  version: z.string(),
  uptimeMs: z.number(),
  polledAt: z.iso.datetime().nullable(),
  processes: z.array(processSchema),
  backup: z
    .object({
      lastVerifiedAt: z.iso.datetime().nullable(),
      recoveryPointAgeMs: z.number().nullish(),
      restoreMs: z.number().nullish(),
      troubles: z.array(z.string()),
    })
    .nullish(),
});

export type Observed = z.output<typeof processSchema>;
export type HealthAnswer = z.output<typeof answerSchema>;
/** An answer, or why there is none. */
export type Reading =
  | { readonly answer: HealthAnswer }
  | { readonly answer: undefined; readonly failure: string };

const deadlineMs = 500;

export async function readHealth(port: number): Promise<Reading> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, {
      signal: AbortSignal.timeout(deadlineMs),
      redirect: 'error',
    });
    const answer = answerSchema.safeParse(await response.json());
    if (answer.success) return { answer: answer.data };
    return { answer: undefined, failure: `another program answers on port ${port}` };
  } catch (error) {
    return { answer: undefined, failure: failureOf(error, port) };
  }
}

function failureOf(error: unknown, port: number): string {
  if (error instanceof DOMException) return `no answer within ${deadlineMs} ms on port ${port}`;
  if (error instanceof SyntaxError) return `another program answers on port ${port}`;
  return `connection to port ${port} refused or broken`;
}
