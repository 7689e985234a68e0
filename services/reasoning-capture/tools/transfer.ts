import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, toldBriefly } from '#runtime/fields.ts';
import { adding, reading } from '#runtime/hints.ts';
import { continued, maxPageBytes, pageBytes, withCursor } from '#runtime/page.ts';
import { instantField, instantForm } from '#runtime/time.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { chainId, shortText } from '../fields.ts';
import { dot, mermaid, nodesOf } from '../formats/diagram.ts';
import type { Format } from '../formats/format.ts';
import { jsonl } from '../formats/jsonl.ts';
import { markdown } from '../formats/markdown.ts';
import { otlpJson } from '../formats/otlp.ts';
import { maxImportLength } from '../limits.ts';
import type { ChainFilter, ChainRow } from '../store/reads.ts';
import type { Store } from '../store/store.ts';

const texts = { jsonl, otlp: otlpJson, markdown } as const satisfies Record<
  string,
  (withContent: boolean) => Format
>;
const diagrams = { mermaid, dot } as const;
const formats = ['jsonl', 'otlp', 'mermaid', 'dot', 'markdown'] as const;

/** The chain that an export goes on with, and the step after which: a chain may be longer than a page. */
const position = z.tuple([z.int().min(0), z.int().min(0)]);

export const exportReasoning = defineTool({
  name: 'export_reasoning',
  title: 'Export Reasoning',
  description:
    'Write a chain, or all that fit, as jsonl (complete, for capture_batch), otlp (OTLP/JSON, for import_trace), markdown to read, or a mermaid or dot diagram. Parts joined in order are the whole.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    chain_id: chainId.optional().describe('One chain; needed for a diagram.'),
    model: shortText('Without chain_id: only of this model.').optional(),
    agent: shortText('Likewise, of this agent.').optional(),
    since: instantField(`Likewise, begun at or after: ${instantForm}.`).optional(),
    until: instantField('Likewise, begun before.').optional(),
    format: z.enum(formats).default('jsonl').describe('Of the document.'),
    content: z.boolean().optional().describe('Whether what was said is in it; yes unless otlp.'),
    max_bytes: z.int().min(1_000).max(maxPageBytes).default(pageBytes).describe('Most of one part, about.'),
    cursor: cursorField,
  }),
  output: z.object({
    content: z.string().describe('The document, or a part.'),
    chains: z.int().describe('How many are in it.'),
    steps: z.int().describe('How many are in it.'),
    ...continuation,
  }),
  text: ({ content, next_cursor: cursor }) => withCursor(content, cursor),
  async handler({ cursor, ...args }, store: Store, call) {
    const [id, after] = decodeCursor('export_reasoning', args, cursor, position, [
      Number.MAX_SAFE_INTEGER,
      0,
    ]);
    const { format, content: withContent = format !== 'otlp' } = args;
    return store.inTurns(
      call,
      (function* () {
        if (format === 'mermaid' || format === 'dot')
          return yield* diagram(store, call.caller, args.chain_id, diagrams[format], withContent);
        const chains =
          args.chain_id === undefined ? undefined : [store.reads.chain(call.caller, args.chain_id)];
        const written = yield* exported(
          store,
          call.caller,
          chains ?? args,
          texts[format](withContent),
          { id, after },
          args.max_bytes,
        );
        const { next, ...document } = written;
        return { ...document, ...continued('export_reasoning', args, next) };
      })(),
    );
  },
});

function* diagram(
  store: Store,
  owner: string,
  uid: string | undefined,
  draw: (typeof diagrams)[keyof typeof diagrams],
  withContent: boolean,
) {
  if (uid === undefined)
    throw new ToolError('invalid_input', 'chain_id: a diagram is of one chain.', {
      hint: 'list_chains shows them.',
    });
  const chain = store.reads.chain(owner, uid);
  const nodes = yield* nodesOf(chain, store.reads.steps(chain), withContent);
  return { content: draw(nodes), chains: 1, steps: chain.n_steps };
}

