/** An agent of ours, as it works: over MCP, message by message. */
import { callTool } from './rpc.ts';
import type { Served } from './serve.ts';

export interface Mail {
  readonly id: string;
  readonly receipt: string;
  readonly type: string;
  readonly from: string;
  readonly correlation_id: string;
  readonly body: {
    readonly cancel?: boolean;
    readonly method?: string;
    readonly params?: {
      readonly message: {
        readonly messageId: string;
        readonly parts: readonly { readonly text?: string; readonly data?: unknown }[];
      };
    };
  };
}

type Target = Pick<Served, 'url' | 'token'>;

export async function call(
  target: Target,
  tool: string,
  args: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
) {
  const { result, error } = await callTool(target, tool, args, signal && { signal });
  if (error || result?.['isError'] === true) throw new Error(JSON.stringify(error ?? result?.['content']));
  return result?.['structuredContent'] as Record<string, unknown>;
}

/** @param signal ends what it waits for. */
export async function agentOf(
  target: Target,
  name: string,
  entry: Readonly<Record<string, unknown>> = {},
  signal?: AbortSignal,
) {
  await call(target, 'register_agent', { name, ...entry });
  const say = async (mail: Mail, type: string, body: unknown, more: Readonly<Record<string, unknown>> = {}) =>
    call(target, 'send_message', {
      from: name,
      to: [mail.from],
      type,
      body,
      reply_to: mail.id,
      correlation_id: mail.correlation_id,
      ...more,
    });
  const acknowledge = async ({ receipt }: Mail) =>
    call(target, 'acknowledge_messages', { agent: name, receipts: [receipt] });
  return {
    name,
    say,
    acknowledge,
    /** Waits for the next message. */
    async take(): Promise<Mail> {
      const { messages } = await call(
        target,
        'receive_messages',
        {
          agent: name,
          limit: 1,
          wait_seconds: 30,
        },
        signal,
      );
      return (messages as Mail[])[0] as Mail;
    },
    reject: async ({ receipt }: Mail, reason: string) =>
      call(target, 'reject_messages', { agent: name, messages: [{ receipt, reason, give_up: true }] }),
    async answer(mail: Mail, result: unknown) {
      await say(mail, 'response', { result });
      await acknowledge(mail);
    },
    report: async (mail: Mail, state: string, text?: string) =>
      say(mail, 'notification', { event: 'status', state, ...(text !== undefined && { text }) }),
  };
}

export type Agent = Awaited<ReturnType<typeof agentOf>>;
