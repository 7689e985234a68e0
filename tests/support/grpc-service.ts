/** The service of the wire tests with a face of gRPC: each of its methods shows one thing. */
import { z } from 'zod';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import type { AnyService, Conversation, Listened } from '#runtime/service.ts';
import { defineTool, type AnyTool, type Effect } from '#runtime/tool.ts';

import { wireService, type Moments, type WireDeps } from './wire-service.ts';

type Handler = AnyTool<WireDeps>['handler'];

function tool(name: string, effect: Effect, input: z.ZodObject, output: z.ZodObject, handler: Handler) {
  const hints = {
    readOnly: effect === 'read',
    destructive: false,
    idempotent: true,
    openWorld: false,
  };
  const description = `Fixture of the tests of gRPC: ${name}.`;
  return defineTool({ name, title: name, description, effect, hints, input, output, handler });
}

const colour = z.enum(['red', 'dark_blue']).nullable();
const part = z.object({
  colour: colour.optional(),
  get parts() {
    return z.array(part).optional();
  },
});
const repeated = z.object({
  text: z.string().nullable().optional(),
  count: z.int().optional(),
  share: z.number().optional(),
  flag: z.boolean().optional(),
  colour: colour.optional(),
  colours: z.array(colour).optional(),
  named: z.record(z.string(), colour).optional(),
  part: part.optional(),
  anything: z.record(z.string(), z.unknown()).optional(),
  at: z.iso.datetime().optional(),
  numbers: z.array(z.int()).optional(),
  long: z.int().optional(),
});

const sayMuch = tool(
  'say_much',
  'read',
  z.object({ size_bytes: z.int().max(8_000_000) }),
  z.object({ text: z.string() }),
  ({ size_bytes }: { size_bytes: number }) => ({ text: 'x'.repeat(size_bytes) }),
);

const refuse = tool(
  'refuse',
  'read',
  z.object({ code: z.string(), message: z.string() }),
  z.object({}),
  ({ code, message }: { code: Exclude<ErrorCode, 'internal'>; message: string }) => {
    throw new ToolError(code, message, {
      hint: 'Try something else.',
      ...(code === 'unavailable' && { retryAfterMs: 1_500 }),
    });
  },
);

const repeat = tool('repeat', 'read', repeated, repeated, (args: z.output<typeof repeated>) => args);

const parameters = z.object({ count: z.int().min(0).default(0), size_bytes: z.int().default(0) });

/** So many events, or events until it ends; each says how many there were before it. */
const listened: Listened<WireDeps> = {
  effect: 'read',
  parameters,
  async *listen(given, { moments }, { signal }) {
    const { count, size_bytes } = given as z.output<typeof parameters>;
    try {
      const most = count === 0 ? Infinity : count;
      for (let sent = 0; sent < most && !signal.aborted; sent += 1) {
        moments.happen(`sent ${sent}`);
        yield { id: String(sent), event: 'tick', data: { sent, text: 'x'.repeat(size_bytes) } };
        if (count === 0 && size_bytes === 0) await aborted(signal);
      }
    } finally {
      moments.happen('listening ended');
    }
  },
};

const aborted = async (signal: AbortSignal) =>
  new Promise<void>((done) => {
    if (signal.aborted) done();
    signal.addEventListener('abort', () => done(), { once: true });
  });

/** Each call makes a service of its own. */
export function grpcService(extra: Partial<AnyService> = {}): { service: AnyService; moments: Moments } {
  const { service, moments } = wireService();
  const tools: AnyTool<WireDeps>[] = [
    ...(service.tools as readonly AnyTool<WireDeps>[]),
    sayMuch,
    refuse,
    repeat,
  ];
  const named = (name: string): AnyTool<WireDeps> => {
    const found = tools.find((one) => one.name === name);
    if (!found) throw new TypeError(`The fixture has no tool ${name}.`);
    return found;
  };
  /** Repeats what it hears; `note` writes one. */
  const talk: Conversation<WireDeps> = {
    async *converse(heard, _deps, { call }) {
      for await (const { say = '' } of heard as AsyncIterable<{ say?: string }>) {
        const outcome =
          say === 'note' ? await call(named('write_note'), {}) : await call(named('echo'), { nonce: say });
        yield 'failure' in outcome ? { refused: outcome.failure.code } : { heard: say };
      }
      moments.happen('conversation ended');
    },
  };
  return {
    moments,
    service: {
      ...service,
      tools,
      listened,
      grpc: {
        service: 'flotilla.test.v1.WireService',
        protos: new URL('wire-protos.json', import.meta.url),
        methods: {
          Echo: named('echo'),
          WriteNote: named('write_note'),
          BreakDown: named('break_down'),
          AnswerWrongly: named('answer_wrongly'),
          WaitForSignal: named('wait_for_signal'),
          Hold: named('hold'),
          TraceOn: named('trace_on'),
          SayMuch: sayMuch,
          Refuse: refuse,
          Repeat: repeat,
          Listen: 'listened',
          Talk: talk,
        },
      },
      ...extra,
    },
  };
}