interface Filtered {
  readonly model?: string | undefined;
  readonly agent?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

function* chainsFrom(
  store: Store,
  owner: string,
  which: readonly ChainRow[] | Filtered,
  id: number,
): Generator<void | ChainRow> {
  if (Array.isArray(which)) {
    yield* which as readonly ChainRow[];
    return;
  }
  const { model, agent, since, until } = which as Filtered;
  const filter: ChainFilter = {
    model,
    agent,
    sinceUs: since === undefined ? undefined : Date.parse(since) * 1_000,
    untilUs: until === undefined ? undefined : Date.parse(until) * 1_000,
  };
  for (const some of store.reads.chains(owner, filter, id)) {
    yield* some;
    yield;
  }
}

interface Written {
  readonly content: string;
  readonly chains: number;
  readonly steps: number;
  readonly next: readonly [number, number] | undefined;
}

/** A page ends between two steps; what goes on with a chain begins with its head again, so that each part can be read alone. */
function* exported(
  store: Store,
  owner: string,
  which: readonly ChainRow[] | Filtered,
  format: Format,
  from: { readonly id: number; readonly after: number },
  most: number,
): Steps<Written> {
  const written: string[] = [];
  let [bytes, chains, steps] = [0, 0, 0];
  const write = (text: string) => {
    written.push(text);
    bytes += Buffer.byteLength(text);
  };
  const end = (next?: readonly [number, number]): Written => ({
    content: written.join(''),
    chains,
    steps,
    next,
  });
  // The chain in which the page before ended is looked at again.
  const first = from.after > 0 ? from.id + 1 : from.id;
  for (const chain of chainsFrom(store, owner, which, first)) {
    if (!chain) {
      yield;
      continue;
    }
    if (chains > 0 && bytes >= most) return end([chain.id + 1, 0]);
    const after = chain.id === from.id ? from.after : 0;
    const evaluations = after === 0 ? store.reads.evaluations(chain) : [];
    write(format.head(chain, evaluations));
    chains += 1;
    let last = after;
    for (const some of store.reads.steps(chain, after + 1)) {
      for (const step of some) {
        if (last > after && bytes >= most) {
          write(format.foot(chain, evaluations));
          return end([chain.id, last]);
        }
        write(format.step(step, chain));
        steps += 1;
        last = step.seq;
      }
      yield;
    }
    write(format.foot(chain, evaluations));
    yield;
  }
  return end();
}

export const importTrace = defineTool({
  name: 'import_trace',
  title: 'Import Trace',
  description:
    'Take in what was recorded elsewhere: OTLP/JSON traces, or messages of Anthropic, OpenAI or Gemini with their thinking. Signatures and encrypted parts stay as they are. A trace that comes again adds nothing.',
  effect: 'write',
  hints: adding,
  input: z.object({
    content: z.string().min(1).max(maxImportLength).describe('The document itself, as JSON.'),
    model: shortText('Of the chain, where messages do not say.').optional(),
    agent: shortText('Likewise.').optional(),
    goal: shortText('Likewise.').optional(),
  }),
  output: toldBriefly(
    z.object({
      chains: z
        .array(
          z.object({ chain_id: z.string().describe('The chain.'), steps: z.int().describe('Added to it.') }),
        )
        .describe('The first of them.'),
      accepted: z.int().describe('Steps stored now.'),
      duplicates: z.int().describe('Steps that were there.'),
      rejected: z
        .array(
          z.object({ index: z.int().describe('From 0.'), reason: z.string().describe('What is wrong.') }),
        )
        .describe('The first of the steps refused.'),
      rejected_count: z.int().describe('All of them.'),
      spans_refused: z.looseObject({}).optional().describe('Spans, or parts of them, by what is wrong.'),
      spans_ignored: z.int().optional().describe('Spans that say nothing of reasoning.'),
      durable: z.literal(true).describe('What was accepted is on disk.'),
    }),
    'chains',
    'accepted',
    'duplicates',
    'rejected_count',
  ),
  async handler({ content, ...facts }, store: Store, call) {
    const { digest, outcome } = await store.importTrace(call, content, facts);
    const hasRefused = Object.keys(digest.refused).length > 0;
    return {
      chains: outcome.chains.slice(0, 100).map(({ uid, steps }) => ({ chain_id: uid, steps })),
      accepted: outcome.accepted,
      duplicates: outcome.duplicates,
      rejected: [...outcome.rejected],
      rejected_count: outcome.refused,
      ...(hasRefused && { spans_refused: { ...digest.refused } }),
      ...(digest.ignored > 0 && { spans_ignored: digest.ignored }),
      durable: true as const,
    };
  },
});
