/** A small domain service whose tools a test can hold, watch and let go: for everything between socket and handler. */
import { z } from 'zod';

import type { AnyService } from '#runtime/service.ts';
import { defineTool, Reply, type AnyTool, type Effect } from '#runtime/tool.ts';

/** What a thrown bug says, and nobody but the log may hear. */
export const secretOfTheBug = 'password=hunter2';

/** Moments that happen once, and that both the test and the tools can wait for. */
export class Moments {
  readonly #moments = new Map<string, PromiseWithResolvers<void>>();
  readonly #happened = new Set<string>();

  #at(name: string): PromiseWithResolvers<void> {
    let moment = this.#moments.get(name);
    if (!moment) {
      moment = Promise.withResolvers<void>();
      this.#moments.set(name, moment);
    }
    return moment;
  }

  happen(name: string): void {
    this.#happened.add(name);
    this.#at(name).resolve();
  }

  hasHappened(name: string): boolean {
    return this.#happened.has(name);
  }

  async seen(name: string): Promise<void> {
    return this.#at(name).promise;
  }
}

export interface WireDeps {
  readonly moments: Moments;
}

const nothing = z.object({});
const named = z.object({ id: z.string().describe('Tells the call from others.') });

/** Short enough to wait for in a test. */
export const deadlineMs = 150;

function tool(
  name: string,
  effect: Effect,
  input: z.ZodObject,
  output: z.ZodObject,
  handler: AnyTool<WireDeps>['handler'],
  timeoutMs?: number,
): AnyTool<WireDeps> {
  return defineTool({
    name,
    title: name,
    description: `Fixture of the wire tests: ${name}.`,
    effect,
    hints: {
      readOnly: effect === 'read',
      destructive: effect === 'destroy',
      idempotent: true,
      openWorld: false,
    },
    input,
    output,
    ...(timeoutMs !== undefined && { timeoutMs }),
    handler,
  });
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_done, fail) => {
    signal.addEventListener('abort', () => fail(signal.reason as Error), { once: true });
  });
}

const tools: readonly AnyTool<WireDeps>[] = [
  tool(
    'echo',
    'read',
    z.object({ nonce: z.string().describe('Comes back.') }),
    z.object({ nonce: z.string() }),
    ({ nonce }: { nonce: string }) => ({ nonce }),
  ),
  tool('write_note', 'write', nothing, nothing, () => ({})),
  tool('destroy_note', 'destroy', nothing, nothing, () => ({})),
  tool('break_down', 'read', nothing, nothing, () => {
    throw new TypeError(`cannot connect with ${secretOfTheBug}`);
  }),
  tool('answer_wrongly', 'read', nothing, z.object({ count: z.number() }), () => ({ count: secretOfTheBug })),
  tool('wait_for_signal', 'read', named, nothing, async ({ id }: { id: string }, { moments }, { signal }) => {
    moments.happen(`${id} started`);
    try {
      return await untilAborted(signal);
    } finally {
      moments.happen(`${id} aborted`);
    }
  }),
  tool(
    'wait_for_deadline',
    'read',
    named,
    nothing,
    async ({ id }: { id: string }, { moments }, { signal }) => {
      try {
        return await untilAborted(signal);
      } finally {
        moments.happen(`${id} aborted`);
      }
    },
    deadlineMs,
  ),
  tool(
    'ignore_signal',
    'read',
    named,
    nothing,
    async ({ id }: { id: string }, { moments }) => {
      await moments.seen(`${id} released`);
      return {};
    },
    deadlineMs,
  ),
  tool('hold', 'read', named, nothing, async ({ id }: { id: string }, { moments }) => {
    moments.happen(`${id} started`);
    await moments.seen(`${id} released`);
    return {};
  }),
  tool(
    'write_much',
    'read',
    z.object({ sizeBytes: z.int().min(0).max(8_000_000).describe('How much.') }),
    nothing,
    ({ sizeBytes }: { sizeBytes: number }) =>
      new Reply({}, { content: [{ type: 'text', text: 'x'.repeat(sizeBytes) }] }),
  ),
  tool(
    'count_up',
    'read',
    z.object({ to: z.int().min(1).max(100).describe('How far.') }),
    nothing,
    ({ to }: { to: number }, _deps, call) => {
      for (let done = 1; done <= to; done++) call.progress(done, to);
      return {};
    },
  ),
  tool(
    'trace_on',
    'read',
    nothing,
    z.object({ traceparent: z.string() }),
    (_args, _deps, { traceparent }) => ({
      traceparent,
    }),
  ),
  tool('touch_document', 'read', nothing, nothing, (_args, _deps, call) => {
    call.resourceUpdated('wire://document');
    return {};
  }),
];

/** Each call makes a service of its own, with moments of its own. */
export function wireService(extra: Partial<AnyService> = {}): { service: AnyService; moments: Moments } {
  const moments = new Moments();
  const service: AnyService = {
    name: 'wire',
    settings: z.object({}),
    tools,
    resources: [
      {
        uri: 'wire://document',
        name: 'document',
        title: 'Document',
        description: 'A text.',
        mimeType: 'text/plain',
        read: () => ({ text: 'A text.' }),
      },
      {
        uri: 'wire://page/{number}',
        name: 'page',
        title: 'Page',
        description: 'A page, if there is one of that number.',
        mimeType: 'text/plain',
        read: ({ number }) => (number === '1' ? { text: 'The only page.' } : undefined),
      },
    ],
    prompts: [
      {
        name: 'greet',
        title: 'Greeting',
        description: 'A greeting.',
        arguments: {},
        messages: () => [{ role: 'user', content: { type: 'text', text: 'Hello.' } }],
      },
    ],
    open: (): WireDeps => ({ moments }),
    ...extra,
  };
  return { service, moments };
}
