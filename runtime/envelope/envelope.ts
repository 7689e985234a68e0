/** What clients of plain HTTP are answered, whatever they asked: one form for what went well and for what did not. Pure. */
import { z } from 'zod';

import type { ErrorCode } from '../errors.ts';

/** Every status, and the status of HTTP that it has where nothing else is said. */
export const statuses = {
  success: 200,
  pending: 202,
  partial: 207,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  validation_error: 422,
  error: 500,
  timeout: 504,
} as const;

export type EnvelopeStatus = keyof typeof statuses;
type FailedStatus = Exclude<EnvelopeStatus, 'success' | 'pending' | 'partial'>;

const said = z.object({
  code: z.string().describe('What kind of thing it is, for programs.'),
  message: z.string().describe('What it is, in words.'),
  path: z.string().optional().describe('Where it is in what was sent, as a JSON Pointer.'),
  hint: z.string().optional().describe('What to do about it.'),
});

/** Something that is wrong, or that was made right. */
export type Said = z.output<typeof said>;

const metadata = z.object({
  request_id: z.string().describe('Finds the request in the log: the id of its trace.'),
  timestamp: z.string().describe('When it was answered, in UTC.'),
  duration_ms: z.number().describe('How long that took, in milliseconds.'),
  pagination: z
    .object({
      count: z.int().describe('How many are in data.'),
      has_more: z.boolean().describe('Whether more follow.'),
      next_cursor: z.string().optional().describe('Pass it as cursor to get those that follow.'),
    })
    .optional()
    .describe('Of lists.'),
});

export type Metadata = z.output<typeof metadata>;

export const envelope = z.object({
  status: z
    .enum(Object.keys(statuses) as [EnvelopeStatus, ...EnvelopeStatus[]])
    .describe('How it went, as one word.'),
  data: z.unknown().describe('What was asked for; null where there is nothing to tell.'),
  message: z.string().describe('How it went, as a sentence.'),
  errors: z.array(said).describe('What is wrong; empty where nothing is.'),
  warnings: z.array(said).describe('What was done in another way than it was asked for.'),
  metadata,
});

export type Envelope = z.output<typeof envelope>;

export interface Around {
  readonly metadata: Metadata;
  readonly warnings?: readonly Said[];
}

/** What went well, all of it or in part. */
export function normalizeResponse(
  data: unknown,
  status: 'success' | 'pending' | 'partial',
  message: string,
  { metadata: about, warnings = [] }: Around,
): Envelope {
  return { status, data: data ?? null, message, errors: [], warnings: [...warnings], metadata: about };
}

/** What did not go well; the first of the errors is the reason. */
export function normalizeError(
  errors: readonly Said[],
  status: FailedStatus,
  { metadata: about, warnings = [] }: Around,
): Envelope {
  const message = errors[0]?.message ?? 'It did not go well.';
  return { status, data: null, message, errors: [...errors], warnings: [...warnings], metadata: about };
}

/** What a failure of a tool is for clients of HTTP. */
export const failures = {
  invalid_input: { status: 'validation_error', http: 422 },
  not_found: { status: 'not_found', http: 404 },
  conflict: { status: 'error', http: 409 },
  forbidden: { status: 'forbidden', http: 403 },
  too_large: { status: 'error', http: 413 },
  timeout: { status: 'timeout', http: 504 },
  cancelled: { status: 'error', http: 503 },
  unavailable: { status: 'error', http: 503 },
  internal: { status: 'error', http: 500 },
} as const satisfies Readonly<Record<ErrorCode, { readonly status: FailedStatus; readonly http: number }>>;

const byHttp: Readonly<Record<number, FailedStatus>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  422: 'validation_error',
  504: 'timeout',
};

/** Of a refusal that is none of a tool. */
export const statusOf = (http: number): FailedStatus => byHttp[http] ?? 'error';
