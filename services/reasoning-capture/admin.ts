/**
 * What administrators do to chains of any token, and no model: POST /admin/redact, /admin/delete and /admin/verify, with a token that
 * may do everything.
 */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { bodyOf } from '#runtime/request-body.ts';
import type { Route } from '#runtime/service.ts';

import { seqField } from './fields.ts';
import type { Store } from './store/store.ts';

const maxBodyBytes = 100_000;
const chain = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits');
const owner = z.string().min(1).max(256);
const reason = z.string().min(1, 'must say why').max(1_000);

const forms = {
  redact: z.strictObject({
    owner,
    chain_id: chain,
    seqs: z.array(seqField).min(1).max(1_000).optional(),
    reason,
  }),
  delete: z.strictObject({ owner, chain_id: chain, reason }),
  verify: z.strictObject({
    owner: owner.optional(),
    chain_id: chain.optional(),
    head: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits')
      .optional(),
  }),
};

const answer = (status: number, value: unknown) =>
  Response.json(value, { status, headers: { 'cache-control': 'no-store' } });

function route<Form extends z.ZodType>(
  path: Route<Store>['path'],
  effect: 'read' | 'destroy',
  form: Form,
  act: (given: z.output<Form>, store: Store, caller: string) => Promise<unknown>,
): Route<Store> {
  return {
    path,
    method: 'POST',
    access: 'admin',
    effect,
    async handle(request, store, caller) {
      try {
        const parsed = form.safeParse(jsonIn(await bodyOf(request, maxBodyBytes)));
        if (!parsed.success) return answer(400, { error: z.prettifyError(parsed.error) });
        return answer(200, await act(parsed.data, store, caller));
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        const statuses: Readonly<Record<string, number>> = {
          not_found: 404,
          too_large: 413,
          unavailable: 503,
        };
        return answer(statuses[error.code] ?? 400, { error: error.message, hint: error.hint });
      }
    },
  };
}

function jsonIn(body: Uint8Array): unknown {
  try {
    return body.length === 0 ? {} : JSON.parse(Buffer.from(body).toString());
  } catch {
    return undefined;
  }
}

const nowUs = () => Date.now() * 1_000;

export const adminRoutes: readonly Route<Store>[] = [
  route('/admin/redact', 'destroy', forms.redact, async ({ chain_id: uid, ...given }, store, by) =>
    store.redact({ ...given, uid, by, nowUs: nowUs() }),
  ),
  route('/admin/delete', 'destroy', forms.delete, async ({ chain_id: uid, ...given }, store, by) =>
    store.delete({ ...given, uid, by, nowUs: nowUs() }),
  ),
  route('/admin/verify', 'read', forms.verify, async ({ chain_id: uid, ...given }, store) =>
    store.verify({ ...given, uid }),
  ),
];
