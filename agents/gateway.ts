/** How an agent reaches the fleet: every call goes through the gateway, by its REST interface, under the agent's own token. */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { firstDelayMs, longestDelayMs, mostAnswerBytes } from './limits.ts';

export type Value = Readonly<Record<string, unknown>>;

/** The gateway, or the tool, did not do it. */
export class CallFailure extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  /** Nothing of it was done: the gateway was not reached. */
  readonly neverSent: boolean;

  constructor(
    code: string,
    message: string,
    more: { readonly hint?: string; readonly neverSent?: true } = {},
  ) {
    super(message);
    this.code = code;
    this.hint = more.hint;
    this.neverSent = more.neverSent ?? false;
  }

  /** Whether the same call may succeed later. */
  get isPassing(): boolean {
    return ['unavailable', 'rate_limited', 'timeout', 'cancelled', 'away', 'internal'].includes(this.code);
  }
}

export interface ToolInfo {
  readonly service: string;
  readonly effect: 'read' | 'write' | 'destroy';
}

export interface Gateway {
  /** @param traceparent of what it is called for: records there name the same trace. @throws CallFailure; whatever aborted the signal. */
  call(tool: string, args: Value, signal: AbortSignal, traceparent?: string): Promise<Value>;
  /** The same, again and again while the gateway or the service is away. Only for what may be said twice. */
  callPatiently(tool: string, args: Value, signal: AbortSignal): Promise<Value>;
  /** @throws CallFailure `not_found` where there is none, or not for this token. */
  tool(name: string, signal: AbortSignal): Promise<ToolInfo>;
  /** What this token may call. */
  tools(signal: AbortSignal): Promise<readonly { readonly name: string; readonly description: string }[]>;
  close(): void;
}

const envelopeSchema = z.object({
  data: z.unknown(),
  errors: z
    .array(z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }))
    .default([]),
  metadata: z.object({ pagination: z.object({ next_cursor: z.string().optional() }).optional() }).optional(),
});
type Envelope = z.output<typeof envelopeSchema>;

const toolSchema = z.object({
  tool: z.object({ service: z.string(), effect: z.enum(['read', 'write', 'destroy']) }),
});
const listSchema = z.array(z.object({ name: z.string(), description: z.string() }));

/** `secret` is asked for anew when it is refused. */
export function openGateway(port: number, secret: () => Promise<string>): Gateway {
  // Not a browser's number of connections: as many as calls may wait at once.
  const connections = new Agent({ keepAlive: true, maxSockets: 32 });
  let known: string | undefined;
  let asking: Promise<string> | undefined;

  /** Two who asked at once would each make a token of the same name. */
  async function askSecret(): Promise<string> {
    asking ??= secret().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  async function once(wanted: Wanted) {
    const used = (known ??= await askSecret());
    const answer = await ask({ ...wanted, connections, port, secret: used });
    // Another call may have a new one by now.
    if (answer.status === 401 && known === used) known = undefined;
    return answer;
  }

  async function asked(wanted: Wanted) {
    let answer = await once(wanted);
    if (answer.status === 401) answer = await once(wanted);
    return dataOf(answer);
  }

  const read = async (path: string, signal: AbortSignal) => asked({ method: 'GET', path, body: '', signal });

  async function call(tool: string, args: Value, signal: AbortSignal, traceparent?: string): Promise<Value> {
    const path = `/api/v1/tools/${encodeURIComponent(tool)}`;
    const { data } = await asked({ method: 'POST', path, body: JSON.stringify(args), signal, traceparent });
    return (typeof data === 'object' && data !== null ? data : { value: data }) as Value;
  }

  return {
    call,
    async callPatiently(tool, args, signal) {
      for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
        try {
          return await call(tool, args, signal);
        } catch (error) {
          if (!(error instanceof CallFailure) || !error.isPassing) throw error;
          await sleep(delayMs, undefined, { signal });
        }
      }
    },
    async tool(name, signal) {
      const { data } = await read(`/api/v1/tools/${encodeURIComponent(name)}`, signal);
      return toolSchema.parse({ tool: data }).tool;
    },
    async tools(signal) {
      const found: z.output<typeof listSchema> = [];
      for (let cursor: string | undefined = ''; cursor !== undefined;) {
        const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
        const { data, metadata }: Envelope = await read(`/api/v1/tools?limit=100${query}`, signal);
        found.push(...listSchema.parse(data));
        cursor = metadata?.pagination?.next_cursor;
      }
      return found;
    },
    close: () => connections.destroy(),
  };
}

interface Wanted {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: string;
  readonly signal: AbortSignal;
  readonly traceparent?: string | undefined;
}

interface Asked extends Wanted {
  readonly connections: Agent;
  readonly port: number;
  readonly secret: string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Without a time of its own: some tools run for minutes, and every one has its deadline at the service. */
async function ask(asked: Asked): Promise<Answer> {
  const { connections, port, method, path, body, secret, signal, traceparent } = asked;
  signal.throwIfAborted();
  return new Promise((done, fail) => {
    const asking = request(
      {
        agent: connections,
        host: '127.0.0.1',
        port,
        method,
        path,
        signal,
        headers: {
          authorization: `Bearer ${secret}`,
          ...(traceparent !== undefined && { traceparent }),
          ...(body !== '' && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
          }),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes > mostAnswerBytes) {
            fail(
              new CallFailure(
                'too_large',
                `It was done, and answered with more than ${mostAnswerBytes} bytes.`,
                {
                  hint: 'Ask for less of it, or let it write a file.',
                },
              ),
            );
            response.destroy();
          } else parts.push(part);
        });
        response.once('end', () =>
          done({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') }),
        );
        response.once('error', (error) => fail(away(error, signal)));
      },
    );
    asking.once('error', (error) => fail(away(error, signal)));
    asking.end(body);
  });
}

function away(error: NodeJS.ErrnoException, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  const neverSent = error.code === 'ECONNREFUSED';
  return new CallFailure(
    'away',
    neverSent ? 'The gateway does not answer.' : 'The connection to the gateway broke off.',
    { hint: 'Start the fleet with it: flotilla start.', ...(neverSent && { neverSent }) },
  );
}

/** @throws CallFailure for what was refused. */
function dataOf({ status, text }: Answer): Envelope {
  let parsed: ReturnType<typeof envelopeSchema.safeParse>;
  try {
    parsed = envelopeSchema.safeParse(JSON.parse(text));
  } catch {
    throw new CallFailure('unavailable', `The gateway answers ${status}, with what is no JSON.`);
  }
  if (!parsed.success)
    throw new CallFailure('unavailable', `The gateway answers ${status}, in another form.`);
  if (status < 300) return parsed.data;
  const [first = { code: 'unavailable', message: `The gateway answers ${status}.` }] = parsed.data.errors;
  throw new CallFailure(first.code, first.message, first.hint === undefined ? {} : { hint: first.hint });
}
